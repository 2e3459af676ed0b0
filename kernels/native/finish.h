/* The channel-last finish of PALevelConv and PADepthwiseConv: residual, clip, and levels. And endpoints, as
 * kernels/levels/of_values.py reads them: thresholds and flips of LANES channels side by side. */
#pragma once
#include "node.h"
#include "ort.h"

/* Checks v (1 or channels, E) and sign (1 or channels,). */
OrtStatus *check_endpoint_shapes(const Node *node, const char *v_name, const Constant *v, const char *sign_name,
                                 const Constant *sign, int64_t channels);

/* Reads the constant inputs `v` and `sign` of a tensor of G groups of OG channels into the fields whose indexes are given. */
OrtStatus *read_endpoints(Node *node, const OrtKernelInfo *info, const char *v, const char *sign, int64_t G, int64_t OG,
                          int E_field, int thresholds_field, int flips_field);

/* Whether E endpoints, `stride` floats apart, are evenly apart, for kernels/finish/levels.py: its margin, or -1, when scale and
 * offset are those of level 0. Products and sums round one after the other there too. */
float evenness(const float *v, int64_t stride, int64_t E, float *scale, float *offset);

/* The clip and the endpoints, once. f[F_G] and f[F_OG] say how many channels there are. */
OrtStatus *read_finish(Node *node, const OrtKernelInfo *info);

/* The residual and the outputs of a call, whose sizes are in f. */
OrtStatus *take_finish(const Node *node, OrtKernelContext *context, int64_t *f);
