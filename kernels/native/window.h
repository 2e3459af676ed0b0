/* How a convolution's window goes over an image. */
#pragma once
#include "node.h"
#include "ort.h"

/* The attributes strides, pads and dilations of a window of f[F_KH] x f[F_KW]; f[F_Hp] and f[F_Wp] get the padding alone. */
OrtStatus *read_window(Node *node, const OrtKernelInfo *info);

/* The padded and the output sizes of an image of f[F_H] x f[F_W]. dims: those of the first input, for a message. */
OrtStatus *slide_window(const Node *node, int64_t *f, const int64_t *dims);
