#include "finish.h"

#include <string.h>

#include "endpoints.h"

OrtStatus *read_finish(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  Constant clip;
  RETURN_IF_ERROR(read_constant(node, info, "clip", &clip));
  if (clip.rank != 1 || clip.dims[0] != 2)
    return failure(node, "expected clip of shape (2,); found rank %zu, length %lld", clip.rank,
                   (long long)(clip.rank ? clip.dims[0] : 1));
  f[F_clip] = keep(node, &clip, 4);
  if (!f[F_clip]) return failure(node, "not enough memory for a node");
  RETURN_IF_ERROR(read_endpoints(node, info, "v1", "sign1", f[F_G], f[F_OG], F_E_1, F_thresholds_1, F_flips_1));
  return read_endpoints(node, info, "v2", "sign2", f[F_G], f[F_OG], F_E_2, F_thresholds_2, F_flips_2);
}

OrtStatus *take_finish(const Node *node, OrtKernelContext *context, int64_t *f) {
  const int64_t y_dims[4] = {f[F_B], f[F_OH], f[F_OW], f[F_O]};
  int64_t dims[4];
  char found[160], expected[160];
  void *data = NULL;
  RETURN_IF_ERROR(read_input(node, context, 1, dims, 4, &data));
  const int whole = !memcmp(dims, y_dims, sizeof dims);
  const int single = dims[0] == 1 && dims[1] == 1 && dims[2] == 1 && dims[3] == 1;
  if (!whole && !(single && *(const float *)data == 0))
    return failure(node, "expected R of shape %s, or a single 0; found %s", list(expected, sizeof expected, y_dims, 4),
                   list(found, sizeof found, dims, 4));
  f[F_residual] = whole ? (int64_t)(intptr_t)data : 0;
  const int fields[3] = {F_y, F_levels_1, F_levels_2};
  for (size_t k = 0; k < 3; k++) {
    RETURN_IF_ERROR(make_output(context, k, y_dims, 4, &data));
    f[fields[k]] = (int64_t)(intptr_t)data;
  }
  return NULL;
}
