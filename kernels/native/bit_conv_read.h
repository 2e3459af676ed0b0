/* What a node of PABitConv, PABitConvCounts or PALevelConv says, read and checked. */
#pragma once
#include "node.h"

typedef struct {
  Ints shape, weight_masks, level_masks;         /* shape: (O, CG, KH, KW) */
  Constant W, alpha, v, sign, beta, scale, bias; /* v and sign: empty where levels are read */
  int64_t group, channels, window, weights;      /* input channels, weights of an output channel and of all */
} Parameters;

OrtStatus *read_parameters(const Node *node, const OrtKernelInfo *info, Parameters *p);
