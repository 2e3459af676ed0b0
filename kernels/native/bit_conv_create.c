#include <stdlib.h>
#include <string.h>

#include "bit_conv_read.h"
#include "choice.h"
#include "finish.h"
#include "ops.h"
#include "parallel.h"
#include "window.h"

/* The longest span of words whose sums fit int16 in every lane block. */
static int64_t longest_span(const int64_t *span_sums, int64_t blocks) {
  int k = 0;
  for (int longer = 1; longer < SPANS; longer++) {
    for (int64_t block = 0; block < blocks; block++)
      if (span_sums[block * SPANS + longer] > INT16_MAX) return (int64_t)MIN_SPAN << k;
    k = longer;
  }
  return (int64_t)MIN_SPAN << k;
}

/* How bit planes lie in words. Few channels lie by window rows where the words that saves, in every window, lane block and weight
 * plane, outweigh moving a row's words: one move takes about as long as counting three. */
static void lay_out_planes(int64_t *f) {
  const int64_t own = (f[F_CG] + WORD_BITS - 1) / WORD_BITS, row = (f[F_KW] * f[F_CG] + WORD_BITS - 1) / WORD_BITS;
  const int wide = f[F_DW] == 1; /* a row's words lie side by side: one run a row */
  const int64_t saved = f[F_KH] * (f[F_KW] * own - row) * f[F_OB] * f[F_M];
  f[F_by_rows] = row <= MAX_ROW_WORDS && (f[F_KW] - 1) * f[F_DW] <= MAX_HALO && saved >= 3 * (own + row);
  f[F_CW] = f[F_by_rows] ? row : own;
  f[F_taps] = f[F_by_rows] || wide ? f[F_KH] : f[F_KH] * f[F_KW];
  f[F_run] = f[F_by_rows] ? row : wide ? f[F_KW] * own : own;
}

/* scale and bias by lanes, the units of the codes in the scale: rounded once. */
static void scale_lanes(const int64_t *f, const float *scale, const float *bias) {
  const double *coding = (const double *)(intptr_t)f[F_coding];
  float *out_scale = (float *)(intptr_t)f[F_out_scale], *out_bias = (float *)(intptr_t)f[F_out_bias];
  for (int64_t o = 0; o < f[F_O]; o++) {
    const int64_t at = o / f[F_OG] * f[F_OB] * LANES + o % f[F_OG];
    out_scale[at] = (float)(scale[o] * (coding[CODING_rows + (f[F_alpha_rows] == 1 ? 0 : o)] * coding[CODING_unit]));
    out_bias[at] = bias[o];
  }
}

static OrtStatus *no_memory(const Node *node, const Parameters *p) {
  return failure(node, "not enough memory to prepare %lld weights", (long long)p->weights);
}

/* What the parameters say of sizes; a call adds those of its image. */
static void take_sizes(const Parameters *p, int64_t *f) {
  const int64_t *shape = p->shape.values;
  f[F_O] = shape[0], f[F_CG] = shape[1], f[F_KH] = shape[2], f[F_KW] = shape[3];
  f[F_G] = p->group, f[F_C] = p->channels, f[F_OG] = f[F_O] / f[F_G];
  f[F_OB] = (f[F_OG] + LANES - 1) / LANES;
  f[F_M] = p->alpha.dims[1] - 1, f[F_N] = p->beta.dims[0] - 1, f[F_E] = (int64_t)p->level_masks.count - 1;
  f[F_R] = p->W.dims[0], f[F_code_bytes] = p->W.dims[1], f[F_weight_codes] = (int64_t)p->weight_masks.count;
  f[F_v_rows] = p->v.dims[0], f[F_sign_rows] = p->sign.dims[0], f[F_alpha_rows] = p->alpha.dims[0];
}

/* What kernels need not do for these coefficients and masks. */
static void take_shortcuts(const Parameters *p, int64_t *f) {
  f[F_has_beta_0] = ((const float *)p->beta.data)[0] != 0;
  for (int64_t k = 0; k < f[F_alpha_rows]; k++)
    if (((const float *)p->alpha.data)[k * (f[F_M] + 1)] != 0) f[F_has_alpha_0] = 1;
  f[F_one_hot] = f[F_E] == f[F_N];
  for (int64_t level = 0; level <= f[F_E]; level++)
    if (p->level_masks.values[level] != (level ? 1 << (level - 1) : 0)) f[F_one_hot] = 0;
}

/* The masks as bytes: MAX_ENDPOINTS + 1 at most. */
static Constant mask_bytes(const Ints *masks, uint8_t *bytes) {
  for (size_t k = 0; k < masks->count; k++) bytes[k] = (uint8_t)masks->values[k];
  return (Constant){bytes, {(int64_t)masks->count}, 1};
}

/* How even the endpoints of each row of v are, for a gather that compares. */
static OrtStatus *measure_endpoints(Node *node, const Parameters *p) {
  int64_t *f = node->fields;
  const float *v = (const float *)(intptr_t)f[F_v];
  float *even = node_memory(node, f[F_v_rows], EVEN_ROWS, 1, 1, 4);
  if (!even) return no_memory(node, p);
  for (int64_t row = 0; row < f[F_v_rows]; row++) {
    float *here = even + row * EVEN_ROWS;
    here[2] = evenness(v + row * f[F_E], 1, f[F_E], here, here + 1);
  }
  f[F_even] = (int64_t)(intptr_t)even;
  return NULL;
}

/* Memory for what is made once, whatever the kernel; constants that calls read are copied. */
static OrtStatus *keep_constants(Node *node, const Parameters *p) {
  int64_t *f = node->fields;
  uint8_t bytes[MAX_ENDPOINTS + 1];
  const Constant level_masks = mask_bytes(&p->level_masks, bytes);
  const int64_t blocks = f[F_G] * f[F_OB];
  if (p->v.data) f[F_v] = keep(node, &p->v, 4), f[F_sign] = keep(node, &p->sign, 1);
  f[F_beta] = keep(node, &p->beta, 4);
  f[F_level_masks] = keep(node, &level_masks, 1);
  f[F_coding] = (int64_t)(intptr_t)node_memory(node, CODING_rows + f[F_alpha_rows], 1, 1, 1, 8);
  f[F_alpha_k] = (int64_t)(intptr_t)node_memory(node, f[F_alpha_rows], f[F_M] + 1, 1, 1, 4);
  f[F_beta_l] = (int64_t)(intptr_t)node_memory(node, f[F_N] + 1, 1, 1, 1, 4);
  f[F_level_codes] = (int64_t)(intptr_t)node_memory(node, f[F_E] + 1, 1, 1, 1, 1);
  float *lanes = node_memory(node, blocks, f[F_KH] * f[F_KW] + 4, LANES, 1, 4); /* of start to offset_taps */
  if ((p->v.data && (!f[F_v] || !f[F_sign])) || !f[F_beta] || !f[F_level_masks] || !f[F_coding] || !f[F_alpha_k] ||
      !f[F_beta_l] || !f[F_level_codes] || !lanes)
    return no_memory(node, p);
  const int parts[5] = {F_start, F_out_scale, F_out_bias, F_offset_alpha, F_offset_taps};
  for (int k = 0; k < 5; k++) f[parts[k]] = (int64_t)(intptr_t)(lanes + k * blocks * LANES);
  return p->v.data ? measure_endpoints(node, p) : NULL;
}

/* How the kernel that was chosen takes its words, and memory for those of the weights. */
static OrtStatus *lay_out(Node *node, const Parameters *p) {
  int64_t *f = node->fields;
  const Cpu *cpu = node->cpu;
  if (f[F_coded]) {
    const int wide = f[F_DW] == 1; /* a row's words lie side by side: one run a row */
    const Multiplier *multiplier = &cpu->multipliers[node->kind];
    f[F_by_rows] = 0, f[F_CW] = (f[F_CG] + 3) / 4;
    f[F_taps] = wide ? f[F_KH] : f[F_KH] * f[F_KW], f[F_run] = wide ? f[F_KW] * f[F_CW] : f[F_CW];
    f[F_accumulate] = (int64_t)(intptr_t)cpu->accumulate_codes[node->kind][0];
    f[F_pixels_at_once] = multiplier->pixels, f[F_blocks_at_once] = multiplier->blocks, f[F_words_at_once] = multiplier->words;
  } else {
    const Blocking *blocking = &cpu->blockings[f[F_M]][f[F_N]];
    f[F_accumulate] = (int64_t)(intptr_t)cpu->accumulate, f[F_pixels_at_once] = blocking->pixels;
    f[F_parts_M] = blocking->parts_M, f[F_parts_N] = blocking->parts_N;
  }
  const int64_t blocks = f[F_G] * f[F_OB], at_a_time = f[F_coded] ? f[F_words_at_once] : 1;
  const int64_t run = (f[F_run] + at_a_time - 1) / at_a_time * at_a_time;
  f[F_weight_words] = (int64_t)(intptr_t)node_memory(node, blocks * f[F_taps], run, f[F_coded] ? 1 : f[F_M], LANES, 4);
  f[F_phi] = (int64_t)(intptr_t)node_memory(node, blocks, f[F_coded] ? 1 : f[F_M] * f[F_N], LANES, 1, 4);
  return f[F_weight_words] && f[F_phi] ? NULL : no_memory(node, p);
}

/* Fills the weights' words. `once` has the constants that this alone reads. */
static OrtStatus *prepare(Node *node, const Parameters *p, const int64_t *once) {
  int64_t *f = node->fields, fields[F_COUNT];
  const int64_t blocks = f[F_G] * f[F_OB];
  int64_t *span_sums = calloc((size_t)blocks, SPANS * sizeof *span_sums);
  if (!span_sums) return no_memory(node, p);
  memcpy(fields, f, sizeof fields);
  fields[F_codes] = once[F_codes], fields[F_alpha] = once[F_alpha], fields[F_weight_masks] = once[F_weight_masks];
  fields[F_span_sums] = (int64_t)(intptr_t)span_sums;
  parallel_for(f[F_coded] ? node->cpu->prepare_codes : node->cpu->prepare_weights, fields, (size_t)blocks);
  f[F_span] = longest_span(span_sums, blocks);
  free(span_sums);
  if (fields[F_error])
    return failure(node, "expected weight codes below %zu (the number of weight_masks); found a larger one at weight %lld",
                   p->weight_masks.count, (long long)fields[F_error] - 1);
  return NULL;
}

/* Everything that is the same in every call. */
OrtStatus *fill_bit_conv(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields, once[F_COUNT];
  uint8_t weight_masks[MAX_ENDPOINTS + 1];
  Parameters p = {0};
  RETURN_IF_ERROR(read_parameters(node, info, &p));
  take_sizes(&p, f);
  RETURN_IF_ERROR(read_window(node, info));
  take_shortcuts(&p, f);
  lay_out_planes(f);
  RETURN_IF_ERROR(keep_constants(node, &p));
  if (!resolve_kernels(f[F_M], f[F_N]))
    return failure(node, "the kernels for M=%lld, N=%lld could not be compiled", (long long)f[F_M], (long long)f[F_N]);
  memcpy(once, f, sizeof once);
  once[F_codes] = (int64_t)(intptr_t)p.W.data, once[F_alpha] = (int64_t)(intptr_t)p.alpha.data;
  once[F_weight_masks] = (int64_t)(intptr_t)mask_bytes(&p.weight_masks, weight_masks).data;
  RETURN_IF_ERROR(node_choice(node, info));
  choose_kernel(node, once, p.window);
  scale_lanes(f, p.scale.data, p.bias.data);
  RETURN_IF_ERROR(lay_out(node, &p));
  RETURN_IF_ERROR(prepare(node, &p, once));
  f[F_channel_last] = node->op->kind == OP_PALevelConv;
  return f[F_channel_last] ? read_finish(node, info) : NULL;
}
