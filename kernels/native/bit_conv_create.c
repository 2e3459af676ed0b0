#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bit_conv.h"
#include "choice.h"
#include "endpoints.h"
#include "parallel.h"

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

/* How bit planes lie in words. Few channels are folded where the words that saves, in every window, lane block and weight
 * plane, outweigh moving a row's words: one move takes about as long as counting three. */
static void lay_out_planes(int64_t *f) {
  const int64_t own = (f[F_CG] + WORD_BITS - 1) / WORD_BITS, row = (f[F_KW] * f[F_CG] + WORD_BITS - 1) / WORD_BITS;
  const int wide = f[F_DW] == 1; /* a row's words lie side by side: one run a row */
  const int64_t saved = f[F_KH] * (f[F_KW] * own - row) * f[F_OB] * f[F_M];
  f[F_folded] = row <= MAX_FOLDED && (f[F_KW] - 1) * f[F_DW] <= MAX_HALO && saved >= 3 * (own + row);
  f[F_CW] = f[F_folded] ? row : own;
  f[F_taps] = f[F_folded] || wide ? f[F_KH] : f[F_KH] * f[F_KW];
  f[F_run] = f[F_folded] ? row : wide ? f[F_KW] * own : own;
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

/* Reads and checks everything that is the same in every call, and prepares the weights. */
static OrtStatus *fill_node(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  char text[256];
  Ints shape, weight_masks, level_masks, strides, pads, dilations;
  RETURN_IF_ERROR(check_version(node, info)); /* first: the rest may mean something else */
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_weight_shape, &shape));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_weight_masks, &weight_masks));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_level_masks, &level_masks));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_strides, &strides));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_pads, &pads));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_dilations, &dilations));
  RETURN_IF_ERROR(read_int(node, info, ATTRIBUTE_group, &f[F_G]));
  if (smallest(shape.values, 4) < 1)
    return failure(node, "expected weight_shape [O, C/g, KH, KW], all at least 1; found %s",
                   list(text, sizeof text, shape.values, 4));
  if (smallest(strides.values, 2) < 1)
    return failure(node, "expected strides of at least 1; found %s", list(text, sizeof text, strides.values, 2));
  if (smallest(dilations.values, 2) < 1)
    return failure(node, "expected dilations of at least 1; found %s", list(text, sizeof text, dilations.values, 2));
  for (int k = 0; k < 4; k++)
    if (pads.values[k] < 0 || pads.values[k] > MAX_PAD)
      return failure(node, "expected pads within 0..%d; found %s", MAX_PAD, list(text, sizeof text, pads.values, 4));
  const int64_t O = shape.values[0], CG = shape.values[1], KH = shape.values[2], KW = shape.values[3];
  int64_t window, weights, channels, span;
  if (__builtin_mul_overflow(CG, KH, &window) || __builtin_mul_overflow(window, KW, &window) || window > MAX_WINDOW ||
      __builtin_mul_overflow(window, O, &weights))
    return failure(node, "expected C/g*KH*KW at most %d; found weight_shape %s", MAX_WINDOW,
                   list(text, sizeof text, shape.values, 4));
  if (f[F_G] < 1 || O % f[F_G])
    return failure(node, "expected a group that divides O=%lld; found %lld", (long long)O, (long long)f[F_G]);
  if (__builtin_mul_overflow(CG, f[F_G], &channels) || __builtin_mul_overflow(dilations.values[0], KH, &span) ||
      __builtin_mul_overflow(dilations.values[1], KW, &span))
    return failure(node, "expected sizes that fit 64 bits; found weight_shape %s", list(text, sizeof text, shape.values, 4));

  const int reads_levels = node->op->kind == OP_PALevelConv;
  Constant W, alpha, v = {0}, sign = {0}, beta, scale, bias;
  RETURN_IF_ERROR(read_constant(node, info, "W", &W));
  RETURN_IF_ERROR(read_constant(node, info, "alpha", &alpha));
  if (!reads_levels) RETURN_IF_ERROR(read_constant(node, info, "v", &v));
  if (!reads_levels) RETURN_IF_ERROR(read_constant(node, info, "sign", &sign));
  RETURN_IF_ERROR(read_constant(node, info, "beta", &beta));
  RETURN_IF_ERROR(read_constant(node, info, "scale", &scale));
  RETURN_IF_ERROR(read_constant(node, info, "bias", &bias));
  if (alpha.rank != 2 || (alpha.dims[0] != 1 && alpha.dims[0] != O))
    return failure(node, "expected alpha of shape (1 or %lld, M+1); found %s", (long long)O,
                   list(text, sizeof text, alpha.dims, alpha.rank));
  if (alpha.dims[1] < 2 || alpha.dims[1] > MAX_PLANES + 1)
    return failure(node, "expected M in 1..%d; found %lld", MAX_PLANES, (long long)alpha.dims[1] - 1);
  if (beta.rank != 1 || beta.dims[0] < 2 || beta.dims[0] > MAX_PLANES + 1)
    return failure(node, "expected beta of shape (N+1,), N in 1..%d; found %s", MAX_PLANES,
                   list(text, sizeof text, beta.dims, beta.rank));
  const int64_t M = alpha.dims[1] - 1, N = beta.dims[0] - 1;
  if (!reads_levels) RETURN_IF_ERROR(check_endpoint_shapes(node, "v", &v, "sign", &sign, channels));
  if (scale.rank != 1 || scale.dims[0] != O || bias.rank != 1 || bias.dims[0] != O)
    return failure(node, "expected scale and bias of shape (%lld,); found rank %zu and %zu, lengths %lld and %lld",
                   (long long)O, scale.rank, bias.rank, (long long)(scale.rank ? scale.dims[0] : 1),
                   (long long)(bias.rank ? bias.dims[0] : 1));
  RETURN_IF_ERROR(check_masks(node, "weight_masks", &weight_masks, M));
  RETURN_IF_ERROR(check_masks(node, "level_masks", &level_masks, N));
  const int64_t E = (int64_t)level_masks.count - 1;
  if (reads_levels ? E < 1 || E > MAX_ENDPOINTS : E != v.dims[1])
    return failure(node, "expected %lld level_masks (E+1); found %zu", reads_levels ? 2LL : (long long)v.dims[1] + 1,
                   level_masks.count);
  const int64_t code_bytes = (weights + 7) / 8;
  if (W.rank != 2 || W.dims[0] < 1 || W.dims[0] > MAX_PLANES || W.dims[1] != code_bytes)
    return failure(node, "expected W of shape (R, %lld), R in 1..%d; found %s", (long long)code_bytes, MAX_PLANES,
                   list(text, sizeof text, W.dims, W.rank));
  if (weight_masks.count > (size_t)1 << W.dims[0])
    return failure(node, "expected at most %d weight_masks for %lld bits a weight; found %zu", 1 << W.dims[0],
                   (long long)W.dims[0], weight_masks.count);

  f[F_C] = channels, f[F_O] = O, f[F_CG] = CG, f[F_OG] = O / f[F_G], f[F_KH] = KH, f[F_KW] = KW;
  f[F_OB] = (f[F_OG] + LANES - 1) / LANES;
  f[F_SH] = strides.values[0], f[F_SW] = strides.values[1];
  f[F_DH] = dilations.values[0], f[F_DW] = dilations.values[1];
  f[F_PT] = pads.values[0], f[F_PL] = pads.values[1];
  f[F_Hp] = pads.values[0] + pads.values[2], f[F_Wp] = pads.values[1] + pads.values[3]; /* a call adds H and W */
  f[F_M] = M, f[F_N] = N, f[F_E] = E, f[F_R] = W.dims[0], f[F_code_bytes] = code_bytes;
  f[F_v_rows] = reads_levels ? 0 : v.dims[0], f[F_sign_rows] = reads_levels ? 0 : sign.dims[0], f[F_alpha_rows] = alpha.dims[0];
  f[F_weight_codes] = (int64_t)weight_masks.count;
  lay_out_planes(f);
  f[F_has_beta_0] = ((const float *)beta.data)[0] != 0;
  for (int64_t k = 0; k < alpha.dims[0]; k++)
    if (((const float *)alpha.data)[k * (M + 1)] != 0) f[F_has_alpha_0] = 1;

  uint8_t weight_mask_bytes[MAX_ENDPOINTS + 1], level_mask_bytes[MAX_ENDPOINTS + 1];
  for (size_t k = 0; k < weight_masks.count; k++) weight_mask_bytes[k] = (uint8_t)weight_masks.values[k];
  for (size_t k = 0; k < level_masks.count; k++) level_mask_bytes[k] = (uint8_t)level_masks.values[k];
  const Constant level_mask_constant = {level_mask_bytes, {(int64_t)level_masks.count}, 1};
  const int64_t blocks = f[F_G] * f[F_OB];
  if (!reads_levels) f[F_v] = keep(node, &v, 4), f[F_sign] = keep(node, &sign, 1);
  f[F_beta] = keep(node, &beta, 4);
  f[F_level_masks] = keep(node, &level_mask_constant, 1);
  f[F_coding] = (int64_t)(intptr_t)node_memory(node, CODING_rows + alpha.dims[0], 1, 1, 1, 8);
  f[F_alpha_k] = (int64_t)(intptr_t)node_memory(node, alpha.dims[0], M + 1, 1, 1, 4);
  f[F_beta_l] = (int64_t)(intptr_t)node_memory(node, N + 1, 1, 1, 1, 4);
  f[F_level_codes] = (int64_t)(intptr_t)node_memory(node, E + 1, 1, 1, 1, 1);
  float *lanes = node_memory(node, blocks, KH * KW + 4, LANES, 1, 4); /* of start to offset_taps */
  if ((!reads_levels && (!f[F_v] || !f[F_sign])) || !f[F_beta] || !f[F_level_masks] || !f[F_coding] || !f[F_alpha_k] ||
      !f[F_beta_l] || !f[F_level_codes] || !lanes)
    return failure(node, "not enough memory to prepare %lld weights", (long long)weights);
  f[F_start] = (int64_t)(intptr_t)lanes;
  f[F_out_scale] = (int64_t)(intptr_t)(lanes + blocks * LANES);
  f[F_out_bias] = (int64_t)(intptr_t)(lanes + 2 * blocks * LANES);
  f[F_offset_alpha] = (int64_t)(intptr_t)(lanes + 3 * blocks * LANES);
  f[F_offset_taps] = (int64_t)(intptr_t)(lanes + 4 * blocks * LANES);

  f[F_one_hot] = E == N;
  for (int64_t level = 0; level <= E; level++)
    if (level_mask_bytes[level] != (level ? 1 << (level - 1) : 0)) f[F_one_hot] = 0;

  if (!resolve_kernels(M, N))
    return failure(node, "the kernels for M=%lld, N=%lld could not be compiled", (long long)M, (long long)N);
  RETURN_IF_ERROR(take_cpu(node));

  int64_t once[F_COUNT];
  memcpy(once, f, sizeof once);
  once[F_codes] = (int64_t)(intptr_t)W.data, once[F_alpha] = (int64_t)(intptr_t)alpha.data;
  once[F_weight_masks] = (int64_t)(intptr_t)weight_mask_bytes;
  choose_kernel(node, once, window);

  const Cpu *cpu = node->cpu;
  scale_lanes(f, scale.data, bias.data);
  if (f[F_coded]) {
    const int wide = f[F_DW] == 1; /* a row's words lie side by side: one run a row */
    const Multiplier *multiplier = &cpu->multipliers[node->kind];
    f[F_folded] = 0, f[F_CW] = (CG + 3) / 4;
    f[F_taps] = wide ? KH : KH * KW, f[F_run] = wide ? KW * f[F_CW] : f[F_CW];
    f[F_accumulate] = (int64_t)(intptr_t)cpu->accumulate_codes[node->kind][0];
    f[F_tile] = multiplier->pixels, f[F_tile_blocks] = multiplier->blocks, f[F_tile_words] = multiplier->words;
  } else {
    const Blocking *blocking = &cpu->blockings[M][N];
    f[F_accumulate] = (int64_t)(intptr_t)cpu->accumulate, f[F_tile] = blocking->pixels;
    f[F_parts_M] = blocking->parts_M, f[F_parts_N] = blocking->parts_N;
  }
  const int64_t planes = f[F_coded] ? 1 : M, at_a_time = f[F_coded] ? f[F_tile_words] : 1;
  const int64_t run = (f[F_run] + at_a_time - 1) / at_a_time * at_a_time;
  f[F_weight_words] = (int64_t)(intptr_t)node_memory(node, blocks * f[F_taps], run, planes, LANES, 4);
  f[F_phi] = (int64_t)(intptr_t)node_memory(node, blocks, f[F_coded] ? 1 : M * N, LANES, 1, 4);
  if (!f[F_weight_words] || !f[F_phi])
    return failure(node, "not enough memory to prepare %lld weights", (long long)weights);
  int64_t *span_sums = calloc((size_t)blocks, SPANS * sizeof *span_sums);
  if (!span_sums) return failure(node, "not enough memory to prepare %lld weights", (long long)weights);
  once[F_CW] = f[F_CW], once[F_folded] = f[F_folded], once[F_taps] = f[F_taps], once[F_run] = f[F_run];
  once[F_tile_words] = f[F_tile_words];
  once[F_weight_words] = f[F_weight_words], once[F_phi] = f[F_phi], once[F_span_sums] = (int64_t)(intptr_t)span_sums;
  parallel_for(f[F_coded] ? cpu->prepare_codes : cpu->prepare_weights, once, (size_t)blocks);
  f[F_span] = longest_span(span_sums, blocks);
  free(span_sums);
  if (once[F_error])
    return failure(node, "expected weight codes below %zu (the number of weight_masks); found a larger one at weight %lld",
                   weight_masks.count, (long long)once[F_error] - 1);
  return NULL;
}

/* What a channel-last finish needs. */
static OrtStatus *fill_finish(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  Constant clip;
  RETURN_IF_ERROR(read_constant(node, info, "clip", &clip));
  if (clip.rank != 1 || clip.dims[0] != 2)
    return failure(node, "expected clip of shape (2,); found rank %zu, length %lld", clip.rank,
                   (long long)(clip.rank ? clip.dims[0] : 1));
  f[F_clip] = keep(node, &clip, 4);
  if (!f[F_clip]) return failure(node, "not enough memory for a node");
  RETURN_IF_ERROR(
      read_endpoints(node, info, "v1", "sign1", f[F_G], f[F_OG], F_E_1, F_thresholds_1, F_flips_1));
  RETURN_IF_ERROR(
      read_endpoints(node, info, "v2", "sign2", f[F_G], f[F_OG], F_E_2, F_thresholds_2, F_flips_2));
  f[F_channel_last] = 1;
  return NULL;
}

static OrtStatus *fill(Node *node, const OrtKernelInfo *info) {
  RETURN_IF_ERROR(fill_node(node, info));
  return node->op->kind == OP_PALevelConv ? fill_finish(node, info) : NULL;
}

OrtStatus *create_bit_conv(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle) {
  return (void)api, make_node(op, info, fill, handle);
}
