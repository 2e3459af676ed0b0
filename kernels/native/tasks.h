/* Kernels on onnxruntime's thread pool. */
#pragma once
#include "cpus.h"
#include "ort.h"

/* Runs tasks 0..total-1, on onnxruntime's threads if there is more than one. */
static inline OrtStatus *run_tasks(const OrtKernelContext *context, Task task, int64_t total, int64_t *fields) {
  if (total > 1) return ORT_CALL(KernelContext_ParallelFor)(context, task, (size_t)total, 0, fields);
  if (total == 1) task(fields, 0);
  return NULL;
}
