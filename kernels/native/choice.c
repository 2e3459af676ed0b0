#include "choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

/* The active level's rates: read when the library is registered first, so that a process never changes its mind. */
static Rates active_rates;

void read_rates_once(const Level *level) {
  static int done;
  if (done) return;
  active_rates = level->rates;
  read_rates(level->name, &active_rates);
  done = 1;
}

static const char CHOICE_KEY[] = "paconv.kernel", CHOICE_VARIABLE[] = "PACONV_KERNEL";

/* Told of every node's kernel when it is created: the node's name, the choice with the digits of its codes, why, and
 * the rates it was chosen by (0 for codes that can't be taken or were not asked for). */
typedef void (*Listener)(const char *node, const char *choice, int digits, const char *reason, double planes_rate,
                         double codes_rate);
static Listener listener;
EXPORT void paconv_set_listener(Listener listen) { listener = listen; }

/* A forced choice by name; AUTOMATIC for "auto" or nothing. -2 for any other name. */
static int choice_of(const char *name) {
  if (!name || !*name || !strcmp(name, "auto")) return AUTOMATIC;
  for (int k = 0; k < CHOICE_COUNT; k++)
    if (!strcmp(name, CHOICE_NAMES[k])) return k;
  return -2;
}

/* What a session asks for: its configuration, else the environment. */
OrtStatus *session_choice(const OrtSessionOptions *options, int *choice) {
  char value[64] = "", message[256];
  int configured = 0;
  size_t size = sizeof value;
  const char *where = CHOICE_VARIABLE, *name = getenv(CHOICE_VARIABLE);
  OrtStatus *status = ORT_CALL(HasSessionConfigEntry)(options, CHOICE_KEY, &configured);
  if (!status && configured) status = ORT_CALL(GetSessionConfigEntry)(options, CHOICE_KEY, value, &size);
  if (status) return status;
  if (configured) name = value, where = CHOICE_KEY;
  *choice = choice_of(name);
  if (*choice >= AUTOMATIC) return NULL;
  size_t at = (size_t)snprintf(message, sizeof message, "paconv: %s=%s: expected auto", where, name);
  for (int k = 0; k < CHOICE_COUNT && at < sizeof message; k++)
    at += (size_t)snprintf(message + at, sizeof message - at, ", %s", CHOICE_NAMES[k]);
  return ORT_CALL(CreateStatus)(ORT_INVALID_ARGUMENT, message);
}

void choose_kernel(Node *node, int64_t *once, int64_t window) {
  int64_t *f = node->fields;
  const double quads = (double)((f[F_CG] + QUAD - 1) / QUAD) / (WORD_BITS / QUAD);
  const double words = (double)(f[F_taps] * f[F_run]) / (double)(f[F_KH] * f[F_KW]); /* of a window position */
  const double planes = active_rates.planes[f[F_M]][f[F_N]] * words;
  const int choice = node->op->counts ? CHOICE_planes : node->op->choice;
  int digits = choice == CHOICE_codes_fast ? 1 : 2;
  const char *reason = choice == AUTOMATIC ? "faster by the rates" : "forced";
  if (choice != CHOICE_planes) {
    node->level->prepare_coding(once, 0);
    const double *coding = (const double *)(intptr_t)f[F_coding];
    if (window > MAX_CODE_WINDOW)
      digits = 0, reason = "the window is too large for codes";
    else if (choice != CHOICE_codes_fast && coding[3] <= EXACT_ERROR)
      digits = 1;
    else if (choice != CHOICE_codes_fast && !(coding[2] <= EXACT_ERROR))
      digits = 0, reason = "two-byte codes are not exact enough for these levels";
  }
  const double codes = digits ? active_rates.codes[digits] * quads : 0;
  if (choice == CHOICE_planes || (choice == AUTOMATIC && digits && codes >= planes)) digits = 0;
  f[F_D] = digits;
  if (listener && !node->op->counts)
    listener(node->where, CHOICE_NAMES[!digits ? CHOICE_planes : choice == CHOICE_codes_fast ? choice : CHOICE_codes],
             digits, reason, planes, codes);
}
