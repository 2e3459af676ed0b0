/* Shape inference: what is known of a tensor of rank 4. Errors are left to creation and calls: onnxruntime ignores a
 * status from here. */
#pragma once
#include "node.h"
#include "ort.h"

typedef struct {
  int64_t dims[4];      /* below 0 where unknown */
  const char *names[4]; /* of symbolic dimensions, else "" */
} Shape;

/* The shape of an input, if it has rank 4 and all but a named first dimension are known; else 0. */
int input_shape(OrtShapeInferContext *context, size_t index, Shape *shape);

int attribute_ints(const OrtShapeInferContext *context, const char *name, int64_t *values, size_t count);

/* Replaces dimensions `first` and `first`+1 by those of a sliding window's results; 0 if it doesn't fit. */
int slide(const OrtShapeInferContext *context, Shape *shape, int first, const int64_t *kernel);

OrtStatus *set_output_shape(OrtShapeInferContext *context, size_t index, int type, const Shape *shape);

/* The same for the outputs of a channel-last finish. */
OrtStatus *set_finish_shapes(OrtShapeInferContext *context, const Shape *shape);
