#include "choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

static Rates active_rates;

void read_rates_once(const Cpu *cpu) {
  static int done;
  if (done) return;
  active_rates = cpu->rates;
  read_rates(cpu->name, &active_rates);
  done = 1;
}

static const char CHOICE_KEY[] = "paconv.kernel", CHOICE_VARIABLE[] = "PACONV_KERNEL";

/* Told of every node's kernel when it is created: the node's name, the choice with how its codes are multiplied, why, and
 * the rates it was chosen by (0 for codes that can't be taken or were not asked for). */
typedef void (*Listener)(const char *node, const char *choice, const char *kind, const char *reason,
                         double planes_rate, double codes_rate);
static Listener listener;
EXPORT void paconv_set_listener(Listener listen) { listener = listen; }

/* A forced choice by name; AUTOMATIC for "auto" or nothing. -2 for any other name. */
static int choice_of(const char *name) {
  if (!name || !*name || !strcmp(name, "auto")) return AUTOMATIC;
  for (int k = 0; k < CHOICE_COUNT; k++)
    if (!strcmp(name, CHOICE_NAMES[k])) return k;
  return -2;
}

static OrtStatus *unknown(const char *where, const char *name) {
  char message[256];
  size_t at = (size_t)snprintf(message, sizeof message, "paconv: %s=%.64s: expected auto", where, name);
  for (int k = 0; k < CHOICE_COUNT && at < sizeof message; k++)
    at += (size_t)snprintf(message + at, sizeof message - at, ", %s", CHOICE_NAMES[k]);
  return ORT_CALL(CreateStatus)(ORT_INVALID_ARGUMENT, message);
}

OrtStatus *session_choice(const OrtSessionOptions *options, int *choice) {
  char value[64] = "";
  int configured = 0;
  size_t size = sizeof value;
  const char *where = CHOICE_VARIABLE, *name = getenv(CHOICE_VARIABLE);
  OrtStatus *status = ORT_CALL(HasSessionConfigEntry)(options, CHOICE_KEY, &configured);
  if (!status && configured) status = ORT_CALL(GetSessionConfigEntry)(options, CHOICE_KEY, value, &size);
  if (status) return status;
  if (configured) name = value, where = CHOICE_KEY;
  *choice = choice_of(name);
  return *choice >= AUTOMATIC ? NULL : unknown(where, name);
}

OrtStatus *node_choice(Node *node, const OrtKernelInfo *info) {
  node->choice = node->op->choice;
  if (!paconv_ort_is_newer) return NULL;
  OrtKeyValuePairs *entries = NULL;
  OrtStatus *status = ORT_CALL(KernelInfo_GetConfigEntries)(info, &entries);
  if (status) return status;
  const char *name = ORT_CALL(GetKeyValue)(entries, CHOICE_KEY);
  if (name) node->choice = choice_of(name);
  if (node->choice < AUTOMATIC) status = unknown(CHOICE_KEY, name);
  ORT_CALL(ReleaseKeyValuePairs)(entries);
  return status;
}

/* Words of codes that a window position takes, those that fill up a run included. */
static double code_words(const int64_t *f, const Multiplier *multiplier) {
  const int64_t own = (f[F_CG] + 3) / 4, positions = f[F_KH] * f[F_KW];
  const int64_t run = f[F_DW] == 1 ? f[F_KW] * own : own, runs = f[F_DW] == 1 ? f[F_KH] : positions;
  return (double)(runs * ((run + multiplier->words - 1) / multiplier->words * multiplier->words)) / (double)positions;
}

/* Nanoseconds, as rates are, for one window position. */
static double code_time(const Node *node, int kind) {
  return active_rates.codes[kind] * code_words(node->fields, &node->cpu->multipliers[kind]) / (double)(WORD_BITS / 4);
}

/* The fastest way to multiply codes that holds their products; KIND_planes if there is none. Narrow sums pay where
 * spans are not too short, judged by the largest products: LEAST_SPAN words of two pairs. */
static int kind_of_codes(const Node *node, const double *coding) {
  enum { LEAST_SPAN = 4 };
  const double byte = coding[CODING_largest] > -coding[CODING_least] ? coding[CODING_largest] : -coding[CODING_least];
  int best = KIND_planes;
  for (int kind = KIND_planes + 1; kind < KIND_COUNT; kind++) {
    if (!node->cpu->multipliers[kind].pixels) continue;
    if (kind == KIND_narrow && node->cpu->multipliers[KIND_wide].pixels &&
        2 * LEAST_SPAN * coding[CODING_most_weight] * byte > INT16_MAX)
      continue;
    if (best == KIND_planes || code_time(node, kind) < code_time(node, best)) best = kind;
  }
  return best;
}

void choose_kernel(Node *node, int64_t *once, int64_t window) {
  int64_t *f = node->fields;
  const double *coding = (const double *)(intptr_t)once[F_coding];
  const int choice = node->op->kind == OP_PABitConvCounts ? CHOICE_planes : node->choice;
  const double words = (double)(f[F_taps] * f[F_run]) / (double)(f[F_KH] * f[F_KW]); /* of a window position */
  const double planes = active_rates.planes[f[F_M]][f[F_N]] * words;
  const char *reason = choice == AUTOMATIC ? "faster by the rates" : "forced";
  double codes = 0;
  int kind = KIND_planes;
  once[F_signed_codes] = node->cpu->signed_codes;
  node->cpu->prepare_coding(once, 0);
  const double most = coding[CODING_most_weight] * coding[CODING_most_level] * (double)window;
  if (choice != CHOICE_planes) {
    if (coding[CODING_on_grid] == 0)
      reason = "levels are on no grid of integers";
    else if (most > INT32_MAX)
      reason = "the window is too large for sums of 32 bits";
    else
      kind = kind_of_codes(node, coding);
  }
  if (kind) {
    codes = code_time(node, kind);
    if (choice == AUTOMATIC && coding[CODING_most_terms] * (double)window >= MAX_EXACT_FLOAT)
      reason = "sums beyond float32's integers";
    else if (choice == AUTOMATIC && codes >= planes)
      kind = KIND_planes;
  }
  f[F_coded] = kind != KIND_planes;
  node->kind = kind;
  if (listener && node->op->kind != OP_PABitConvCounts)
    listener(node->where, CHOICE_NAMES[kind ? CHOICE_codes : CHOICE_planes], KIND_NAMES[kind], reason, planes, codes);
}
