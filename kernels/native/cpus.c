#include "cpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

#include "paconv_cpus.h" /* LINKED_CPUS, and cpus[] lowest first */

static Cpu installed = {.name = "installed"};
static int (*resolver)(int64_t M, int64_t N);

static Task *task_slot(Cpu *cpu, const char *name) {
#define TASK_SLOT(task) \
  if (!strcmp(name, #task)) return &cpu->task;
  TASKS(TASK_SLOT)
#undef TASK_SLOT
  return NULL;
}

/* Where a microkernel belongs, by family and variant. NULL if there can be none. */
static Microkernel *microkernel_slot(Cpu *cpu, const char *name, int64_t first, int64_t second) {
#define MICROKERNEL_SLOT(family, firsts, seconds)                                                     \
  if (!strcmp(name, #family) && first >= 0 && first < (firsts) && second >= 0 && second < (seconds)) \
    return &cpu->family[first][second];
  MICROKERNELS(MICROKERNEL_SLOT)
#undef MICROKERNEL_SLOT
  return NULL;
}

/* Install a kernel by name in place of those linked in; the variant matters to microkernels. Returns 0 for an unknown
 * name. */
EXPORT int paconv_install(const char *name, int64_t first, int64_t second, void (*function)(void)) {
  Task *task = task_slot(&installed, name);
  Microkernel *microkernel = microkernel_slot(&installed, name, first, second);
  if (task) *task = (Task)function;
  if (microkernel) *microkernel = function;
  return task || microkernel;
}

/* Take over what a linked CPU would say besides its kernels. */
EXPORT void paconv_install_cpu(int signed_codes, const int64_t *blockings, const int64_t *multipliers,
                               const double *planes, const double *codes) {
  installed.signed_codes = signed_codes;
  memcpy(installed.blockings, blockings, sizeof installed.blockings);
  memcpy(installed.multipliers, multipliers, sizeof installed.multipliers);
  memcpy(installed.rates.planes, planes, sizeof installed.rates.planes);
  memcpy(installed.rates.codes, codes, sizeof installed.rates.codes);
}

/* From now on nodes use installed kernels. `resolve` is called when a node is created, to install what (M, N) needs. */
EXPORT void paconv_set_resolver(int (*resolve)(int64_t M, int64_t N)) { resolver = resolve; }

/* Address of a linked kernel by name and variant, for tests and benchmarks; NULL if there is none. */
EXPORT void (*paconv_kernel(const char *cpu, const char *name, int64_t first, int64_t second))(void) {
  for (int k = 0; k < LINKED_CPUS; k++) {
    if (strcmp(cpus[k].name, cpu)) continue;
    Cpu copy = cpus[k];
    Task *task = task_slot(&copy, name);
    Microkernel *microkernel = microkernel_slot(&copy, name, first, second);
    return task ? (void (*)(void))*task : microkernel ? *microkernel : NULL;
  }
  return NULL;
}

const Cpu *choose_cpu(char *message, size_t size) {
  const char *forced = getenv("PACONV_CPU");
  if (resolver) return &installed;
  size_t at = (size_t)snprintf(message, size, "paconv: PACONV_CPU=%s: expected a CPU whose kernels this machine runs:",
                               forced ? forced : "");
  for (int k = LINKED_CPUS - 1; k >= 0; k--) {
    if (!cpus[k].supported()) continue;
    if (!forced || !*forced || !strcmp(forced, cpus[k].name)) return &cpus[k];
    if (at < size) at += (size_t)snprintf(message + at, size - at, " %s", cpus[k].name);
  }
  if (!forced || !*forced)
    snprintf(message, size, "paconv: expected at least a CPU %s", LINKED_CPUS ? cpus[0].name : "(none built)");
  return NULL;
}

int resolve_kernels(int64_t M, int64_t N) { return !resolver || resolver(M, N); }

/* Names of the CPUs that this machine runs, highest first, separated by spaces; of all linked ones if `all`. */
EXPORT size_t paconv_cpus(int all, char *text, size_t size) {
  size_t at = 0;
  for (int k = LINKED_CPUS - 1; k >= 0; k--)
    if ((all || cpus[k].supported()) && at < size)
      at += (size_t)snprintf(text + at, size - at, "%s%s", at ? " " : "", cpus[k].name);
  return at;
}

/* "<version> <opset> <fingerprint of the sources>" */
EXPORT const char *paconv_library_info(void) { return LIBRARY_INFO; }
