/* Which kernel a node gets: what its session or the environment asks for, or else the one with the better rate. */
#pragma once
#include "cpus.h"
#include "node.h"
#include "ort.h"

enum { AUTOMATIC = -1 };

/* Reads the active CPU's rates when the library is registered first, so that a process never changes its mind. */
void read_rates_once(const Cpu *cpu);

/* What a session asks for: its configuration, else the environment. A name in CHOICE_NAMES by index, or AUTOMATIC. */
OrtStatus *session_choice(const OrtSessionOptions *options, int *choice);

/* What the node's session asks for when the node is created, where onnxruntime tells (1.24 and newer): an entry may have
 * been set after the library was registered. Otherwise, and without an entry, what it asked for then. */
OrtStatus *node_choice(Node *node, const OrtKernelInfo *info);

/* Sets the node's kind and f[F_coded]; `once` has the constants that prepare_coding reads, which are replaced by what
 * it fills. Where all levels are on a grid and sums of a window fit int32, codes may run; where these are float32 numbers
 * too, planes give the same bits, and the better rate decides. */
void choose_kernel(Node *node, int64_t *once, int64_t window);
