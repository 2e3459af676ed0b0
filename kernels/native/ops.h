/* What differs between the ops. fill reads and checks everything that is the same in every call; infer sets the
 * outputs' shapes where those of the inputs are known (the batch may be a name), and says nothing otherwise. */
#pragma once
#include "node.h"
#include "ort.h"

#define DECLARE_OP(op)                                              \
  OrtStatus *fill_##op(Node *node, const OrtKernelInfo *info);      \
  OrtStatus *compute_##op(void *handle, OrtKernelContext *context); \
  OrtStatus *infer_##op(const OrtCustomOp *op, OrtShapeInferContext *context);

DECLARE_OP(bit_conv) /* PABitConv, PABitConvCounts and PALevelConv */
DECLARE_OP(depthwise_conv)
DECLARE_OP(levels)
DECLARE_OP(max_pool)
