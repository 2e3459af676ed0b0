#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>
#endif
#include "parallel.h"

#include "platform.h"

typedef struct {
  Task task;
  void *arguments;
  size_t count, next; /* next is taken by all threads */
} Work;

enum { MOST_THREADS = 64 };

static void work_on(Work *work) {
  for (size_t k; (k = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED)) < work->count;)
    work->task(work->arguments, k);
}

#ifdef _WIN32

typedef HANDLE Thread;
static DWORD WINAPI thread_main(void *work) { return work_on(work), 0; }
static int start(Thread *thread, Work *work) { return (*thread = CreateThread(NULL, 0, thread_main, work, 0, NULL)) != NULL; }
static void join(Thread thread) { WaitForSingleObject(thread, INFINITE), CloseHandle(thread); }
static size_t cpus(void) {
  DWORD_PTR mine = 0, all = 0;
  return GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) ? (size_t)__builtin_popcountll(mine) : 1;
}

#else

#include <unistd.h>

/* glibc 2.34 gave these a new version when it took libpthread in; with the old one the library loads on older systems */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.17");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.17");
#endif

typedef pthread_t Thread;
static void *thread_main(void *work) { return work_on(work), NULL; }
static int start(Thread *thread, Work *work) { return !pthread_create(thread, NULL, thread_main, work); }
static void join(Thread thread) { pthread_join(thread, NULL); }
static size_t cpus(void) {
#ifdef __linux__
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set)) return (size_t)CPU_COUNT(&set);
#endif
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (size_t)online : 1;
}

#endif

void parallel_for(Task task, void *arguments, size_t count) {
  Work work = {task, arguments, count, 0};
  Thread threads[MOST_THREADS];
  size_t wanted = count > 1 ? cpus() : 1, started = 0;
  if (wanted > count) wanted = count;
  if (wanted > MOST_THREADS) wanted = MOST_THREADS;
  while (started + 1 < wanted && start(&threads[started], &work)) started++; /* fewer threads do as well */
  work_on(&work);
  for (size_t k = 0; k < started; k++) join(threads[k]);
}
