/* A node of a session: what is the same in every call. And how its attributes and constant inputs are read. */
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "cpus.h"
#include "ort.h"
#include "paconv_tables.h"

typedef struct {
  OrtCustomOp ort; /* first: onnxruntime hands this back */
  int kind;        /* OP_PABitConv, ...: its row of OP_TABLES */
  int choice;      /* the kernel that its session asked for when the library was registered, or AUTOMATIC */
} Op;

typedef struct {
  const Op *op;
  const Cpu *cpu;
  int choice; /* the kernel asked for, or AUTOMATIC */
  int kind;   /* KIND_planes, or how level codes are multiplied */
  int64_t fields[F_COUNT]; /* what is the same in every call */
  void *owned[16];
  size_t owned_count;
  char where[192]; /* "paconv.PABitConv node 'layer1.0.conv1'" */
} Node;

/* A status that says where, and what was expected and found. */
OrtStatus *failure(const Node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define RETURN_IF_ERROR(call)         \
  do {                                \
    OrtStatus *status_ = (call);      \
    if (status_) return status_;      \
  } while (0)

void drop(OrtStatus *status);

/* "[1, 2, 3]" */
const char *list(char *text, size_t size, const int64_t *values, size_t count);

int64_t smallest(const int64_t *values, size_t count);

/* 64-byte aligned zeroed memory of a*b*c*d*size bytes, owned by the node; NULL if it can't be had. */
void *node_memory(Node *node, int64_t a, int64_t b, int64_t c, int64_t d, int64_t size);

void destroy(void *node);

typedef struct {
  int64_t values[MAX_ENDPOINTS + 1];
  size_t count;
} Ints;

typedef struct {
  const void *data;
  int64_t dims[4];
  size_t rank;
} Constant;

OrtStatus *read_ints(const Node *node, const OrtKernelInfo *info, int attribute, Ints *ints);
OrtStatus *read_int(const Node *node, const OrtKernelInfo *info, int attribute, int64_t *value);

/* Rank and dimensions of a tensor's type; `capacity` bounds the rank. */
OrtStatus *read_dims(const Node *node, const char *name, const OrtValue *value, int64_t *dims, size_t capacity,
                     size_t *rank);

/* The constant input `name`, of the type that the op's table says. */
OrtStatus *read_constant(const Node *node, const OrtKernelInfo *info, const char *name, Constant *constant);

/* The data and dimensions of input `index` of a call, which must be of this rank. */
OrtStatus *read_input(const Node *node, const OrtKernelContext *context, size_t index, int64_t *dims, size_t rank,
                      void **data);

/* Output `index` of a call; *data is NULL where no one reads it. */
OrtStatus *make_output(OrtKernelContext *context, size_t index, const int64_t *dims, size_t rank, void **data);

/* A node of `op` with its name, filled in by `fill`; *handle stays NULL where that fails. */
OrtStatus *make_node(const OrtCustomOp *op, const OrtKernelInfo *info,
                     OrtStatus *(*fill)(Node *node, const OrtKernelInfo *info), void **handle);

/* The attribute `version`; refuses nodes newer than this library. */
OrtStatus *check_version(const Node *node, const OrtKernelInfo *info);

/* The CPU whose kernels the node runs. */
OrtStatus *take_cpu(Node *node);

/* A copy of a constant input, owned by the node. Returns its address as a field, 0 if memory is short. */
int64_t keep(Node *node, const Constant *constant, int64_t size);

OrtStatus *check_masks(const Node *node, const char *name, const Ints *masks, int64_t planes);
OrtStatus *check_endpoints(const Node *node, const char *name, const float *v, int64_t rows, int64_t E);

/* Checks that all numbers of a constant of floats are finite. */
OrtStatus *check_finite(const Node *node, const char *name, const Constant *constant);
