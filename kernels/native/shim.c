/* The custom-op library: registers paconv's ops with onnxruntime, checks every node and call, and runs the kernels on
 * onnxruntime's own thread pool.
 *
 * The kernels are native functions made from Numba sources: linked in, once for each CPU level (paconv_levels.h), or
 * installed by address while developing (paconv_install). All names, types and limits come from paconv_tables.h. Both
 * headers are generated from paconv/ops and paconv/kernels.
 *
 * No state is shared between calls but the node, which is read-only after creation: threads may share a session.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ort.h"
#include "paconv_tables.h"
#include "platform.h"
#include "rates.h"

const OrtFunction *paconv_ort_api;

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

typedef void (*Task)(void *arguments, size_t task);
typedef void (*Accumulate)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);

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

/* The accumulate function of a variant, M and N or D and D, and its tile; NULL if there can be none. */
static Accumulate *accumulate_slot(Level *level, const char *name, int64_t M, int64_t N, int64_t **tile) {
  if (!strcmp(name, "accumulate") && M >= 1 && M <= MAX_PLANES && N >= 1 && N <= MAX_PLANES)
    return *tile = &level->tile[M][N], &level->accumulate[M][N];
  if (!strcmp(name, "accumulate_codes") && (M == 1 || M == 2) && N == M)
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
static const Level *choose_level(char *message, size_t size) {
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

/* ---- which kernel a node gets ------------------------------------------------------------------------------------ */

/* The active level's rates: read when the library is registered first, so that a process never changes its mind. */
static Rates active_rates;

static void read_rates_once(const Level *level) {
  static int done;
  if (done) return;
  active_rates = level->rates;
  read_rates(level->name, &active_rates);
  done = 1;
}

enum { AUTOMATIC = -1 };
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
static OrtStatus *session_choice(const OrtSessionOptions *options, int *choice) {
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

/* ---- a node ----------------------------------------------------------------------------------------------------- */

typedef struct {
  OrtCustomOp ort; /* first: onnxruntime hands this back */
  const char *name;
  int output_type;
  int counts; /* writes the counts instead of Y */
  int choice; /* the kernel its session asks for, or AUTOMATIC */
} Op;

typedef struct {
  const Op *op;
  const Level *level;
  int64_t fields[F_COUNT]; /* what is the same in every call */
  void *owned[10];
  size_t owned_count;
  char where[192]; /* "paconv.PABitConv node 'layer1.0.conv1'" */
} Node;

static OrtStatus *failure(const Node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
static OrtStatus *failure(const Node *node, const char *format, ...) {
  char message[512];
  const int start = snprintf(message, sizeof message, "%s: ", node->where);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message + start, sizeof message - (size_t)start, format, arguments);
  va_end(arguments);
  return ORT_CALL(CreateStatus)(ORT_INVALID_ARGUMENT, message);
}

#define RETURN_IF_ERROR(call)         \
  do {                                \
    OrtStatus *status_ = (call);      \
    if (status_) return status_;      \
  } while (0)

static void drop(OrtStatus *status) {
  if (status) ORT_CALL(ReleaseStatus)(status);
}

/* "[1, 2, 3]" */
static const char *list(char *text, size_t size, const int64_t *values, size_t count) {
  size_t at = (size_t)snprintf(text, size, "[");
  for (size_t k = 0; k < count && at + 24 < size; k++)
    at += (size_t)snprintf(text + at, size - at, "%s%lld", k ? ", " : "", (long long)values[k]);
  snprintf(text + at, size - at, "]");
  return text;
}

static int64_t smallest(const int64_t *values, size_t count) {
  int64_t least = values[0];
  for (size_t k = 1; k < count; k++)
    if (values[k] < least) least = values[k];
  return least;
}

/* 64-byte aligned zeroed memory of a*b*c*d*size bytes, owned by the node; NULL if it can't be had. */
static void *node_memory(Node *node, int64_t a, int64_t b, int64_t c, int64_t d, int64_t size) {
  int64_t bytes;
  if (__builtin_mul_overflow(a, b, &bytes) || __builtin_mul_overflow(bytes, c, &bytes) ||
      __builtin_mul_overflow(bytes, d, &bytes) || __builtin_mul_overflow(bytes, size, &bytes))
    return NULL;
  void *memory = aligned_memory((size_t)(bytes > 64 ? bytes : 64));
  if (memory) memset(node->owned[node->owned_count++] = memory, 0, (size_t)bytes);
  return memory;
}

static void destroy(void *handle) {
  Node *node = handle;
  for (size_t k = 0; k < node->owned_count; k++) free_aligned(node->owned[k]);
  free(node);
}

/* ---- attributes and constant inputs ------------------------------------------------------------------------------ */

typedef struct {
  int64_t values[MAX_ENDPOINTS + 1];
  size_t count;
} Ints;

typedef struct {
  const void *data;
  int64_t dims[4];
  size_t rank;
} Constant;

static OrtStatus *read_ints(const Node *node, const OrtKernelInfo *info, int attribute, Ints *ints) {
  const char *name = ATTRIBUTE_NAMES[attribute];
  const size_t capacity = sizeof ints->values / sizeof *ints->values;
  ints->count = capacity;
  OrtStatus *status = ORT_CALL(KernelInfoGetAttributeArray_int64)(info, name, ints->values, &ints->count);
  drop(status);
  if (status && ints->count > capacity)
    return failure(node, "expected at most %zu integers in %s; found %zu", capacity, name, ints->count);
  if (status || !ints->count) /* onnxruntime reads a list of floats as an empty list of integers */
    return failure(node, "expected the attribute %s, a list of integers; found none", name);
  const size_t length = (size_t)ATTRIBUTE_LENGTHS[attribute];
  if (length && ints->count != length)
    return failure(node, "expected %zu integers in %s; found %zu", length, name, ints->count);
  return NULL;
}

static OrtStatus *read_int(const Node *node, const OrtKernelInfo *info, int attribute, int64_t *value) {
  OrtStatus *status = ORT_CALL(KernelInfoGetAttribute_int64)(info, ATTRIBUTE_NAMES[attribute], value);
  if (!status) return NULL;
  drop(status);
  return failure(node, "expected the attribute %s, an integer; found none", ATTRIBUTE_NAMES[attribute]);
}

/* Rank and dimensions of a tensor's type; `capacity` bounds the rank. */
static OrtStatus *read_dims(const Node *node, const char *name, const OrtValue *value, int64_t *dims, size_t capacity,
                            size_t *rank) {
  OrtTensorInfo *info;
  RETURN_IF_ERROR(ORT_CALL(GetTensorTypeAndShape)(value, &info));
  OrtStatus *status = ORT_CALL(GetDimensionsCount)(info, rank);
  if (!status && *rank > capacity)
    status = failure(node, "expected %s of rank at most %zu; found rank %zu", name, capacity, *rank);
  if (!status) status = ORT_CALL(GetDimensions)(info, dims, *rank);
  ORT_CALL(ReleaseTensorTypeAndShapeInfo)(info);
  return status;
}

static OrtStatus *read_constant(const Node *node, const OrtKernelInfo *info, int input, Constant *constant) {
  const char *name = INPUT_NAMES[input];
  const OrtValue *value = NULL;
  int is_constant = 0;
  RETURN_IF_ERROR(ORT_CALL(KernelInfoGetConstantInput_tensor)(info, (size_t)input, &is_constant, &value));
  if (!is_constant || !value)
    return failure(node, "expected %s as a constant initializer; found a computed or fed tensor", name);
  RETURN_IF_ERROR(read_dims(node, name, value, constant->dims, 4, &constant->rank));
  OrtTensorInfo *type_info;
  int type = 0;
  RETURN_IF_ERROR(ORT_CALL(GetTensorTypeAndShape)(value, &type_info));
  OrtStatus *status = ORT_CALL(GetTensorElementType)(type_info, &type);
  ORT_CALL(ReleaseTensorTypeAndShapeInfo)(type_info);
  if (status) return status;
  if (type != INPUT_TYPES[input])
    return failure(node, "expected %s of element type %d; found %d", name, INPUT_TYPES[input], type);
  void *data = NULL;
  RETURN_IF_ERROR(ORT_CALL(GetTensorMutableData)(value, &data));
  constant->data = data;
  return NULL;
}

/* A copy of a constant input, owned by the node. Returns its address as a field, 0 if memory is short. */
static int64_t keep(Node *node, const Constant *constant, int64_t size) {
  int64_t count = 1;
  for (size_t k = 0; k < constant->rank; k++) count *= constant->dims[k];
  void *copy = node_memory(node, count, 1, 1, 1, size);
  if (copy) memcpy(copy, constant->data, (size_t)(count * size));
  return (int64_t)(intptr_t)copy;
}

static OrtStatus *check_masks(const Node *node, const char *name, const Ints *masks, int64_t planes) {
  for (size_t k = 0; k < masks->count; k++)
    if (masks->values[k] < 0 || masks->values[k] >= (int64_t)1 << planes)
      return failure(node, "expected %s within 0..%d for %lld planes; found %lld", name, (1 << planes) - 1,
                     (long long)planes, (long long)masks->values[k]);
  return NULL;
}

static OrtStatus *check_endpoints(const Node *node, const float *v, int64_t rows, int64_t E) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t e = 1; e < E; e++) {
      const float before = v[row * E + e - 1], here = v[row * E + e];
      if (!(here >= before || isnan(here)))
        return failure(node, "expected v ascending in each row, NaN last; found %g before %g in row %lld", before, here,
                       (long long)row);
    }
  return NULL;
}

/* Sets f[F_D]: 0 for bit planes, else the digits of the level codes. `once` has the constants of prepare_coding. Codes
 * are taken where their sums fit int32 and, if they are to be exact, with as few digits as the estimated error allows. */
static void choose_kernel(Node *node, int64_t *once, int64_t window) {
  int64_t *f = node->fields;
  const double quads = (double)((f[F_CG] + QUAD - 1) / QUAD) / (WORD_BITS / QUAD);
  const double planes = active_rates.planes[f[F_M]][f[F_N]] * (double)f[F_CW];
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

/* Reads and checks everything that is the same in every call, and prepares the weights. */
static OrtStatus *fill_node(Node *node, const OrtKernelInfo *info) {
  int64_t *f = node->fields;
  char text[256];
  int64_t version;
  Ints shape, weight_masks, level_masks, strides, pads, dilations;
  RETURN_IF_ERROR(read_int(node, info, ATTRIBUTE_version, &version)); /* first: the rest may mean something else */
  if (version < 1 || version > LIBRARY_OPSET)
    return failure(node, "expected a node of version 1..%d; found %lld; this library is paconv %s, update it", LIBRARY_OPSET,
                   (long long)version, LIBRARY_VERSION);
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_weight_shape, &shape));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_weight_masks, &weight_masks));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_level_masks, &level_masks));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_strides, &strides));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_pads, &pads));
  RETURN_IF_ERROR(read_ints(node, info, ATTRIBUTE_dilations, &dilations));
  RETURN_IF_ERROR(read_int(node, info, ATTRIBUTE_group, &f[F_G]));
  if (smallest(shape.values, 4) < 1)
    return failure(node, "expected weight_shape [O, C/g, KH, KW], all at least 1; found %s",
                   list(text, sizeof text, shape.values, 4));
  if (smallest(strides.values, 2) < 1)
    return failure(node, "expected strides of at least 1; found %s", list(text, sizeof text, strides.values, 2));
  if (smallest(dilations.values, 2) < 1)
    return failure(node, "expected dilations of at least 1; found %s", list(text, sizeof text, dilations.values, 2));
  for (int k = 0; k < 4; k++)
    if (pads.values[k] < 0 || pads.values[k] > MAX_PAD)
      return failure(node, "expected pads within 0..%d; found %s", MAX_PAD, list(text, sizeof text, pads.values, 4));
  const int64_t O = shape.values[0], CG = shape.values[1], KH = shape.values[2], KW = shape.values[3];
  int64_t window, weights, channels, span;
  if (__builtin_mul_overflow(CG, KH, &window) || __builtin_mul_overflow(window, KW, &window) || window > MAX_WINDOW ||
      __builtin_mul_overflow(window, O, &weights))
    return failure(node, "expected C/g*KH*KW at most %d; found weight_shape %s", MAX_WINDOW,
                   list(text, sizeof text, shape.values, 4));
  if (f[F_G] < 1 || O % f[F_G])
    return failure(node, "expected a group that divides O=%lld; found %lld", (long long)O, (long long)f[F_G]);
  if (__builtin_mul_overflow(CG, f[F_G], &channels) || __builtin_mul_overflow(dilations.values[0], KH, &span) ||
      __builtin_mul_overflow(dilations.values[1], KW, &span))
    return failure(node, "expected sizes that fit 64 bits; found weight_shape %s", list(text, sizeof text, shape.values, 4));

  Constant W, alpha, v, sign, beta, scale, bias;
  RETURN_IF_ERROR(read_constant(node, info, INPUT_W, &W));
  RETURN_IF_ERROR(read_constant(node, info, INPUT_alpha, &alpha));
  RETURN_IF_ERROR(read_constant(node, info, INPUT_v, &v));
  RETURN_IF_ERROR(read_constant(node, info, INPUT_sign, &sign));
  RETURN_IF_ERROR(read_constant(node, info, INPUT_beta, &beta));
  RETURN_IF_ERROR(read_constant(node, info, INPUT_scale, &scale));
  RETURN_IF_ERROR(read_constant(node, info, INPUT_bias, &bias));
  if (alpha.rank != 2 || (alpha.dims[0] != 1 && alpha.dims[0] != O))
    return failure(node, "expected alpha of shape (1 or %lld, M+1); found %s", (long long)O,
                   list(text, sizeof text, alpha.dims, alpha.rank));
  if (alpha.dims[1] < 2 || alpha.dims[1] > MAX_PLANES + 1)
    return failure(node, "expected M in 1..%d; found %lld", MAX_PLANES, (long long)alpha.dims[1] - 1);
  if (beta.rank != 1 || beta.dims[0] < 2 || beta.dims[0] > MAX_PLANES + 1)
    return failure(node, "expected beta of shape (N+1,), N in 1..%d; found %s", MAX_PLANES,
                   list(text, sizeof text, beta.dims, beta.rank));
  const int64_t M = alpha.dims[1] - 1, N = beta.dims[0] - 1;
  if (v.rank != 2 || (v.dims[0] != 1 && v.dims[0] != channels) || v.dims[1] < 1 || v.dims[1] > MAX_ENDPOINTS)
    return failure(node, "expected v of shape (1 or %lld, E), E in 1..%d; found %s", (long long)channels, MAX_ENDPOINTS,
                   list(text, sizeof text, v.dims, v.rank));
  if (sign.rank != 1 || (sign.dims[0] != 1 && sign.dims[0] != channels))
    return failure(node, "expected sign of shape (1,) or (%lld,); found %s", (long long)channels,
                   list(text, sizeof text, sign.dims, sign.rank));
  for (int64_t k = 0; k < sign.dims[0]; k++)
    if (abs(((const int8_t *)sign.data)[k]) != 1)
      return failure(node, "expected sign +1 or -1; found %d at %lld", ((const int8_t *)sign.data)[k], (long long)k);
  if (scale.rank != 1 || scale.dims[0] != O || bias.rank != 1 || bias.dims[0] != O)
    return failure(node, "expected scale and bias of shape (%lld,); found rank %zu and %zu, lengths %lld and %lld",
                   (long long)O, scale.rank, bias.rank, (long long)(scale.rank ? scale.dims[0] : 1),
                   (long long)(bias.rank ? bias.dims[0] : 1));
  RETURN_IF_ERROR(check_endpoints(node, v.data, v.dims[0], v.dims[1]));
  RETURN_IF_ERROR(check_masks(node, "weight_masks", &weight_masks, M));
  RETURN_IF_ERROR(check_masks(node, "level_masks", &level_masks, N));
  if (level_masks.count != (size_t)v.dims[1] + 1)
    return failure(node, "expected %lld level_masks (E+1); found %zu", (long long)v.dims[1] + 1, level_masks.count);
  const int64_t code_bytes = (weights + 7) / 8;
  if (W.rank != 2 || W.dims[0] < 1 || W.dims[0] > MAX_PLANES || W.dims[1] != code_bytes)
    return failure(node, "expected W of shape (R, %lld), R in 1..%d; found %s", (long long)code_bytes, MAX_PLANES,
                   list(text, sizeof text, W.dims, W.rank));
  if (weight_masks.count > (size_t)1 << W.dims[0])
    return failure(node, "expected at most %d weight_masks for %lld bits a weight; found %zu", 1 << W.dims[0],
                   (long long)W.dims[0], weight_masks.count);

  f[F_C] = channels, f[F_O] = O, f[F_CG] = CG, f[F_OG] = O / f[F_G], f[F_KH] = KH, f[F_KW] = KW;
  f[F_CW] = (CG + WORD_BITS - 1) / WORD_BITS, f[F_OB] = (f[F_OG] + LANES - 1) / LANES;
  f[F_SH] = strides.values[0], f[F_SW] = strides.values[1];
  f[F_DH] = dilations.values[0], f[F_DW] = dilations.values[1];
  f[F_PT] = pads.values[0], f[F_PL] = pads.values[1];
  f[F_Hp] = pads.values[0] + pads.values[2], f[F_Wp] = pads.values[1] + pads.values[3]; /* a call adds H and W */
  const int wide = f[F_DW] == 1; /* a row's words lie side by side: one run a row */
  f[F_taps] = wide ? KH : KH * KW, f[F_run] = wide ? KW * f[F_CW] : f[F_CW];
  f[F_M] = M, f[F_N] = N, f[F_E] = v.dims[1], f[F_R] = W.dims[0], f[F_code_bytes] = code_bytes;
  f[F_v_rows] = v.dims[0], f[F_sign_rows] = sign.dims[0], f[F_alpha_rows] = alpha.dims[0];
  f[F_weight_codes] = (int64_t)weight_masks.count;
  f[F_has_beta_0] = ((const float *)beta.data)[0] != 0;
  for (int64_t k = 0; k < alpha.dims[0]; k++)
    if (((const float *)alpha.data)[k * (M + 1)] != 0) f[F_has_alpha_0] = 1;

  uint8_t weight_mask_bytes[MAX_ENDPOINTS + 1], level_mask_bytes[MAX_ENDPOINTS + 1];
  for (size_t k = 0; k < weight_masks.count; k++) weight_mask_bytes[k] = (uint8_t)weight_masks.values[k];
  for (size_t k = 0; k < level_masks.count; k++) level_mask_bytes[k] = (uint8_t)level_masks.values[k];
  const Constant level_mask_constant = {level_mask_bytes, {(int64_t)level_masks.count}, 1};
  const int64_t blocks = f[F_G] * f[F_OB];
  f[F_v] = keep(node, &v, 4), f[F_sign] = keep(node, &sign, 1), f[F_beta] = keep(node, &beta, 4);
  f[F_level_masks] = keep(node, &level_mask_constant, 1);
  float *lanes = node_memory(node, blocks, KH * KW + 6, LANES, 1, 4); /* base to offset_taps */
  f[F_coding] = (int64_t)(intptr_t)node_memory(node, CODING_HEAD + alpha.dims[0], 1, 1, 1, 8);
  f[F_level_codes] = (int64_t)(intptr_t)node_memory(node, v.dims[1] + 1, 1, 1, 1, 4);
  if (!f[F_v] || !f[F_sign] || !f[F_beta] || !f[F_level_masks] || !lanes || !f[F_coding] || !f[F_level_codes])
    return failure(node, "not enough memory to prepare %lld weights", (long long)weights);
  f[F_base] = (int64_t)(intptr_t)lanes;
  f[F_offset_alpha] = (int64_t)(intptr_t)(lanes + blocks * LANES);
  f[F_correction] = (int64_t)(intptr_t)(lanes + 2 * blocks * LANES);
  f[F_zero_dots] = (int64_t)(intptr_t)(lanes + 4 * blocks * LANES);
  f[F_offset_taps] = (int64_t)(intptr_t)(lanes + 6 * blocks * LANES);

  char message[256];
  if (resolver && !resolver(M, N))
    return failure(node, "the kernels for M=%lld, N=%lld could not be compiled", (long long)M, (long long)N);
  node->level = choose_level(message, sizeof message);
  if (!node->level) return failure(node, "%s", message);

  int64_t once[F_COUNT];
  memcpy(once, f, sizeof once);
  once[F_codes] = (int64_t)(intptr_t)W.data, once[F_alpha] = (int64_t)(intptr_t)alpha.data;
  once[F_scale] = (int64_t)(intptr_t)scale.data, once[F_bias] = (int64_t)(intptr_t)bias.data;
  once[F_weight_masks] = (int64_t)(intptr_t)weight_mask_bytes;
  choose_kernel(node, once, window);

  const Level *level = node->level;
  const int64_t D = f[F_D];
  if (D) f[F_CW] = (CG + QUAD - 1) / QUAD, f[F_run] = wide ? KW * f[F_CW] : f[F_CW];
  f[F_accumulate] = (int64_t)(intptr_t)(D ? level->accumulate_codes[D] : level->accumulate[M][N]);
  f[F_tile] = D ? level->code_tile[D] : level->tile[M][N];
  f[F_weight_words] = (int64_t)(intptr_t)node_memory(node, blocks, KH * KW * f[F_CW], D ? D : M, LANES, 4);
  f[F_phi] = (int64_t)(intptr_t)node_memory(node, blocks, D ? D : M * N, LANES, 1, 4);
  if (!f[F_weight_words] || !f[F_phi])
    return failure(node, "not enough memory to prepare %lld weights", (long long)weights);
  once[F_D] = D, once[F_CW] = f[F_CW], once[F_weight_words] = f[F_weight_words], once[F_phi] = f[F_phi];
  for (int64_t block = 0; block < blocks; block++) (D ? level->prepare_codes : level->prepare_weights)(once, (size_t)block);
  if (once[F_error])
    return failure(node, "expected weight codes below %zu (the number of weight_masks); found a larger one at weight %lld",
                   weight_masks.count, (long long)once[F_error] - 1);
  return NULL;
}

static OrtStatus *create(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle) {
  (void)api;
  *handle = NULL;
  Node *node = calloc(1, sizeof *node);
  if (!node) return ORT_CALL(CreateStatus)(ORT_FAIL, "paconv: not enough memory for a node");
  node->op = (const Op *)op;
  char name[128] = "?";
  size_t size = sizeof name;
  drop(ORT_CALL(KernelInfo_GetNodeName)(info, name, &size)); /* a longer name stays "?": the message must not fail */
  snprintf(node->where, sizeof node->where, "%s.%s node '%s'", DOMAIN_NAME, node->op->name, name);
  OrtStatus *status = fill_node(node, info);
  if (status) {
    destroy(node);
    return status;
  }
  *handle = node;
  return NULL;
}

/* ---- a call ----------------------------------------------------------------------------------------------------- */

/* Runs tasks 0..total-1, on onnxruntime's threads if there is more than one. */
static OrtStatus *run_tasks(const OrtKernelContext *context, Task task, int64_t total, int64_t *fields) {
  if (total > 1) return ORT_CALL(KernelContext_ParallelFor)(context, task, (size_t)total, 0, fields);
  if (total == 1) task(fields, 0);
  return NULL;
}

/* Divide the lane blocks so that even a small image gives several tasks; never depends on the number of threads. */
static void divide(int64_t *f) {
  enum { ENOUGH_TASKS = 8 };
  f[F_pixel_chunks] = (f[F_OH] * f[F_OW] + PIXEL_CHUNK - 1) / PIXEL_CHUNK;
  const int64_t without = f[F_B] * f[F_G] * f[F_pixel_chunks];
  int64_t chunks = (ENOUGH_TASKS + without - 1) / without;
  if (chunks > f[F_OB]) chunks = f[F_OB];
  f[F_blocks_per_task] = (f[F_OB] + chunks - 1) / chunks;
  f[F_block_chunks] = (f[F_OB] + f[F_blocks_per_task] - 1) / f[F_blocks_per_task];
}

/* Fills the packed image with what window padding is made of; the gather then writes the rest. */
static void clear_padding(const int64_t *f, int64_t words, int64_t positions) {
  uint8_t *packed = (uint8_t *)(intptr_t)f[F_words];
  if (!f[F_D]) {
    memset(packed, 0, (size_t)words);
    return;
  }
  const int high = (int)((const double *)(intptr_t)f[F_coding])[CODING_HEAD - 1];
  memset((void *)(intptr_t)f[F_sums], 0, (size_t)positions * 8);
  memset(packed, high, (size_t)words);
  if (f[F_D] == 2)
    for (int64_t k = 4; k < words; k += 8) memset(packed + k, LOW_ZERO, 4);
}

static OrtStatus *compute(void *handle, OrtKernelContext *context) {
  const Node *node = handle;
  int64_t f[F_COUNT], dims[4];
  char text[160];
  size_t rank;
  memcpy(f, node->fields, sizeof f);

  const OrtValue *X = NULL;
  void *x_data = NULL;
  RETURN_IF_ERROR(ORT_CALL(KernelContext_GetInput)(context, INPUT_X, &X));
  if (!X) return failure(node, "expected the input X; found none");
  RETURN_IF_ERROR(read_dims(node, "X", X, dims, 4, &rank));
  if (rank != 4 || dims[1] != f[F_C])
    return failure(node, "expected X of shape (B, %lld, H, W); found %s", (long long)f[F_C],
                   list(text, sizeof text, dims, rank));
  RETURN_IF_ERROR(ORT_CALL(GetTensorMutableData)(X, &x_data));
  f[F_B] = dims[0], f[F_H] = dims[2], f[F_W] = dims[3];
  const int64_t span[2] = {f[F_DH] * (f[F_KH] - 1) + 1, f[F_DW] * (f[F_KW] - 1) + 1};
  f[F_Hp] += f[F_H], f[F_Wp] += f[F_W];
  if (f[F_Hp] < span[0] || f[F_Wp] < span[1])
    return failure(node, "expected a padded image of at least %lld x %lld (the dilated window); found X %s",
                   (long long)span[0], (long long)span[1], list(text, sizeof text, dims, rank));
  f[F_OH] = (f[F_Hp] - span[0]) / f[F_SH] + 1, f[F_OW] = (f[F_Wp] - span[1]) / f[F_SW] + 1;

  const int64_t y_dims[4] = {f[F_B], f[F_O], f[F_OH], f[F_OW]};
  const int64_t count_dims[6] = {f[F_B], f[F_M], f[F_N], f[F_O], f[F_OH], f[F_OW]};
  OrtValue *Y = NULL;
  void *y_data = NULL;
  RETURN_IF_ERROR(node->op->counts ? ORT_CALL(KernelContext_GetOutput)(context, 0, count_dims, 6, &Y)
                                   : ORT_CALL(KernelContext_GetOutput)(context, 0, y_dims, 4, &Y));
  RETURN_IF_ERROR(ORT_CALL(GetTensorMutableData)(Y, &y_data));
  if (!f[F_B]) return NULL;

  const int64_t word_bytes = f[F_CW] * (f[F_D] ? f[F_D] : f[F_N]) * 4;
  int64_t positions, words, bytes;
  if (__builtin_mul_overflow(f[F_B] * f[F_G], f[F_Hp], &positions) ||
      __builtin_mul_overflow(positions, f[F_Wp], &positions) || __builtin_mul_overflow(positions, word_bytes + 8, &bytes) ||
      __builtin_add_overflow(bytes, f[F_taps] * 8 + 128, &bytes))
    return failure(node, "expected a padded image that fits memory; found X %s and padding to %lld x %lld",
                   list(text, sizeof text, dims, rank), (long long)f[F_Hp], (long long)f[F_Wp]);
  void *scratch = aligned_memory((size_t)bytes);
  if (!scratch)
    return failure(node, "not enough memory for %lld bytes of packed activations", (long long)bytes);
  int64_t *tap_offsets = scratch;
  for (int64_t tap = 0; tap < f[F_taps]; tap++) {
    const int64_t kh = f[F_DW] == 1 ? tap : tap / f[F_KW], kw = f[F_DW] == 1 ? 0 : tap % f[F_KW];
    tap_offsets[tap] = (kh * f[F_DH] * f[F_Wp] + kw * f[F_DW]) * word_bytes;
  }
  f[F_x] = (int64_t)(intptr_t)x_data, f[F_y] = (int64_t)(intptr_t)y_data;
  f[F_tap_offsets] = (int64_t)(intptr_t)scratch;
  f[F_words] = f[F_tap_offsets] + (f[F_taps] * 8 + 63) / 64 * 64;
  words = positions * word_bytes;
  f[F_sums] = f[F_words] + (words + 63) / 64 * 64;
  divide(f);
  const Level *level = node->level;
  const Task task = node->op->counts ? level->counts : f[F_D] ? level->conv_codes : level->conv;
  if (f[F_Hp] != f[F_H] || f[F_Wp] != f[F_W]) clear_padding(f, words, positions);
  f[F_gather_runs] = (f[F_H] * f[F_W] + GATHER_RUN - 1) / GATHER_RUN;
  OrtStatus *status = run_tasks(context, f[F_D] ? level->gather_codes : level->gather, f[F_B] * f[F_G] * f[F_gather_runs], f);
  if (!status) status = run_tasks(context, task, f[F_B] * f[F_G] * f[F_pixel_chunks] * f[F_block_chunks], f);
  free_aligned(scratch);
  return status;
}

/* ---- shape inference -------------------------------------------------------------------------------------------- */

static int attribute_ints(const OrtShapeInferContext *context, const char *name, int64_t *values, size_t count) {
  const OrtOpAttr *attribute = NULL;
  size_t needed = 0;
  OrtStatus *status = ORT_CALL(ShapeInferContext_GetAttribute)(context, name, &attribute);
  if (!status) status = ORT_CALL(ReadOpAttr)(attribute, ORT_ATTRIBUTE_INTS, values, count * sizeof *values, &needed);
  const int ok = !status && needed == count * sizeof *values;
  drop(status);
  return ok;
}

/* Sets Y's shape where batch, rows and columns are known (the batch may be a name); says nothing otherwise. Errors are
 * left to `create` and `compute`: onnxruntime ignores a status from here. */
static OrtStatus *infer(const OrtCustomOp *op, OrtShapeInferContext *context) {
  OrtTensorInfo *x_info = NULL, *y_info = NULL; /* x_info belongs to the context */
  int64_t x[4], y[4], shape[4], strides[2], pads[4], dilations[2];
  const char *x_names[4] = {0}, *y_names[4] = {"", "", "", ""};
  size_t rank = 0;
  if (((const Op *)op)->counts) return NULL;
  RETURN_IF_ERROR(ORT_CALL(ShapeInferContext_GetInputTypeShape)(context, INPUT_X, &x_info));
  RETURN_IF_ERROR(ORT_CALL(GetDimensionsCount)(x_info, &rank));
  if (rank != 4) return NULL;
  RETURN_IF_ERROR(ORT_CALL(GetDimensions)(x_info, x, 4));
  RETURN_IF_ERROR(ORT_CALL(GetSymbolicDimensions)(x_info, x_names, 4));
  const int named_batch = x[0] < 0 && x_names[0] && x_names[0][0];
  if ((x[0] < 0 && !named_batch) || x[2] < 0 || x[3] < 0) return NULL;
  if (!attribute_ints(context, "weight_shape", shape, 4) || !attribute_ints(context, "strides", strides, 2) ||
      !attribute_ints(context, "pads", pads, 4) || !attribute_ints(context, "dilations", dilations, 2))
    return NULL;
  y[0] = x[0], y[1] = shape[0];
  if (named_batch) y_names[0] = x_names[0];
  for (int axis = 0; axis < 2; axis++) {
    const int64_t free_span = x[2 + axis] + pads[axis] + pads[axis + 2] - dilations[axis] * (shape[2 + axis] - 1) - 1;
    if (free_span < 0 || strides[axis] < 1) return NULL;
    y[2 + axis] = free_span / strides[axis] + 1;
  }
  RETURN_IF_ERROR(ORT_CALL(CreateTensorTypeAndShapeInfo)(&y_info));
  OrtStatus *status = ORT_CALL(SetTensorElementType)(y_info, ORT_FLOAT);
  if (!status) status = ORT_CALL(SetDimensions)(y_info, y, 4);
  if (!status) status = ORT_CALL(SetSymbolicDimensions)(y_info, y_names, 4);
  if (!status) status = ORT_CALL(ShapeInferContext_SetOutputTypeShape)(context, 0, y_info);
  ORT_CALL(ReleaseTensorTypeAndShapeInfo)(y_info);
  return status;
}

/* ---- registration ----------------------------------------------------------------------------------------------- */

static const char *op_name(const OrtCustomOp *op) { return ((const Op *)op)->name; }
static const char *op_provider(const OrtCustomOp *op) { return (void)op, NULL; /* the CPU */ }
static int op_input_type(const OrtCustomOp *op, size_t k) { return (void)op, INPUT_TYPES[k]; }
static size_t op_inputs(const OrtCustomOp *op) { return (void)op, INPUT_COUNT; }
static int op_output_type(const OrtCustomOp *op, size_t k) { return (void)k, ((const Op *)op)->output_type; }
static size_t op_outputs(const OrtCustomOp *op) { return (void)op, 1; }
static int op_zero(const OrtCustomOp *op, size_t k) { return (void)op, (void)k, 0; }
static int op_one(const OrtCustomOp *op) { return (void)op, 1; }
static int op_end_version(const OrtCustomOp *op) { return (void)op, 0x7fffffff; }

#define ORT_OP                                                                                                       \
  {.version = ORT_API_VERSION_USED, .GetName = op_name, .GetExecutionProviderType = op_provider,                     \
   .GetInputType = op_input_type, .GetInputTypeCount = op_inputs, .GetOutputType = op_output_type,                   \
   .GetOutputTypeCount = op_outputs, .KernelDestroy = destroy, .GetInputCharacteristic = op_zero,                    \
   .GetOutputCharacteristic = op_zero, .GetInputMemoryType = op_zero, .GetVariadicInputMinArity = op_one,            \
   .GetVariadicInputHomogeneity = op_one, .GetVariadicOutputMinArity = op_one, .GetVariadicOutputHomogeneity = op_one, \
   .CreateKernelV2 = create, .KernelComputeV2 = compute, .InferOutputShape = infer, .GetStartVersion = op_one,       \
   .GetEndVersion = op_end_version}

/* One set of ops for each choice of a session, AUTOMATIC first. */
static Op ops[CHOICE_COUNT + 1][2];

static Lock registration = LOCK_INITIALIZER;

static OrtStatus *need_api(const OrtApiBase *base) {
  if (paconv_ort_api) return NULL;
  paconv_ort_api = base->GetApi(ORT_API_VERSION_USED);
  if (paconv_ort_api) return NULL;
  char message[160];
  snprintf(message, sizeof message, "paconv: expected onnxruntime 1.%d or newer; found %s", ORT_API_VERSION_USED,
           base->GetVersionString());
  const OrtFunction *oldest = base->GetApi(1);
  return ((Ort_CreateStatus)oldest[ORT_INDEX_CreateStatus])(ORT_FAIL, message);
}

static OrtStatus *make_domain(int choice, OrtCustomOpDomain **result) {
  static OrtCustomOpDomain *domains[CHOICE_COUNT + 1];
  OrtCustomOpDomain **domain = &domains[choice + 1];
  if (!*domain) {
    const Op made[2] = {{ORT_OP, OP_PABitConv, ORT_FLOAT, 0, choice}, {ORT_OP, OP_PABitConvCounts, ORT_INT32, 1, choice}};
    memcpy(ops[choice + 1], made, sizeof made);
    OrtCustomOpDomain *fresh = NULL;
    RETURN_IF_ERROR(ORT_CALL(CreateCustomOpDomain)(DOMAIN_NAME, &fresh));
    for (int k = 0; k < 2; k++) RETURN_IF_ERROR(ORT_CALL(CustomOpDomain_Add)(fresh, &ops[choice + 1][k].ort));
    *domain = fresh;
  }
  *result = *domain;
  return NULL;
}

/* onnxruntime calls this for SessionOptions.register_custom_ops_library. */
EXPORT OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base) {
  OrtCustomOpDomain *domain = NULL;
  int choice = AUTOMATIC;
  char message[256];
  lock(&registration);
  OrtStatus *status = need_api(base);
  if (!status) status = session_choice(options, &choice);
  const Level *level = status ? NULL : choose_level(message, sizeof message);
  if (!status && !level) status = ORT_CALL(CreateStatus)(ORT_FAIL, message);
  if (!status) read_rates_once(level);
  if (!status) status = make_domain(choice, &domain);
  unlock(&registration);
  if (status) return status;
  return ORT_CALL(AddCustomOpDomain)(options, domain);
}
