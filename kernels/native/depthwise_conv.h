/* PADepthwiseConv: what onnxruntime calls of it. */
#pragma once
#include "node.h"
#include "ort.h"

OrtStatus *create_depthwise_conv(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle);
OrtStatus *compute_depthwise_conv(void *handle, OrtKernelContext *context);
OrtStatus *infer_depthwise_conv(const OrtCustomOp *op, OrtShapeInferContext *context);
