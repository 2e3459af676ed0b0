/* The CPU levels that kernels are linked in for, or were installed for while developing (paconv_install). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "paconv_tables.h"
#include "rates.h"

typedef void (*Task)(void *arguments, size_t task);
typedef void (*Accumulate)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);

typedef struct {
  const char *name;
  int (*supported)(void);
#define TASK_FIELD(task) Task task;
  TASKS(TASK_FIELD)
#undef TASK_FIELD
  Accumulate accumulate[MAX_PLANES + 1][MAX_PLANES + 1]; /* by M and N */
  int64_t tile[MAX_PLANES + 1][MAX_PLANES + 1];          /* pixels of its tile */
  Accumulate accumulate_codes[3];                        /* by D */
  int64_t code_tile[3];
  Rates rates;
} Level;

/* The level that nodes get: PACONV_CPU's, or the highest that this CPU runs. On failure NULL, and why in `message`. */
const Level *choose_level(char *message, size_t size);

/* Has kernels for (M, N) installed while developing; returns 0 if they could not be. */
int resolve_kernels(int64_t M, int64_t N);
