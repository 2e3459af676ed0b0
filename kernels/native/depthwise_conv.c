#include <string.h>

#include "finish.h"
#include "infer.h"
#include "ops.h"
#include "scratch.h"
#include "tasks.h"
#include "window.h"

/* Weights and bias by lanes. A last block of fewer channels is filled up with those before, where there are any: it is
 * read from there. */
static OrtStatus *lay_out(Node *node, const float *W, const Constant *bias) {
  int64_t *f = node->fields;
  const int64_t taps = f[F_KH] * f[F_KW], least = f[F_C] < LANES ? 0 : f[F_C] - LANES;
  float *weights = node_memory(node, f[F_OB], taps, LANES, 1, 4), *start = node_memory(node, f[F_OB], LANES, 1, 1, 4);
  if (!weights || !start) return failure(node, "not enough memory to prepare %lld weights", (long long)(f[F_C] * taps));
  for (int64_t at = 0; at < f[F_OB] * LANES; at++) {
    const int64_t block = at / LANES, c = at % LANES + (block * LANES < least ? block * LANES : least);
    if (c >= f[F_C]) continue;
    start[at] = ((const float *)bias->data)[bias->dims[0] == 1 ? 0 : c];
    for (int64_t tap = 0; tap < taps; tap++) weights[(block * taps + tap) * LANES + at % LANES] = W[c * taps + tap];
  }
  f[F_tap_weights] = (int64_t)(intptr_t)weights, f[F_out_bias] = (int64_t)(intptr_t)start;
  return NULL;
}

OrtStatus *fill_depthwise_conv(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  Constant W, bias;
  RETURN_IF_ERROR(read_finite(node, info, "W", &W));
  RETURN_IF_ERROR(read_finite(node, info, "bias", &bias));
  if (W.rank != 4 || W.dims[1] != 1 || smallest(W.dims, 4) < 1)
    return failure(node, "expected W of shape (C, 1, KH, KW), all at least 1; found %s", list(W.dims, W.rank).text);
  if (bias.rank != 1 || (bias.dims[0] != 1 && bias.dims[0] != W.dims[0]))
    return failure(node, "expected bias of shape (1 or %lld,); found %s", (long long)W.dims[0], list(bias.dims, bias.rank).text);
  f[F_C] = f[F_O] = f[F_OG] = W.dims[0], f[F_G] = 1, f[F_KH] = W.dims[2], f[F_KW] = W.dims[3];
  f[F_OB] = (f[F_C] + LANES - 1) / LANES;
  RETURN_IF_ERROR(read_window(node, info));
  RETURN_IF_ERROR(lay_out(node, W.data, &bias));
  return read_finish(node, info);
}

OrtStatus *compute_depthwise_conv(void *handle, OrtKernelContext *context) {
  const Node *node = handle;
  int64_t f[F_COUNT], dims[4];
  void *x = NULL, *copy = NULL;
  memcpy(f, node->fields, sizeof f);
  RETURN_IF_ERROR(read_input(node, context, 0, dims, 4, &x));
  if (dims[3] != f[F_C])
    return failure(node, "expected X of shape (B, H, W, %lld); found %s", (long long)f[F_C], list(dims, 4).text);
  f[F_B] = dims[0], f[F_H] = dims[1], f[F_W] = dims[2];
  RETURN_IF_ERROR(slide_window(node, f, dims));
  RETURN_IF_ERROR(take_finish(node, context, f));
  if (f[F_C] < LANES) { /* whole vectors are read */
    const size_t bytes = (size_t)(dims[0] * dims[1] * dims[2] * dims[3] * 4);
    if (!(copy = take_scratch(bytes + LANES * 4))) return failure(node, "not enough memory for %zu bytes of X", bytes);
    x = memcpy(copy, x, bytes);
  }
  f[F_x] = (int64_t)(intptr_t)x, f[F_accumulate] = (int64_t)(intptr_t)node->cpu->depthwise_sums[0][0];
  OrtStatus *status = run_tasks(context, node->cpu->depthwise_conv, f[F_B] * f[F_OH], f);
  if (copy) give_scratch(copy);
  return status;
}

OrtStatus *infer_depthwise_conv(const OrtCustomOp *op, OrtShapeInferContext *context) {
  (void)op;
  Shape out, weights;
  if (!input_shape(context, 0, &out) || !input_shape(context, 2, &weights) || !slide(context, &out, 1, weights.dims + 2))
    return NULL;
  return set_finish_shapes(context, &out);
}
