#include <string.h>

#include "finish.h"
#include "infer.h"
#include "ops.h"
#include "tasks.h"
#include "window.h"

/* ---- PALevels ---------------------------------------------------------------------------------------------------- */

OrtStatus *fill_levels(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  Constant v, sign;
  RETURN_IF_ERROR(read_constant(node, info, "v", &v));
  RETURN_IF_ERROR(read_constant(node, info, "sign", &sign));
  if (v.rank != 2 || sign.rank != 1)
    return failure(node, "expected v of shape (1 or C, E) and sign of shape (1 or C,); found rank %zu and %zu", v.rank,
                   sign.rank);
  /* One row for all channels fills one block, whatever their number is in a call. */
  const int64_t channels = v.dims[0] > sign.dims[0] ? v.dims[0] : sign.dims[0];
  f[F_v_rows] = channels;
  return read_endpoints(node, info, "v", "sign", 1, channels == 1 ? LANES : channels, F_E_1, F_thresholds_1, F_flips_1);
}

OrtStatus *compute_levels(void *handle, OrtKernelContext *context) {
  const Node *node = handle;
  int64_t f[F_COUNT], dims[4];
  void *x = NULL, *levels = NULL;
  memcpy(f, node->fields, sizeof f);
  RETURN_IF_ERROR(read_input(node, context, 0, dims, 4, &x));
  if (f[F_v_rows] != 1 && dims[3] != f[F_v_rows])
    return failure(node, "expected X of shape (B, H, W, %lld); found %s", (long long)f[F_v_rows], list(dims, 4).text);
  RETURN_IF_ERROR(make_output(context, 0, dims, 4, &levels));
  f[F_x] = (int64_t)(intptr_t)x, f[F_levels_1] = (int64_t)(intptr_t)levels;
  f[F_B] = dims[0], f[F_H] = dims[1], f[F_W] = dims[2], f[F_C] = dims[3];
  f[F_OB] = (f[F_C] + LANES - 1) / LANES;
  const int64_t positions = f[F_B] * f[F_H] * f[F_W];
  return run_tasks(context, node->cpu->levels_of_values, (positions + LEVEL_RUN - 1) / LEVEL_RUN, f);
}

OrtStatus *infer_levels(const OrtCustomOp *op, OrtShapeInferContext *context) {
  Shape shape;
  (void)op;
  return input_shape(context, 0, &shape) ? set_output_shape(context, 0, ORT_UINT8, &shape) : NULL;
}

/* ---- PALevelMaxPool ---------------------------------------------------------------------------------------------- */

OrtStatus *fill_max_pool(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  Ints kernel, pads;
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_kernel_shape, &kernel));
  RETURN_IF_ERROR(read_steps(node, info, &pads));
  if (smallest(kernel.values, 2) < 1)
    return failure(node, "expected kernel_shape of at least 1; found %s", list(kernel.values, 2).text);
  for (int k = 0; k < 4; k++)
    if (pads.values[k] < 0 || pads.values[k] >= kernel.values[k % 2])
      return failure(node, "expected pads of at least 0 and smaller than the window; found %s",
                     list(pads.values, 4).text);
  f[F_KH] = kernel.values[0], f[F_KW] = kernel.values[1], f[F_DH] = f[F_DW] = 1;
  take_pads(f, &pads);
  return NULL;
}

OrtStatus *compute_max_pool(void *handle, OrtKernelContext *context) {
  const Node *node = handle;
  int64_t f[F_COUNT], dims[4];
  void *levels = NULL, *pooled = NULL;
  memcpy(f, node->fields, sizeof f);
  RETURN_IF_ERROR(read_input(node, context, 0, dims, 4, &levels));
  f[F_B] = dims[0], f[F_H] = dims[1], f[F_W] = dims[2], f[F_C] = dims[3];
  RETURN_IF_ERROR(slide_window(node, f, dims));
  const int64_t out[4] = {f[F_B], f[F_OH], f[F_OW], f[F_C]};
  RETURN_IF_ERROR(make_output(context, 0, out, 4, &pooled));
  f[F_levels] = (int64_t)(intptr_t)levels, f[F_levels_1] = (int64_t)(intptr_t)pooled;
  return run_tasks(context, node->cpu->pool_levels, f[F_B] * f[F_OH], f);
}

OrtStatus *infer_max_pool(const OrtCustomOp *op, OrtShapeInferContext *context) {
  (void)op;
  Shape shape;
  int64_t kernel[2];
  if (!input_shape(context, 0, &shape) || !attribute_ints(context, "kernel_shape", kernel, 2) || !slide(context, &shape, 1, kernel))
    return NULL;
  return set_output_shape(context, 0, ORT_UINT8, &shape);
}
