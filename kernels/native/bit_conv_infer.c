#include "bit_conv.h"

static int attribute_ints(const OrtShapeInferContext *context, const char *name, int64_t *values, size_t count) {
  const OrtOpAttr *attribute = NULL;
  size_t needed = 0;
  OrtStatus *status = ORT_CALL(ShapeInferContext_GetAttribute)(context, name, &attribute);
  if (!status) status = ORT_CALL(ReadOpAttr)(attribute, ORT_ATTRIBUTE_INTS, values, count * sizeof *values, &needed);
  const int ok = !status && needed == count * sizeof *values;
  drop(status);
  return ok;
}

OrtStatus *infer_bit_conv(const OrtCustomOp *op, OrtShapeInferContext *context) {
  OrtTensorInfo *x_info = NULL, *y_info = NULL; /* x_info belongs to the context */
  int64_t x[4], y[4], shape[4], strides[2], pads[4], dilations[2];
  const char *x_names[4] = {0}, *y_names[4] = {"", "", "", ""};
  size_t rank = 0;
  if (((const Op *)op)->counts) return NULL;
  RETURN_IF_ERROR(ORT_CALL(ShapeInferContext_GetInputTypeShape)(context, INPUT_X, &x_info));
  RETURN_IF_ERROR(ORT_CALL(GetDimensionsCount)(x_info, &rank));
  if (rank != 4) return NULL;
  RETURN_IF_ERROR(ORT_CALL(GetDimensions)(x_info, x, 4));
  RETURN_IF_ERROR(ORT_CALL(GetSymbolicDimensions)(x_info, x_names, 4));
  const int named_batch = x[0] < 0 && x_names[0] && x_names[0][0];
  if ((x[0] < 0 && !named_batch) || x[2] < 0 || x[3] < 0) return NULL;
  if (!attribute_ints(context, "weight_shape", shape, 4) || !attribute_ints(context, "strides", strides, 2) ||
      !attribute_ints(context, "pads", pads, 4) || !attribute_ints(context, "dilations", dilations, 2))
    return NULL;
  y[0] = x[0], y[1] = shape[0];
  if (named_batch) y_names[0] = x_names[0];
  for (int axis = 0; axis < 2; axis++) {
    const int64_t free_span = x[2 + axis] + pads[axis] + pads[axis + 2] - dilations[axis] * (shape[2 + axis] - 1) - 1;
    if (free_span < 0 || strides[axis] < 1) return NULL;
    y[2 + axis] = free_span / strides[axis] + 1;
  }
  RETURN_IF_ERROR(ORT_CALL(CreateTensorTypeAndShapeInfo)(&y_info));
  OrtStatus *status = ORT_CALL(SetTensorElementType)(y_info, ORT_FLOAT);
  if (!status) status = ORT_CALL(SetDimensions)(y_info, y, 4);
  if (!status) status = ORT_CALL(SetSymbolicDimensions)(y_info, y_names, 4);
  if (!status) status = ORT_CALL(ShapeInferContext_SetOutputTypeShape)(context, 0, y_info);
  ORT_CALL(ReleaseTensorTypeAndShapeInfo)(y_info);
  return status;
}
