/* PALevels and PALevelMaxPool: what onnxruntime calls of them. */
#pragma once
#include "node.h"
#include "ort.h"

OrtStatus *create_levels(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle);
OrtStatus *compute_levels(void *handle, OrtKernelContext *context);
OrtStatus *infer_levels(const OrtCustomOp *op, OrtShapeInferContext *context);

OrtStatus *create_max_pool(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle);
OrtStatus *compute_max_pool(void *handle, OrtKernelContext *context);
OrtStatus *infer_max_pool(const OrtCustomOp *op, OrtShapeInferContext *context);
