/* What differs between operating systems: aligned memory, a lock, exported names, the CPU's features on aarch64. */
#pragma once
#include <stddef.h>
#include <stdlib.h>

#ifdef _WIN32

#include <malloc.h>
#include <windows.h>

#define EXPORT __declspec(dllexport)
typedef SRWLOCK Lock;
#define LOCK_INITIALIZER SRWLOCK_INIT
static inline void lock(Lock *l) { AcquireSRWLockExclusive(l); }
static inline void unlock(Lock *l) { ReleaseSRWLockExclusive(l); }
static inline void *aligned_memory(size_t bytes) { return _aligned_malloc(bytes, 64); }
static inline void free_aligned(void *memory) { _aligned_free(memory); }

#else

#include <pthread.h>

#define EXPORT __attribute__((visibility("default")))
typedef pthread_mutex_t Lock;
#define LOCK_INITIALIZER PTHREAD_MUTEX_INITIALIZER
static inline void lock(Lock *l) { pthread_mutex_lock(l); }
static inline void unlock(Lock *l) { pthread_mutex_unlock(l); }
static inline void *aligned_memory(size_t bytes) {
  void *memory;
  return posix_memalign(&memory, 64, bytes) ? NULL : memory;
}
static inline void free_aligned(void *memory) { free(memory); }

#endif

/* A test of paconv_levels.h: whether Linux reports a feature of an aarch64 CPU. Other systems run on CPUs that have it. */
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HAS_ARM(feature) ((getauxval(AT_HWCAP) & HWCAP_##feature) != 0)
#else
#define HAS_ARM(feature) 1
#endif
