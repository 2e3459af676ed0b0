#include "window.h"

OrtStatus *read_steps(Node *node, const OrtKernelInfo *info, Ints *pads) {
  int64_t *f = node->fields;
  Ints strides;
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_strides, &strides));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_pads, pads));
  if (smallest(strides.values, 2) < 1)
    return failure(node, "expected strides of at least 1; found %s", list(strides.values, 2).text);
  f[F_SH] = strides.values[0], f[F_SW] = strides.values[1];
  return NULL;
}

void take_pads(int64_t *f, const Ints *pads) {
  f[F_PT] = pads->values[0], f[F_PL] = pads->values[1];
  f[F_Hp] = pads->values[0] + pads->values[2], f[F_Wp] = pads->values[1] + pads->values[3];
}

OrtStatus *read_window(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields, span;
  Ints pads, dilations;
  RETURN_IF_ERROR(read_steps(node, info, &pads));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_dilations, &dilations));
  if (smallest(dilations.values, 2) < 1)
    return failure(node, "expected dilations of at least 1; found %s", list(dilations.values, 2).text);
  for (int k = 0; k < 4; k++)
    if (pads.values[k] < 0 || pads.values[k] > MAX_PAD)
      return failure(node, "expected pads within 0..%d; found %s", MAX_PAD, list(pads.values, 4).text);
  if (__builtin_mul_overflow(dilations.values[0], f[F_KH], &span) || __builtin_mul_overflow(dilations.values[1], f[F_KW], &span))
    return failure(node, "expected sizes that fit 64 bits; found dilations %s", list(dilations.values, 2).text);
  f[F_DH] = f[F_KH] > 1 ? dilations.values[0] : 1; /* nothing is apart in one row or column */
  f[F_DW] = f[F_KW] > 1 ? dilations.values[1] : 1;
  take_pads(f, &pads);
  return NULL;
}

OrtStatus *slide_window(const Node *node, int64_t *f, const int64_t *dims) {
  const int64_t span[2] = {f[F_DH] * (f[F_KH] - 1) + 1, f[F_DW] * (f[F_KW] - 1) + 1};
  f[F_Hp] += f[F_H], f[F_Wp] += f[F_W];
  if (f[F_Hp] < span[0] || f[F_Wp] < span[1])
    return failure(node, "expected a padded image of at least %lld x %lld (the %swindow); found %s %s",
                   (long long)span[0], (long long)span[1], node->op->kind == OP_PALevelMaxPool ? "" : "dilated ",
                   OP_TABLES[node->op->kind].input_names[0], list(dims, 4).text);
  f[F_OH] = (f[F_Hp] - span[0]) / f[F_SH] + 1, f[F_OW] = (f[F_Wp] - span[1]) / f[F_SW] + 1;
  return NULL;
}
