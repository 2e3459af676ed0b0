/* What differs between operating systems: aligned memory, a lock, exported names, files that others can't have put there,
 * the CPU's features on aarch64. */
#pragma once
#include <stddef.h>
#include <stdio.h>
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
static inline FILE *open_own(const char *path) { return fopen(path, "r"); }

#else

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* glibc has a symbol fstat from 2.33 on, and the library asks for 2.28; the kernel fills the same structure (64 bits). */
#ifdef __linux__
#include <sys/syscall.h>
long syscall(long number, ...);
#define fstat(descriptor, about) syscall(SYS_fstat, descriptor, about)
#endif

/* A file to read that is this user's or root's; NULL for another's, a link, a pipe (which would be waited for), a device. */
static inline FILE *open_own(const char *path) {
  struct stat about;
  const int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return NULL;
  const int own = !fstat(descriptor, &about) && S_ISREG(about.st_mode) && (about.st_uid == geteuid() || !about.st_uid);
  FILE *file = own ? fdopen(descriptor, "r") : NULL;
  if (!file) close(descriptor);
  return file;
}

#endif

/* A test of paconv_cpus.h: whether Linux reports a feature of an aarch64 CPU. Other systems run on CPUs that have it. */
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HAS_ARM(feature) ((getauxval(AT_HWCAP) & HWCAP_##feature) != 0)
#else
#define HAS_ARM(feature) 1
#endif

/* A test of paconv_cpus.h: whether the CPU has AMX-INT8 and the operating system lets this process use it. */
#if defined(__x86_64__)
#include <cpuid.h>
static inline int amx_int8_permitted(void) {
  enum { TILE_DATA = 18, ARCH_REQ_XCOMP_PERM = 0x1023, OSXSAVE = 1 << 27, TILE = 1 << 24, INT8 = 1 << 25 };
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & TILE) || !(d & INT8)) return 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (~low & (3u << (TILE_DATA - 1))) return 0;
#ifdef __linux__
  if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA)) return 0;
#endif
  return 1;
}
#endif

/* The CPU's own name, for telling machines apart; "cpu" where it can't be asked. */
#if defined(__x86_64__)
#include <string.h>
static inline void cpu_name(char *name, size_t size) {
  unsigned brand[13] = {0};
  for (unsigned k = 0; k < 3; k++)
    __get_cpuid(0x80000002u + k, &brand[4 * k], &brand[4 * k + 1], &brand[4 * k + 2], &brand[4 * k + 3]);
  unsigned family = 0, b, c, d;
  __get_cpuid(1, &family, &b, &c, &d);
  snprintf(name, size, "%s %x", (const char *)brand, family >> 4);
}
#else
static inline void cpu_name(char *name, size_t size) { snprintf(name, size, "cpu"); }
#endif
