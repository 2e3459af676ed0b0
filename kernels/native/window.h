/* How a window goes over an image. */
#pragma once
#include "node.h"
#include "ort.h"

/* The attributes strides, into f, and pads, which the op must check. */
OrtStatus *read_steps(Node *node, const OrtKernelInfo *info, Ints *pads);

/* For slide_window: f[F_Hp] and f[F_Wp] get the padding alone. */
void take_pads(int64_t *f, const Ints *pads);

/* The attributes strides, pads and dilations of a convolution's window of f[F_KH] x f[F_KW]. */
OrtStatus *read_window(Node *node, const OrtKernelInfo *info);

/* The padded and the output sizes of an image of f[F_H] x f[F_W]. dims: those of the first input, for a message. */
OrtStatus *slide_window(const Node *node, int64_t *f, const int64_t *dims);
