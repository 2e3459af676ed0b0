/* A node of a session: what is the same in every call. And how its attributes and constant inputs are read. */
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "cpus.h"
#include "ort.h"
#include "paconv_tables.h"

typedef struct Node Node;

typedef struct {
  OrtCustomOp ort; /* first: onnxruntime hands this back */
  OrtStatus *(*fill)(Node *node, const OrtKernelInfo *info); /* reads, checks and prepares what is the same in every call */
  int kind;        /* OP_PABitConv, ...: its row of OP_TABLES */
  int choice;      /* the kernel that its session asked for when the library was registered, or AUTOMATIC */
} Op;

struct Node {
  const Op *op;
  const Cpu *cpu;
  int choice; /* the kernel asked for, or AUTOMATIC */
  int kind;   /* KIND_planes, or how level codes are multiplied */
  int64_t fields[F_COUNT]; /* what is the same in every call */
  void *owned[16];
  size_t owned_count;
  char where[192]; /* "paconv.PABitConv node 'layer1.0.conv1'" */
};

/* A status that says where, and what was expected and found. */
OrtStatus *failure(const Node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define RETURN_IF_ERROR(call)         \
  do {                                \
    OrtStatus *status_ = (call);      \
    if (status_) return status_;      \
  } while (0)

void drop(OrtStatus *status);

/* "[1, 2, 3]" */
typedef struct {
  char text[160];
} List;
List list(const int64_t *values, size_t count);

int64_t smallest(const int64_t *values, size_t count);

/* 64-byte aligned zeroed memory of a*b*c*d*size bytes, owned by the node; NULL if it can't be had. */
void *node_memory(Node *node, int64_t a, int64_t b, int64_t c, int64_t d, int64_t size);

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

/* The constant input `name`, of the type that the op's table says. */
OrtStatus *read_constant(const Node *node, const OrtKernelInfo *info, const char *name, Constant *constant);

/* The same of floats, all of which must be finite. */
OrtStatus *read_finite(const Node *node, const OrtKernelInfo *info, const char *name, Constant *constant);

/* The data and dimensions of input `index` of a call, which must be of this rank. */
OrtStatus *read_input(const Node *node, const OrtKernelContext *context, size_t index, int64_t *dims, size_t rank,
                      void **data);

/* Output `index` of a call; *data is NULL where no one reads it. */
OrtStatus *make_output(OrtKernelContext *context, size_t index, const int64_t *dims, size_t rank, void **data);

/* Of every op: a node with its name and CPU, filled in by the op; *handle stays NULL where that fails. */
OrtStatus *create_node(const OrtCustomOp *op, const OrtFunction *api, const OrtKernelInfo *info, void **handle);
void destroy_node(void *node);

/* A copy of a constant input, owned by the node. Returns its address as a field, 0 if memory is short. */
int64_t keep(Node *node, const Constant *constant, int64_t size);
