#include "bit_conv_read.h"

#include <float.h>

#include "finish.h"

static OrtStatus *read_attributes(const Node *node, const OrtKernelInfo *info, Parameters *p) {
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_weight_shape, &p->shape));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_weight_masks, &p->weight_masks));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_level_masks, &p->level_masks));
  return read_int(node, info, ATTRIBUTE_group, &p->group);
}

/* Checks the sizes in the attributes but the window's way, and multiplies them. */
static OrtStatus *check_sizes(const Node *node, Parameters *p) {
  const int64_t *shape = p->shape.values;
  if (smallest(shape, 4) < 1)
    return failure(node, "expected weight_shape [O, C/g, KH, KW], all at least 1; found %s", list(shape, 4).text);
  const int64_t O = shape[0], CG = shape[1], KH = shape[2], KW = shape[3];
  if (__builtin_mul_overflow(CG, KH, &p->window) || __builtin_mul_overflow(p->window, KW, &p->window) ||
      p->window > MAX_WINDOW || __builtin_mul_overflow(p->window, O, &p->weights))
    return failure(node, "expected C/g*KH*KW at most %d; found weight_shape %s", MAX_WINDOW, list(shape, 4).text);
  if (p->group < 1 || O % p->group)
    return failure(node, "expected a group that divides O=%lld; found %lld", (long long)O, (long long)p->group);
  if (__builtin_mul_overflow(CG, p->group, &p->channels))
    return failure(node, "expected sizes that fit 64 bits; found weight_shape %s", list(shape, 4).text);
  return NULL;
}

static OrtStatus *read_constants(const Node *node, const OrtKernelInfo *info, int reads_levels, Parameters *p) {
  RETURN_IF_ERROR(read_constant(node, info, "W", &p->W));
  RETURN_IF_ERROR(read_finite(node, info, "alpha", &p->alpha));
  if (!reads_levels) RETURN_IF_ERROR(read_constant(node, info, "v", &p->v));
  if (!reads_levels) RETURN_IF_ERROR(read_constant(node, info, "sign", &p->sign));
  RETURN_IF_ERROR(read_finite(node, info, "beta", &p->beta));
  RETURN_IF_ERROR(read_finite(node, info, "scale", &p->scale));
  return read_finite(node, info, "bias", &p->bias);
}

/* Checks the coefficients of planes, and the endpoints. */
static OrtStatus *check_coefficients(const Node *node, int reads_levels, const Parameters *p) {
  const Constant *alpha = &p->alpha, *beta = &p->beta, *scale = &p->scale, *bias = &p->bias;
  const int64_t O = p->shape.values[0];
  if (alpha->rank != 2 || (alpha->dims[0] != 1 && alpha->dims[0] != O))
    return failure(node, "expected alpha of shape (1 or %lld, M+1); found %s", (long long)O,
                   list(alpha->dims, alpha->rank).text);
  if (alpha->dims[1] < 2 || alpha->dims[1] > MAX_PLANES + 1)
    return failure(node, "expected M in 1..%d; found %lld", MAX_PLANES, (long long)alpha->dims[1] - 1);
  if (beta->rank != 1 || beta->dims[0] < 2 || beta->dims[0] > MAX_PLANES + 1)
    return failure(node, "expected beta of shape (N+1,), N in 1..%d; found %s", MAX_PLANES,
                   list(beta->dims, beta->rank).text);
  if (!reads_levels) RETURN_IF_ERROR(check_endpoint_shapes(node, "v", &p->v, "sign", &p->sign, p->channels));
  if (scale->rank != 1 || scale->dims[0] != O || bias->rank != 1 || bias->dims[0] != O)
    return failure(node, "expected scale and bias of shape (%lld,); found rank %zu and %zu, lengths %lld and %lld",
                   (long long)O, scale->rank, bias->rank, (long long)(scale->rank ? scale->dims[0] : 1),
                   (long long)(bias->rank ? bias->dims[0] : 1));
  return NULL;
}

static double sum_of_magnitudes(const float *values, int64_t count) {
  double sum = 0;
  for (int64_t k = 0; k < count; k++) sum += fabs((double)values[k]);
  return sum;
}

/* Checks that nothing that is made of the factors leaves float32: weights and activations, a window's products, added
 * without their signs, and what scale and bias make of them. */
static OrtStatus *check_values(const Node *node, const Parameters *p) {
  const float *alpha = p->alpha.data, *scale = p->scale.data, *bias = p->bias.data;
  const int64_t width = p->alpha.dims[1], O = p->shape.values[0];
  const double activation = sum_of_magnitudes(p->beta.data, p->beta.dims[0]);
  for (int64_t o = 0; o < O; o++) {
    const double weight = sum_of_magnitudes(alpha + (p->alpha.dims[0] == 1 ? 0 : o * width), width);
    const double sum = weight * activation * (double)p->window;
    const double made[4] = {weight, activation, sum, sum * fabs((double)scale[o]) + fabs((double)bias[o])};
    for (int k = 0; k < 4; k++)
      if (made[k] > FLT_MAX)
        return failure(node, "expected alpha, beta, scale and bias whose results are within float32; found up to %g in output "
                       "channel %lld", made[k], (long long)o);
  }
  return NULL;
}

static OrtStatus *check_masks(const Node *node, const char *name, const Ints *masks, int64_t planes) {
  for (size_t k = 0; k < masks->count; k++)
    if (masks->values[k] < 0 || masks->values[k] >= (int64_t)1 << planes)
      return failure(node, "expected %s within 0..%d for %lld planes; found %lld", name, (1 << planes) - 1,
                     (long long)planes, (long long)masks->values[k]);
  return NULL;
}

/* Checks the masks and the codes that choose among them. */
static OrtStatus *check_codes(const Node *node, int reads_levels, const Parameters *p) {
  const int64_t E = (int64_t)p->level_masks.count - 1, code_bytes = (p->weights + 7) / 8;
  const Constant *W = &p->W;
  RETURN_IF_ERROR(check_masks(node, "weight_masks", &p->weight_masks, p->alpha.dims[1] - 1));
  RETURN_IF_ERROR(check_masks(node, "level_masks", &p->level_masks, p->beta.dims[0] - 1));
  if (reads_levels ? E < 1 || E > MAX_ENDPOINTS : E != p->v.dims[1])
    return failure(node, "expected %lld level_masks (E+1); found %zu", reads_levels ? 2LL : (long long)p->v.dims[1] + 1,
                   p->level_masks.count);
  if (W->rank != 2 || W->dims[0] < 1 || W->dims[0] > MAX_PLANES || W->dims[1] != code_bytes)
    return failure(node, "expected W of shape (R, %lld), R in 1..%d; found %s", (long long)code_bytes, MAX_PLANES,
                   list(W->dims, W->rank).text);
  if (p->weight_masks.count > (size_t)1 << W->dims[0])
    return failure(node, "expected at most %d weight_masks for %lld bits a weight; found %zu", 1 << W->dims[0],
                   (long long)W->dims[0], p->weight_masks.count);
  return NULL;
}

OrtStatus *read_parameters(const Node *node, const OrtKernelInfo *info, Parameters *p) {
  const int reads_levels = node->op->kind == OP_PALevelConv;
  RETURN_IF_ERROR(read_attributes(node, info, p));
  RETURN_IF_ERROR(check_sizes(node, p));
  RETURN_IF_ERROR(read_constants(node, info, reads_levels, p));
  RETURN_IF_ERROR(check_coefficients(node, reads_levels, p));
  RETURN_IF_ERROR(check_values(node, p));
  return check_codes(node, reads_levels, p);
}
