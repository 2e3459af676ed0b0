/* The CPUs that kernels are linked in for, or were installed for while developing (paconv_install). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "paconv_tables.h"
#include "rates.h"

typedef void (*Task)(void *arguments, size_t task);
typedef void (*Accumulate)(void); /* an address for the convolution tasks, which know its arguments */

typedef struct {
  int64_t pixels, parts_M, parts_N;
} Tiling; /* kernels/blocking.py */

typedef struct {
  Accumulate accumulate; /* NULL where the CPU has none */
  int64_t pixels, blocks; /* of its tile */
  int64_t words; /* multiplied at a time (kernels/cpus.py) */
} Codes;

typedef struct {
  const char *name;
  int (*supported)(void);
  int signed_codes; /* whether products of codes take signed activations */
#define TASK_FIELD(task) Task task;
  TASKS(TASK_FIELD)
#undef TASK_FIELD
  Accumulate accumulate[MAX_PLANES + 1][MAX_PLANES + 1]; /* by m and n of a sub-block of planes */
  Tiling tilings[MAX_PLANES + 1][MAX_PLANES + 1];        /* by M and N */
  Codes codes[KIND_COUNT];
  Accumulate limit; /* kernels/probes/popcount_peak.py */
  Rates rates;
} Cpu;

/* The CPU that nodes get: PACONV_CPU's, or the highest that this machine runs. On failure NULL, and why in `message`. */
const Cpu *choose_cpu(char *message, size_t size);

/* Has kernels for (M, N) installed while developing; returns 0 if they could not be. */
int resolve_kernels(int64_t M, int64_t N);
