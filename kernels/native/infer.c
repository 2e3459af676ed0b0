#include "infer.h"

int input_shape(OrtShapeInferContext *context, size_t index, Shape *shape) {
  OrtTensorInfo *info = NULL; /* belongs to the context */
  const char *names[4] = {0};
  size_t rank = 0;
  OrtStatus *status = ORT_CALL(ShapeInferContext_GetInputTypeShape)(context, index, &info);
  if (!status) status = ORT_CALL(GetDimensionsCount)(info, &rank);
  if (!status && rank == 4) status = ORT_CALL(GetDimensions)(info, shape->dims, 4);
  if (!status && rank == 4) status = ORT_CALL(GetSymbolicDimensions)(info, names, 4);
  drop(status);
  if (status || rank != 4) return 0;
  for (int k = 0; k < 4; k++) {
    shape->names[k] = shape->dims[k] < 0 && names[k] ? names[k] : "";
    if (shape->dims[k] < 0 && (k || !*shape->names[k])) return 0;
  }
  return 1;
}

int attribute_ints(const OrtShapeInferContext *context, const char *name, int64_t *values, size_t count) {
  const OrtOpAttr *attribute = NULL;
  size_t needed = 0;
  OrtStatus *status = ORT_CALL(ShapeInferContext_GetAttribute)(context, name, &attribute);
  if (!status) status = ORT_CALL(ReadOpAttr)(attribute, ORT_ATTRIBUTE_INTS, values, count * sizeof *values, &needed);
  const int ok = !status && needed == count * sizeof *values;
  drop(status);
  return ok;
}

/* Whether sums and products of two of them stay in 64 bits. */
static int small(const int64_t *values, size_t count) {
  for (size_t k = 0; k < count; k++) {
    if (values[k] < -(INT64_C(1) << 30) || values[k] > INT64_C(1) << 30) return 0;
  }
  return 1;
}

int slide(const OrtShapeInferContext *context, Shape *shape, int first, const int64_t *kernel) {
  int64_t strides[2], pads[4], dilations[2];
  if (!attribute_ints(context, "strides", strides, 2) || !attribute_ints(context, "pads", pads, 4)) return 0;
  if (!attribute_ints(context, "dilations", dilations, 2)) dilations[0] = dilations[1] = 1; /* MaxPool has none */
  if (!small(shape->dims + first, 2) || !small(kernel, 2) || !small(pads, 4) || !small(dilations, 2)) return 0;
  for (int axis = 0; axis < 2; axis++) {
    int64_t *size = &shape->dims[first + axis];
    const int64_t free_span = *size + pads[axis] + pads[axis + 2] - dilations[axis] * (kernel[axis] - 1) - 1;
    if (free_span < 0 || strides[axis] < 1) return 0;
    *size = free_span / strides[axis] + 1;
  }
  return 1;
}

OrtStatus *set_output_shape(OrtShapeInferContext *context, size_t index, int type, const Shape *shape) {
  OrtTensorInfo *info = NULL;
  RETURN_IF_ERROR(ORT_CALL(CreateTensorTypeAndShapeInfo)(&info));
  OrtStatus *status = ORT_CALL(SetTensorElementType)(info, type);
  if (!status) status = ORT_CALL(SetDimensions)(info, shape->dims, 4);
  if (!status) status = ORT_CALL(SetSymbolicDimensions)(info, (const char **)shape->names, 4);
  if (!status) status = ORT_CALL(ShapeInferContext_SetOutputTypeShape)(context, index, info);
  ORT_CALL(ReleaseTensorTypeAndShapeInfo)(info);
  return status;
}

OrtStatus *set_finish_shapes(OrtShapeInferContext *context, const Shape *shape) {
  RETURN_IF_ERROR(set_output_shape(context, 0, ORT_FLOAT, shape));
  RETURN_IF_ERROR(set_output_shape(context, 1, ORT_UINT8, shape));
  return set_output_shape(context, 2, ORT_UINT8, shape);
}
