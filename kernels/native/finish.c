#include "finish.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static OrtStatus *check_endpoints(const Node *node, const char *name, const float *v, int64_t rows, int64_t E) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t e = 1; e < E; e++) {
      const float before = v[row * E + e - 1], here = v[row * E + e];
      if (!(here >= before || isnan(here)))
        return failure(node, "expected %s ascending in each row, NaN last; found %g before %g in row %lld", name, before,
                       here, (long long)row);
    }
  return NULL;
}

OrtStatus *check_endpoint_shapes(const Node *node, const char *v_name, const Constant *v, const char *sign_name,
                                 const Constant *sign, int64_t channels) {
  if (v->rank != 2 || (v->dims[0] != 1 && v->dims[0] != channels) || v->dims[1] < 1 || v->dims[1] > MAX_ENDPOINTS)
    return failure(node, "expected %s of shape (1 or %lld, E), E in 1..%d; found %s", v_name, (long long)channels,
                   MAX_ENDPOINTS, list(v->dims, v->rank).text);
  if (sign->rank != 1 || (sign->dims[0] != 1 && sign->dims[0] != channels))
    return failure(node, "expected %s of shape (1,) or (%lld,); found %s", sign_name, (long long)channels,
                   list(sign->dims, sign->rank).text);
  for (int64_t k = 0; k < sign->dims[0]; k++)
    if (abs(((const int8_t *)sign->data)[k]) != 1)
      return failure(node, "expected %s +1 or -1; found %d at %lld", sign_name, ((const int8_t *)sign->data)[k],
                     (long long)k);
  return check_endpoints(node, v_name, v->data, v->dims[0], v->dims[1]);
}

float evenness(const float *v, int64_t stride, int64_t E, float *scale, float *offset) {
  const double most = 1. / 512; /* more, and too many values would be compared with one by one after all */
  const double first = v[0], last = v[(E - 1) * stride];
  double largest = 0;
  *scale = 0, *offset = 0.5f;
  if (E < EVEN_ENDPOINTS || !isfinite(first) || !isfinite(last)) return -1;
  const float slope = (float)((double)(E - 1) / (last - first)), start = (float)(1 - first * slope);
  for (int64_t e = 0; e < E; e++) {
    const float product = v[e * stride] * slope;
    const float place = product + start;
    const double distance = fabs((double)place - (double)(e + 1));
    if (!(distance <= most)) return -1;
    largest = distance > largest ? distance : largest;
  }
  *scale = slope, *offset = start;
  return (float)largest; /* exactly: a multiple of 2^-24, as floats near 1 and above are, and at most 2^-9 */
}

/* The EVEN_ROWS rows behind the endpoints (E, LANES) of the first `lanes` channels. */
static void fill_even_rows(float *thresholds, int64_t E, int64_t lanes) {
  float *scale = thresholds + E * LANES, *offset = scale + LANES, *margin = offset + LANES;
  float largest = 0;
  for (int64_t lane = 0; lane < LANES; lane++) {
    scale[lane] = 0, offset[lane] = 0.5f;
    if (lane >= lanes || largest < 0) continue;
    const float found = evenness(thresholds + lane, LANES, E, scale + lane, offset + lane);
    largest = found < 0 || found > largest ? found : largest;
  }
  for (int64_t lane = 0; lane < LANES; lane++) margin[lane] = largest;
}

OrtStatus *read_endpoints(Node *node, const OrtKernelInfo *info, const char *v_name, const char *sign_name, int64_t G,
                          int64_t OG, int E_field, int thresholds_field, int flips_field) {
  Constant v, sign;
  RETURN_IF_ERROR(read_constant(node, info, v_name, &v));
  RETURN_IF_ERROR(read_constant(node, info, sign_name, &sign));
  RETURN_IF_ERROR(check_endpoint_shapes(node, v_name, &v, sign_name, &sign, G * OG));
  const int64_t E = v.dims[1], OB = (OG + LANES - 1) / LANES;
  float *thresholds = node_memory(node, G * OB, E + EVEN_ROWS, LANES, 1, 4);
  uint32_t *flips = node_memory(node, G * OB, LANES, 1, 1, 4);
  if (!thresholds || !flips) return failure(node, "not enough memory for %lld endpoints", (long long)(G * OG * E));
  for (int64_t block = 0; block < G * OB; block++) {
    float *here = thresholds + block * (E + EVEN_ROWS) * LANES;
    for (int64_t lane = 0; lane < LANES; lane++) {
      const int64_t channel = block / OB * OG + block % OB * LANES + lane;
      const int exists = block % OB * LANES + lane < OG;
      const float *row = (const float *)v.data + (v.dims[0] == 1 ? 0 : channel * E);
      for (int64_t e = 0; e < E; e++) here[e * LANES + lane] = exists ? row[e] : NAN;
      if (exists && ((const int8_t *)sign.data)[sign.dims[0] == 1 ? 0 : channel] < 0)
        flips[block * LANES + lane] = UINT32_C(1) << 31;
    }
    const int64_t left = OG - block % OB * LANES;
    fill_even_rows(here, E, left < LANES ? left : LANES);
  }
  node->fields[E_field] = E;
  node->fields[thresholds_field] = (int64_t)(intptr_t)thresholds;
  node->fields[flips_field] = (int64_t)(intptr_t)flips;
  return NULL;
}

OrtStatus *read_finish(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  Constant clip;
  RETURN_IF_ERROR(read_constant(node, info, "clip", &clip));
  if (clip.rank != 1 || clip.dims[0] != 2)
    return failure(node, "expected clip of shape (2,); found rank %zu, length %lld", clip.rank,
                   (long long)(clip.rank ? clip.dims[0] : 1));
  const float low = ((const float *)clip.data)[0], high = ((const float *)clip.data)[1];
  if (!(low < INFINITY && high > -INFINITY)) /* NaN too */
    return failure(node, "expected clip [low, high], low below infinity and high above -infinity; found [%g, %g]", low, high);
  f[F_clip] = keep(node, &clip, 4);
  if (!f[F_clip]) return failure(node, "not enough memory for a node");
  RETURN_IF_ERROR(read_endpoints(node, info, "v1", "sign1", f[F_G], f[F_OG], F_E_1, F_thresholds_1, F_flips_1));
  return read_endpoints(node, info, "v2", "sign2", f[F_G], f[F_OG], F_E_2, F_thresholds_2, F_flips_2);
}

OrtStatus *take_finish(const Node *node, OrtKernelContext *context, int64_t *f) {
  const int64_t y_dims[4] = {f[F_B], f[F_OH], f[F_OW], f[F_O]};
  int64_t dims[4];
  void *data = NULL;
  RETURN_IF_ERROR(read_input(node, context, 1, dims, 4, &data));
  const int whole = !memcmp(dims, y_dims, sizeof dims);
  const int single = dims[0] == 1 && dims[1] == 1 && dims[2] == 1 && dims[3] == 1;
  if (!whole && !(single && *(const float *)data == 0))
    return failure(node, "expected R of shape %s, or a single 0; found %s", list(y_dims, 4).text, list(dims, 4).text);
  f[F_residual] = whole ? (int64_t)(intptr_t)data : 0;
  const int fields[3] = {F_y, F_levels_1, F_levels_2};
  for (size_t k = 0; k < 3; k++) {
    RETURN_IF_ERROR(make_output(context, k, y_dims, 4, &data));
    f[fields[k]] = (int64_t)(intptr_t)data;
  }
  return NULL;
}
