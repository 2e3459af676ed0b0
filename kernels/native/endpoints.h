/* Endpoints as kernels/levels/of_values.py reads them: thresholds and flips of LANES channels side by side. */
#pragma once
#include "node.h"

/* Reads the constant inputs `v` and `sign` of a tensor of G groups of OG channels into the fields whose indexes are
 * given. */
OrtStatus *read_endpoints(Node *node, const OrtKernelInfo *info, const char *v, const char *sign, int64_t G, int64_t OG,
                          int E_field, int thresholds_field, int flips_field);

/* Checks v (1 or channels, E) and sign (1 or channels,). */
OrtStatus *check_endpoint_shapes(const Node *node, const char *v_name, const Constant *v, const char *sign_name,
                                 const Constant *sign, int64_t channels);
