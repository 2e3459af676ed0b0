/* Tasks on threads of their own, where onnxruntime lends none: while a session is created. */
#pragma once
#include <stddef.h>

#include "cpus.h"

/* Runs task(arguments, 0), ..., task(arguments, count - 1), on as many threads as CPUs that the process may use. */
void parallel_for(Task task, void *arguments, size_t count);
