#include "levels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

#include "paconv_levels.h" /* LEVEL_COUNT, and levels[] lowest first */

static Level installed = {.name = "installed"};
static int (*resolver)(int64_t M, int64_t N);

static Task *task_slot(Level *level, const char *name) {
#define TASK_SLOT(task) \
  if (!strcmp(name, #task)) return &level->task;
  TASKS(TASK_SLOT)
#undef TASK_SLOT
  return NULL;
}

/* The accumulate function of a variant, M and N or a format and 0, and its tile; NULL if there can be none. */
static Accumulate *accumulate_slot(Level *level, const char *name, int64_t M, int64_t N, int64_t **tile) {
  if (!strcmp(name, "accumulate") && M >= 1 && M <= MAX_PLANES && N >= 1 && N <= MAX_PLANES)
    return *tile = &level->tile[M][N], &level->accumulate[M][N];
  if (!strcmp(name, "accumulate_codes") && M > FORMAT_planes && M < FORMAT_COUNT && N == 0)
    return *tile = &level->code_tile[M], &level->accumulate_codes[M];
  return NULL;
}

/* Install a kernel by name in place of those linked in; M, N and tile matter to accumulate functions. Returns 0 for an
 * unknown name. */
EXPORT int paconv_install(const char *name, int64_t M, int64_t N, int64_t tile, void (*function)(void)) {
  int64_t *tile_slot = NULL;
  Task *task = task_slot(&installed, name);
  Accumulate *accumulate = accumulate_slot(&installed, name, M, N, &tile_slot);
  if (task) *task = (Task)function;
  if (accumulate) *accumulate = (Accumulate)function, *tile_slot = tile;
  return task || accumulate;
}

/* From now on nodes use installed kernels. `resolve` is called when a node is created, to install what (M, N) needs. */
EXPORT void paconv_set_resolver(int (*resolve)(int64_t M, int64_t N)) { resolver = resolve; }

/* Address of a linked kernel, for tests and benchmarks; NULL if there is none. *tile is set for accumulate functions. */
EXPORT void (*paconv_kernel(const char *level, const char *name, int64_t M, int64_t N, int64_t *tile))(void) {
  for (int k = 0; k < LEVEL_COUNT; k++) {
    if (strcmp(levels[k].name, level)) continue;
    Level copy = levels[k];
    int64_t *tile_slot = NULL;
    Task *task = task_slot(&copy, name);
    Accumulate *accumulate = accumulate_slot(&copy, name, M, N, &tile_slot);
    if (task) return (void (*)(void))*task;
    if (!accumulate) return NULL;
    *tile = *tile_slot;
    return (void (*)(void))*accumulate;
  }
  return NULL;
}

/* The level that nodes get: PACONV_CPU's, or the highest that this CPU runs. On failure NULL, and why in `message`. */
const Level *choose_level(char *message, size_t size) {
  const char *forced = getenv("PACONV_CPU");
  if (resolver) return &installed;
  size_t at = (size_t)snprintf(message, size, "paconv: PACONV_CPU=%s: expected a level that this CPU runs:",
                               forced ? forced : "");
  for (int k = LEVEL_COUNT - 1; k >= 0; k--) {
    if (!levels[k].supported()) continue;
    if (!forced || !*forced || !strcmp(forced, levels[k].name)) return &levels[k];
    if (at < size) at += (size_t)snprintf(message + at, size - at, " %s", levels[k].name);
  }
  if (!forced || !*forced)
    snprintf(message, size, "paconv: expected a CPU of at least level %s", LEVEL_COUNT ? levels[0].name : "(none built)");
  return NULL;
}

int resolve_kernels(int64_t M, int64_t N) { return !resolver || resolver(M, N); }

/* Names of the levels that this CPU runs, highest first, separated by spaces; of all linked ones if `all`. */
EXPORT size_t paconv_levels(int all, char *text, size_t size) {
  size_t at = 0;
  for (int k = LEVEL_COUNT - 1; k >= 0; k--)
    if ((all || levels[k].supported()) && at < size)
      at += (size_t)snprintf(text + at, size - at, "%s%s", at ? " " : "", levels[k].name);
  return at;
}

/* "<version> <opset> <fingerprint of the sources>" */
EXPORT const char *paconv_library_info(void) { return LIBRARY_INFO; }
