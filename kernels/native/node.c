#include "node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

OrtStatus *failure(const Node *node, const char *format, ...) {
  char message[512];
  const int start = snprintf(message, sizeof message, "%s: ", node->where);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message + start, sizeof message - (size_t)start, format, arguments);
  va_end(arguments);
  return ORT_CALL(CreateStatus)(ORT_INVALID_ARGUMENT, message);
}

void drop(OrtStatus *status) {
  if (status) ORT_CALL(ReleaseStatus)(status);
}

List list(const int64_t *values, size_t count) {
  List made = {"["};
  const size_t size = sizeof made.text;
  size_t at = 1;
  for (size_t k = 0; k < count && at + 24 < size; k++)
    at += (size_t)snprintf(made.text + at, size - at, "%s%lld", k ? ", " : "", (long long)values[k]);
  snprintf(made.text + at, size - at, "]");
  return made;
}

int64_t smallest(const int64_t *values, size_t count) {
  int64_t least = values[0];
  for (size_t k = 1; k < count; k++)
    if (values[k] < least) least = values[k];
  return least;
}

void *node_memory(Node *node, int64_t a, int64_t b, int64_t c, int64_t d, int64_t size) {
  int64_t bytes;
  if (__builtin_mul_overflow(a, b, &bytes) || __builtin_mul_overflow(bytes, c, &bytes) ||
      __builtin_mul_overflow(bytes, d, &bytes) || __builtin_mul_overflow(bytes, size, &bytes))
    return NULL;
  void *memory = aligned_memory((size_t)(bytes > 64 ? bytes : 64));
  if (memory) memset(node->owned[node->owned_count++] = memory, 0, (size_t)bytes);
  return memory;
}

OrtStatus *read_ints(const Node *node, const OrtKernelInfo *info, int attribute, Ints *ints) {
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

OrtStatus *read_int(const Node *node, const OrtKernelInfo *info, int attribute, int64_t *value) {
  OrtStatus *status = ORT_CALL(KernelInfoGetAttribute_int64)(info, ATTRIBUTE_NAMES[attribute], value);
  if (!status) return NULL;
  drop(status);
  return failure(node, "expected the attribute %s, an integer; found none", ATTRIBUTE_NAMES[attribute]);
}

/* Rank, dimensions and element type of a tensor; `capacity` bounds the rank. */
static OrtStatus *read_type(const Node *node, const char *name, const OrtValue *value, int64_t *dims, size_t capacity,
                            size_t *rank, int *type) {
  OrtTensorInfo *info;
  RETURN_IF_ERROR(ORT_CALL(GetTensorTypeAndShape)(value, &info));
  OrtStatus *status = ORT_CALL(GetDimensionsCount)(info, rank);
  if (!status && *rank > capacity)
    status = failure(node, "expected %s of rank at most %zu; found rank %zu", name, capacity, *rank);
  if (!status) status = ORT_CALL(GetDimensions)(info, dims, *rank);
  if (!status) status = ORT_CALL(GetTensorElementType)(info, type);
  ORT_CALL(ReleaseTensorTypeAndShapeInfo)(info);
  return status;
}

OrtStatus *read_constant(const Node *node, const OrtKernelInfo *info, const char *name, Constant *constant) {
  const OpTable *table = &OP_TABLES[node->op->kind];
  int input = 0;
  while (strcmp(table->input_names[input], name)) input++;
  const OrtValue *value = NULL;
  int is_constant = 0, type;
  RETURN_IF_ERROR(ORT_CALL(KernelInfoGetConstantInput_tensor)(info, (size_t)input, &is_constant, &value));
  if (!is_constant || !value)
    return failure(node, "expected %s as a constant initializer; found a computed or fed tensor", name);
  RETURN_IF_ERROR(read_type(node, name, value, constant->dims, 4, &constant->rank, &type));
  if (type != table->input_types[input])
    return failure(node, "expected %s of element type %d; found %d", name, table->input_types[input], type);
  void *data = NULL;
  RETURN_IF_ERROR(ORT_CALL(GetTensorMutableData)(value, &data));
  constant->data = data;
  return NULL;
}

OrtStatus *read_input(const Node *node, const OrtKernelContext *context, size_t index, int64_t *dims, size_t rank,
                      void **data) {
  const char *name = OP_TABLES[node->op->kind].input_names[index];
  const OrtValue *value = NULL;
  size_t found;
  int type; /* onnxruntime has checked that of inputs */
  RETURN_IF_ERROR(ORT_CALL(KernelContext_GetInput)(context, index, &value));
  if (!value) return failure(node, "expected the input %s; found none", name);
  RETURN_IF_ERROR(read_type(node, name, value, dims, rank, &found, &type));
  if (found != rank) return failure(node, "expected %s of rank %zu; found rank %zu", name, rank, found);
  return ORT_CALL(GetTensorMutableData)(value, data);
}

OrtStatus *make_output(OrtKernelContext *context, size_t index, const int64_t *dims, size_t rank, void **data) {
  OrtValue *value = NULL;
  *data = NULL;
  RETURN_IF_ERROR(ORT_CALL(KernelContext_GetOutput)(context, index, dims, rank, &value));
  return value ? ORT_CALL(GetTensorMutableData)(value, data) : NULL;
}

/* Refuses nodes newer than this library. */
static OrtStatus *check_version(const Node *node, const OrtKernelInfo *info) {
  int64_t version;
  RETURN_IF_ERROR(read_int(node, info, ATTRIBUTE_version, &version));
  if (version < 1 || version > LIBRARY_OPSET)
    return failure(node, "expected a node of version 1..%d; found %lld; this library is paconv %s, update it", LIBRARY_OPSET,
                   (long long)version, LIBRARY_VERSION);
  return NULL;
}

OrtStatus *create_node(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle) {
  (void)api;
  *handle = NULL;
  Node *node = calloc(1, sizeof *node);
  if (!node) return ORT_CALL(CreateStatus)(ORT_FAIL, "paconv: not enough memory for a node");
  node->op = (const Op *)op;
  char name[128] = "?", message[256];
  size_t size = sizeof name;
  drop(ORT_CALL(KernelInfo_GetNodeName)(info, name, &size)); /* a longer name stays "?": the message must not fail */
  snprintf(node->where, sizeof node->where, "%s.%s node '%s'", DOMAIN_NAME, OP_TABLES[node->op->kind].name, name);
  OrtStatus *status = check_version(node, info); /* first: the rest may mean something else */
  node->cpu = choose_cpu(message, sizeof message);
  if (!status && !node->cpu) status = failure(node, "%s", message);
  if (!status) status = node->op->fill(node, info);
  if (status)
    destroy_node(node);
  else
    *handle = node;
  return status;
}

void destroy_node(void *handle) {
  Node *node = handle;
  for (size_t k = 0; k < node->owned_count; k++) free_aligned(node->owned[k]);
  free(node);
}

static int64_t count_of(const Constant *constant) {
  int64_t count = 1;
  for (size_t k = 0; k < constant->rank; k++) count *= constant->dims[k];
  return count;
}

int64_t keep(Node *node, const Constant *constant, int64_t size) {
  const int64_t count = count_of(constant);
  void *copy = node_memory(node, count, 1, 1, 1, size);
  if (copy) memcpy(copy, constant->data, (size_t)(count * size));
  return (int64_t)(intptr_t)copy;
}

OrtStatus *read_finite(const Node *node, const OrtKernelInfo *info, const char *name, Constant *constant) {
  RETURN_IF_ERROR(read_constant(node, info, name, constant));
  const float *values = constant->data;
  for (int64_t k = 0; k < count_of(constant); k++)
    if (!isfinite(values[k]))
      return failure(node, "expected finite numbers in %s; found %g at %lld", name, values[k], (long long)k);
  return NULL;
}
