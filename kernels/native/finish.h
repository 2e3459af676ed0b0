/* The channel-last finish of PALevelConv and PADepthwiseConv: residual, clip, and levels. */
#pragma once
#include "node.h"
#include "ort.h"

/* The clip and the endpoints, once. f[F_G] and f[F_OG] say how many channels there are. */
OrtStatus *read_finish(Node *node, const OrtKernelInfo *info);

/* The residual and the outputs of a call, whose sizes are in f. */
OrtStatus *take_finish(const Node *node, OrtKernelContext *context, int64_t *f);
