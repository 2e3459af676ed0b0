#include "bit_conv.h"
#include "infer.h"

OrtStatus *infer_bit_conv(const OrtCustomOp *op, OrtShapeInferContext *context) {
  const int kind = ((const Op *)op)->kind, levels = kind == OP_PALevelConv;
  Shape out;
  int64_t shape[4], strides[2], pads[4], dilations[2];
  if (kind == OP_PABitConvCounts || !input_shape(context, 0, &out) || !attribute_ints(context, "weight_shape", shape, 4) ||
      !attribute_ints(context, "strides", strides, 2) || !attribute_ints(context, "pads", pads, 4) ||
      !attribute_ints(context, "dilations", dilations, 2) ||
      !slide(&out, levels ? 1 : 2, shape + 2, strides, pads, dilations))
    return NULL;
  out.dims[levels ? 3 : 1] = shape[0];
  return levels ? set_finish_shapes(context, &out) : set_output_shape(context, 0, ORT_FLOAT, &out);
}
