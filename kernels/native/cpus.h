/* The CPUs that kernels are linked in for, or were installed for while developing (paconv_install). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "paconv_tables.h"
#include "rates.h"

typedef void (*Task)(void *arguments, size_t task);
typedef void (*Microkernel)(void); /* an address for the convolution tasks, which know its arguments */

typedef struct {
  int64_t pixels, parts_M, parts_N;
} Blocking; /* kernels/blocking.py */

typedef struct {
  int64_t pixels, blocks, words; /* taken at a time; 0 where the CPU has none */
} Multiplier; /* kernels/cpus.py */

typedef struct {
  const char *name;
  int (*supported)(void);
  int signed_codes; /* whether products of codes take signed activations */
#define TASK_FIELD(task) Task task;
  TASKS(TASK_FIELD)
#undef TASK_FIELD
#define MICROKERNEL_FIELD(family, first, second) Microkernel family[first][second];
  MICROKERNELS(MICROKERNEL_FIELD) /* by variant (kernels/registry.py) */
#undef MICROKERNEL_FIELD
  Blocking blockings[MAX_PLANES + 1][MAX_PLANES + 1]; /* by M and N */
  Multiplier multipliers[KIND_COUNT];
  Rates rates;
} Cpu;

/* The CPU that nodes get: PACONV_CPU's, or the highest that this machine runs. On failure NULL, and why in `message`. */
const Cpu *choose_cpu(char *message, size_t size);

/* Has kernels for (M, N) installed while developing; returns 0 if they could not be. */
int resolve_kernels(int64_t M, int64_t N);
