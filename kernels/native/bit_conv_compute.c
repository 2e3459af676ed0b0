#include <string.h>

#include "bit_conv.h"
#include "platform.h"

/* Runs tasks 0..total-1, on onnxruntime's threads if there is more than one. */
static OrtStatus *run_tasks(const OrtKernelContext *context, Task task, int64_t total, int64_t *fields) {
  if (total > 1) return ORT_CALL(KernelContext_ParallelFor)(context, task, (size_t)total, 0, fields);
  if (total == 1) task(fields, 0);
  return NULL;
}

/* Divide lane blocks, and the words to gather, so that even a small image gives several tasks; never depends on the number
 * of threads. */
static void divide(int64_t *f) {
  enum { ENOUGH_TASKS = 8 };
  const int64_t own = (f[F_CG] + WORD_BITS - 1) / WORD_BITS;
  f[F_gather_runs] = (f[F_H] * f[F_W] + GATHER_RUN - 1) / GATHER_RUN;
  const int64_t runs = f[F_B] * f[F_G] * f[F_gather_runs];
  f[F_gather_parts] = runs && !f[F_D] ? (ENOUGH_TASKS + runs - 1) / runs : 1;
  if (f[F_gather_parts] > own) f[F_gather_parts] = own;
  f[F_pixel_chunks] = (f[F_OH] * f[F_OW] + PIXEL_CHUNK - 1) / PIXEL_CHUNK;
  const int64_t without = f[F_B] * f[F_G] * f[F_pixel_chunks];
  int64_t chunks = (ENOUGH_TASKS + without - 1) / without;
  if (chunks > f[F_OB]) chunks = f[F_OB];
  f[F_blocks_per_task] = (f[F_OB] + chunks - 1) / chunks;
  f[F_block_chunks] = (f[F_OB] + f[F_blocks_per_task] - 1) / f[F_blocks_per_task];
}

/* A 1x1 convolution with strides reads few positions: pack those alone, a smaller image with strides of 1. */
static void take_what_is_read(int64_t *f) {
  f[F_XH] = f[F_H], f[F_XW] = f[F_W], f[F_XSH] = f[F_XSW] = 1;
  if (f[F_D] || f[F_KH] != 1 || f[F_KW] != 1 || f[F_Hp] != f[F_H] || f[F_Wp] != f[F_W]) return;
  f[F_XSH] = f[F_SH], f[F_XSW] = f[F_SW], f[F_SH] = f[F_SW] = 1;
  f[F_H] = f[F_Hp] = f[F_OH], f[F_W] = f[F_Wp] = f[F_OW];
}

/* Fills the packed image with what window padding is made of; the gather then writes the rest. */
static void clear_padding(const int64_t *f, int64_t words, int64_t positions) {
  uint8_t *packed = (uint8_t *)(intptr_t)f[F_words];
  if (!f[F_D]) {
    memset(packed, 0, (size_t)words);
    return;
  }
  const int high = (int)((const double *)(intptr_t)f[F_coding])[CODING_HEAD - 1];
  memset((void *)(intptr_t)f[F_sums], 0, (size_t)positions * 8);
  memset(packed, high, (size_t)words);
  if (f[F_D] == 2)
    for (int64_t k = 4; k < words; k += 8) memset(packed + k, LOW_ZERO, 4);
}

OrtStatus *compute_bit_conv(void *handle, OrtKernelContext *context) {
  const Node *node = handle;
  int64_t f[F_COUNT], dims[4];
  char text[160];
  size_t rank;
  memcpy(f, node->fields, sizeof f);

  const OrtValue *X = NULL;
  void *x_data = NULL;
  RETURN_IF_ERROR(ORT_CALL(KernelContext_GetInput)(context, INPUT_X, &X));
  if (!X) return failure(node, "expected the input X; found none");
  RETURN_IF_ERROR(read_dims(node, "X", X, dims, 4, &rank));
  if (rank != 4 || dims[1] != f[F_C])
    return failure(node, "expected X of shape (B, %lld, H, W); found %s", (long long)f[F_C],
                   list(text, sizeof text, dims, rank));
  RETURN_IF_ERROR(ORT_CALL(GetTensorMutableData)(X, &x_data));
  f[F_B] = dims[0], f[F_H] = dims[2], f[F_W] = dims[3];
  const int64_t span[2] = {f[F_DH] * (f[F_KH] - 1) + 1, f[F_DW] * (f[F_KW] - 1) + 1};
  f[F_Hp] += f[F_H], f[F_Wp] += f[F_W];
  if (f[F_Hp] < span[0] || f[F_Wp] < span[1])
    return failure(node, "expected a padded image of at least %lld x %lld (the dilated window); found X %s",
                   (long long)span[0], (long long)span[1], list(text, sizeof text, dims, rank));
  f[F_OH] = (f[F_Hp] - span[0]) / f[F_SH] + 1, f[F_OW] = (f[F_Wp] - span[1]) / f[F_SW] + 1;
  take_what_is_read(f);

  const int64_t y_dims[4] = {f[F_B], f[F_O], f[F_OH], f[F_OW]};
  const int64_t count_dims[6] = {f[F_B], f[F_M], f[F_N], f[F_O], f[F_OH], f[F_OW]};
  OrtValue *Y = NULL;
  void *y_data = NULL;
  RETURN_IF_ERROR(node->op->counts ? ORT_CALL(KernelContext_GetOutput)(context, 0, count_dims, 6, &Y)
                                   : ORT_CALL(KernelContext_GetOutput)(context, 0, y_dims, 4, &Y));
  RETURN_IF_ERROR(ORT_CALL(GetTensorMutableData)(Y, &y_data));
  if (!f[F_B]) return NULL;

  const int64_t word_bytes = f[F_CW] * (f[F_D] ? f[F_D] : f[F_N]) * 4;
  int64_t positions, words, bytes;
  if (__builtin_mul_overflow(f[F_B] * f[F_G], f[F_Hp], &positions) ||
      __builtin_mul_overflow(positions, f[F_Wp], &positions) || __builtin_mul_overflow(positions, word_bytes + 8, &bytes) ||
      __builtin_add_overflow(bytes, f[F_taps] * 8 + 128, &bytes))
    return failure(node, "expected a padded image that fits memory; found X %s and padding to %lld x %lld",
                   list(text, sizeof text, dims, rank), (long long)f[F_Hp], (long long)f[F_Wp]);
  void *scratch = aligned_memory((size_t)bytes);
  if (!scratch)
    return failure(node, "not enough memory for %lld bytes of packed activations", (long long)bytes);
  int64_t *tap_offsets = scratch;
  for (int64_t tap = 0; tap < f[F_taps]; tap++) {
    const int rows = f[F_taps] == f[F_KH]; /* a tap is a window row */
    const int64_t kh = rows ? tap : tap / f[F_KW], kw = rows ? 0 : tap % f[F_KW];
    tap_offsets[tap] = (kh * f[F_DH] * f[F_Wp] + kw * f[F_DW]) * word_bytes;
  }
  f[F_x] = (int64_t)(intptr_t)x_data, f[F_y] = (int64_t)(intptr_t)y_data;
  f[F_tap_offsets] = (int64_t)(intptr_t)scratch;
  f[F_words] = f[F_tap_offsets] + (f[F_taps] * 8 + 63) / 64 * 64;
  words = positions * word_bytes;
  f[F_sums] = f[F_words] + (words + 63) / 64 * 64;
  divide(f);
  const Level *level = node->level;
  const Task task = node->op->counts ? level->counts : f[F_D] ? level->conv_codes : level->conv;
  if (f[F_Hp] != f[F_H] || f[F_Wp] != f[F_W]) clear_padding(f, words, positions);
  OrtStatus *status = run_tasks(context, f[F_D] ? level->gather_codes : level->gather,
                                f[F_B] * f[F_G] * f[F_gather_parts] * f[F_gather_runs], f);
  if (!status && f[F_folded]) status = run_tasks(context, level->fold, f[F_B] * f[F_G] * f[F_Hp], f);
  if (!status) status = run_tasks(context, task, f[F_B] * f[F_G] * f[F_pixel_chunks] * f[F_block_chunks], f);
  free_aligned(scratch);
  return status;
}
