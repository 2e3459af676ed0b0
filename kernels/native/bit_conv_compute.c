#include <string.h>

#include "finish.h"
#include "ops.h"
#include "scratch.h"
#include "tasks.h"
#include "window.h"

/* Divide lane blocks, and the words to gather, so that even a small image gives several tasks; never depends on the
 * number of threads. Gathers from levels take whole positions. */
static void divide(int64_t *f) {
  enum { ENOUGH_TASKS = 8 };
  const int64_t own = (f[F_CG] + WORD_BITS - 1) / WORD_BITS;
  const int64_t run = f[F_levels] ? LEVEL_RUN : GATHER_RUN;
  f[F_gather_runs] = (f[F_H] * f[F_W] + run - 1) / run;
  const int64_t runs = f[F_B] * f[F_G] * f[F_gather_runs];
  f[F_gather_parts] = runs && !f[F_coded] && !f[F_levels] ? (ENOUGH_TASKS + runs - 1) / runs : 1;
  if (f[F_gather_parts] > own) f[F_gather_parts] = own;
  f[F_pixel_chunks] = ((f[F_OH] - 1) * f[F_row_pixels] + f[F_OW] + PIXEL_CHUNK - 1) / PIXEL_CHUNK;
  const int64_t without = f[F_B] * f[F_G] * f[F_pixel_chunks];
  int64_t chunks = (ENOUGH_TASKS + without - 1) / without;
  if (chunks > f[F_OB]) chunks = f[F_OB];
  f[F_blocks_per_task] = (f[F_OB] + chunks - 1) / chunks;
  if (f[F_coded]) f[F_blocks_per_task] = (f[F_blocks_per_task] + 1) / 2 * 2; /* whole register blocks of level codes */
  f[F_block_chunks] = (f[F_OB] + f[F_blocks_per_task] - 1) / f[F_blocks_per_task];
}

/* A 1x1 convolution with strides reads few positions: pack those alone, a smaller image with strides of 1. */
static void take_what_is_read(int64_t *f) {
  f[F_XH] = f[F_H], f[F_XW] = f[F_W], f[F_XSH] = f[F_XSW] = 1;
  if ((f[F_coded] && !f[F_levels]) || f[F_KH] != 1 || f[F_KW] != 1 || f[F_Hp] != f[F_H] || f[F_Wp] != f[F_W]) return;
  f[F_XSH] = f[F_SH], f[F_XSW] = f[F_SW], f[F_SH] = f[F_SW] = 1;
  f[F_H] = f[F_Hp] = f[F_OH], f[F_W] = f[F_Wp] = f[F_OW];
}

/* Bytes of a position's words. */
static int64_t position_bytes(const int64_t *f) { return f[F_CW] * (f[F_coded] ? 1 : f[F_N]) * 4; }

/* How many pixels a row is taken as. A tile of AMX wants TILE_ROWS pixels at one distance: either the pixels that lie
 * between one row's and the next's are computed too, and dropped, or rows are filled up to whole tiles. */
static void take_rows(int64_t *f) {
  f[F_row_pixels] = f[F_OW];
  if (!f[F_coded] || f[F_words_at_once] == 1) return;
  const int64_t through = f[F_Wp] * f[F_SH], filled = (f[F_OW] + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
  f[F_row_pixels] = filled;
  if (through % f[F_SW] == 0 && through / f[F_SW] >= f[F_OW] && through / f[F_SW] < filled)
    f[F_row_pixels] = through / f[F_SW];
}

/* Bytes behind the packed images that tiles read: of windows whose sums are dropped, and past a run's end. */
static int64_t slack_bytes(const int64_t *f) {
  if (!f[F_coded] || f[F_words_at_once] == 1) return 0;
  const int64_t pixels = ((f[F_OH] - 1) * f[F_row_pixels] + f[F_OW] + f[F_pixels_at_once] - 1) / f[F_pixels_at_once] * f[F_pixels_at_once];
  const int64_t last = pixels - 1, row = last / f[F_row_pixels], column = last % f[F_row_pixels];
  const int64_t positions = row * f[F_SH] * f[F_Wp] + (column + TILE_ROWS) * f[F_SW] + (f[F_KH] - 1) * f[F_DH] * f[F_Wp] +
                            f[F_KW] * f[F_DW] - f[F_Hp] * f[F_Wp];
  return (positions > 0 ? positions : 0) * position_bytes(f) + f[F_words_at_once] * 4;
}

/* Fills `count` positions of the packed image, from `first` on, with what window padding is made of. */
static void clear_positions(const int64_t *f, int64_t first, int64_t count) {
  const int64_t bytes = position_bytes(f);
  const int zero = f[F_coded] ? (int)((const double *)(intptr_t)f[F_coding])[CODING_zero] : 0;
  memset((uint8_t *)(intptr_t)f[F_words] + first * bytes, zero, (size_t)(count * bytes));
}

/* Clears the packed image's padding; the gather writes the rest. */
static void clear_padding(const int64_t *f) {
  const int64_t Hp = f[F_Hp], Wp = f[F_Wp], right = Wp - f[F_PL] - f[F_W];
  for (int64_t image = 0; image < f[F_B] * f[F_G]; image++)
    for (int64_t row = 0; row < Hp; row++) {
      const int64_t first = (image * Hp + row) * Wp;
      if (row < f[F_PT] || row >= f[F_PT] + f[F_H]) {
        clear_positions(f, first, Wp);
      } else {
        clear_positions(f, first, f[F_PL]);
        clear_positions(f, first + Wp - right, right);
      }
    }
}

/* Takes the sizes of the image into f. Its dimensions are (B, C, H, W), or (B, H, W, C) for levels. */
static OrtStatus *take_image(const Node *node, int64_t *f, const int64_t *dims) {
  const int levels = node->op->kind == OP_PALevelConv;
  const char *name = levels ? "L" : "X";
  if (dims[levels ? 3 : 1] != f[F_C])
    return failure(node, levels ? "expected %s of shape (B, H, W, %lld); found %s" : "expected %s of shape (B, %lld, H, W); found %s",
                   name, (long long)f[F_C], list(dims, 4).text);
  f[F_B] = dims[0], f[F_H] = dims[levels ? 1 : 2], f[F_W] = dims[levels ? 2 : 3];
  RETURN_IF_ERROR(slide_window(node, f, dims));
  if (f[F_OH] == 1) f[F_SH] = 1; /* there is no next */
  if (f[F_OW] == 1) f[F_SW] = 1;
  take_what_is_read(f);
  return NULL;
}

/* Gather and convolve, with memory for the packed image. */
static OrtStatus *convolve(const Node *node, OrtKernelContext *context, int64_t *f) {
  const int64_t word_bytes = position_bytes(f);
  int64_t positions, bytes;
  take_rows(f);
  if (__builtin_mul_overflow(f[F_B] * f[F_G], f[F_Hp], &positions) ||
      __builtin_mul_overflow(positions, f[F_Wp], &positions) || __builtin_mul_overflow(positions, word_bytes, &bytes) ||
      __builtin_add_overflow(bytes, slack_bytes(f) + f[F_taps] * 8 + 128, &bytes))
    return failure(node, "expected a padded image that fits memory; found %lld x %lld", (long long)f[F_Hp],
                   (long long)f[F_Wp]);
  void *scratch = take_scratch((size_t)bytes);
  if (!scratch)
    return failure(node, "not enough memory for %lld bytes of packed activations", (long long)bytes);
  int64_t *tap_offsets = scratch;
  for (int64_t tap = 0; tap < f[F_taps]; tap++) {
    const int rows = f[F_taps] == f[F_KH]; /* a tap is a window row */
    const int64_t kh = rows ? tap : tap / f[F_KW], kw = rows ? 0 : tap % f[F_KW];
    tap_offsets[tap] = (kh * f[F_DH] * f[F_Wp] + kw * f[F_DW]) * word_bytes;
  }
  f[F_tap_offsets] = (int64_t)(intptr_t)scratch;
  f[F_words] = f[F_tap_offsets] + (f[F_taps] * 8 + 63) / 64 * 64;
  divide(f);
  if (f[F_Hp] != f[F_H] || f[F_Wp] != f[F_W]) clear_padding(f);

  const Cpu *cpu = node->cpu;
  const int kind = node->op->kind;
  const Task gather = kind == OP_PALevelConv ? (f[F_coded] ? cpu->gather_level_codes : cpu->gather_levels)
                                             : (f[F_coded] ? cpu->gather_codes : cpu->gather);
  const Task conv = f[F_coded] ? cpu->conv_codes : cpu->conv;
  OrtStatus *status = run_tasks(context, gather, f[F_B] * f[F_G] * f[F_gather_parts] * f[F_gather_runs], f);
  if (!status && f[F_by_rows]) status = run_tasks(context, cpu->window_rows, f[F_B] * f[F_G] * f[F_Hp], f);
  if (!status) status = run_tasks(context, conv, f[F_B] * f[F_G] * f[F_pixel_chunks] * f[F_block_chunks], f);
  give_scratch(scratch);
  return status;
}

OrtStatus *compute_bit_conv(void *handle, OrtKernelContext *context) {
  const Node *node = handle;
  const int kind = node->op->kind;
  int64_t f[F_COUNT], dims[4];
  void *data = NULL;
  memcpy(f, node->fields, sizeof f);
  RETURN_IF_ERROR(read_input(node, context, 0, dims, 4, &data));
  RETURN_IF_ERROR(take_image(node, f, dims));
  f[kind == OP_PALevelConv ? F_levels : F_x] = (int64_t)(intptr_t)data;
  if (kind == OP_PALevelConv) {
    RETURN_IF_ERROR(take_finish(node, context, f));
  } else {
    const int64_t y_dims[4] = {f[F_B], f[F_O], f[F_OH], f[F_OW]};
    const int64_t count_dims[6] = {f[F_B], f[F_M], f[F_N], f[F_O], f[F_OH], f[F_OW]};
    f[F_wants_counts] = kind == OP_PABitConvCounts;
    RETURN_IF_ERROR(make_output(context, 0, f[F_wants_counts] ? count_dims : y_dims, f[F_wants_counts] ? 6 : 4, &data));
    f[F_y] = (int64_t)(intptr_t)data;
  }
  return f[F_B] ? convolve(node, context, f) : NULL;
}
