/* PABitConv and PABitConvCounts: what onnxruntime calls of them. */
#pragma once
#include "node.h"
#include "ort.h"

/* Reads and checks everything that is the same in every call, and prepares the weights. */
OrtStatus *create_bit_conv(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle);

OrtStatus *compute_bit_conv(void *handle, OrtKernelContext *context);

/* Sets Y's shape where batch, rows and columns are known (the batch may be a name); says nothing otherwise. Errors are
 * left to the other two: onnxruntime ignores a status from here. */
OrtStatus *infer_bit_conv(const OrtCustomOp *op, OrtShapeInferContext *context);
