#include "infer.h"
#include "ops.h"

OrtStatus *infer_bit_conv(const OrtCustomOp *op, OrtShapeInferContext *context) {
  const int kind = ((const Op *)op)->kind, levels = kind == OP_PALevelConv;
  Shape out;
  int64_t shape[4];
  if (kind == OP_PABitConvCounts || !input_shape(context, 0, &out) || !attribute_ints(context, "weight_shape", shape, 4) ||
      !slide(context, &out, levels ? 1 : 2, shape + 2))
    return NULL;
  out.dims[levels ? 3 : 1] = shape[0];
  return levels ? set_finish_shapes(context, &out) : set_output_shape(context, 0, ORT_FLOAT, &out);
}
