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

/* Told of every node's kernel when it is created: the node's name, the choice with the format of its codes, why, and
 * the rates it was chosen by (0 for codes that can't be taken or were not asked for). */
typedef void (*Listener)(const char *node, const char *choice, const char *format, const char *reason,
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

/* Fills `coding` and `level_codes` for a format; returns whether it is exact enough for the node's levels. */
static int exact(const Node *node, int64_t *once, int format) {
  once[F_D] = FORMAT_DIGITS[format], once[F_digit_bits] = FORMAT_DIGIT_BITS[format];
  node->level->prepare_coding(once, 0);
  return ((const double *)(intptr_t)once[F_coding])[2] <= EXACT_ERROR;
}

static int two_bytes_are_faster(const Node *node) {
  return node->level->accumulate_codes[FORMAT_two_bytes] &&
         active_rates.codes[FORMAT_two_bytes] < active_rates.codes[FORMAT_word];
}

void choose_kernel(Node *node, int64_t *once, int64_t window) {
  int64_t *f = node->fields;
  const int choice = node->op->kind == OP_PABitConvCounts ? CHOICE_planes : node->op->choice;
  const double words = (double)(f[F_taps] * f[F_run]) / (double)(f[F_KH] * f[F_KW]); /* of a window position */
  const char *reason = choice == AUTOMATIC ? "faster by the rates" : "forced";
  const double planes = active_rates.planes[f[F_M]][f[F_N]] * words;
  double codes = 0;
  int format = FORMAT_planes;
  if (choice != CHOICE_planes) {
    if (window > MAX_CODE_WINDOW)
      reason = "the window is too large for codes";
    else if (exact(node, once, FORMAT_byte) || choice == CHOICE_codes_fast)
      format = FORMAT_byte;
    else if (window < MIN_CODE_WINDOW)
      reason = "the window is too small for codes to average their errors";
    else if (two_bytes_are_faster(node) && exact(node, once, FORMAT_two_bytes))
      format = FORMAT_two_bytes;
    else if (exact(node, once, FORMAT_word))
      format = FORMAT_word;
    else
      reason = "codes are not exact enough for these levels";
  }
  if (format) {
    const int64_t channels = 32 / FORMAT_DIGIT_BITS[format], code_words = (f[F_CG] + channels - 1) / channels;
    codes = active_rates.codes[format] * (double)code_words / (double)(WORD_BITS / channels);
    if (choice == AUTOMATIC && codes >= planes) format = FORMAT_planes;
  }
  f[F_D] = FORMAT_DIGITS[format], f[F_digit_bits] = FORMAT_DIGIT_BITS[format];
  node->format = format;
  if (listener && node->op->kind != OP_PABitConvCounts)
    listener(node->where, CHOICE_NAMES[!format ? CHOICE_planes : choice == CHOICE_codes_fast ? choice : CHOICE_codes],
             FORMAT_NAMES[format], reason, planes, codes);
}
