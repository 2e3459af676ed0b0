/* Which kernel a node gets: what its session or the environment asks for, or else the one with the better rate. */
#pragma once
#include "levels.h"
#include "node.h"
#include "ort.h"

enum { AUTOMATIC = -1 };

/* Reads the active level's rates when the library is registered first, so that a process never changes its mind. */
void read_rates_once(const Level *level);

/* What a session asks for: its configuration, else the environment. A name in CHOICE_NAMES by index, or AUTOMATIC. */
OrtStatus *session_choice(const OrtSessionOptions *options, int *choice);

/* Sets the node's format, f[F_D] and f[F_digit_bits], and fills `coding` and `level_codes` if it takes codes. `once` has
 * the constants of prepare_coding. Codes are taken where their sums fit int32 and, if they are to be exact, in bytes or
 * else words, as the estimated error allows: the same at every CPU level, but for two bytes where AMX multiplies them. */
void choose_kernel(Node *node, int64_t *once, int64_t window);
