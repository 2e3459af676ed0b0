/* The rates that kernels are chosen by: those measured on this machine, if there is a file of them, else the library's
 * own (kernels/rates.py). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "paconv_tables.h"

typedef struct {
  double planes[MAX_PLANES + 1][MAX_PLANES + 1]; /* nanoseconds, by M and N */
  double codes[KIND_COUNT];                      /* by kind; 0 where the CPU has none */
} Rates;

/* Replaces what the CPU's file on this machine holds; `rates` stays as it is where there is no valid file. */
void read_rates(const char *cpu, Rates *rates);
