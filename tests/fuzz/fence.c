/* posix_memalign whose blocks end at a page that may not be touched, for LD_PRELOAD: a read or write past a block, but
 * for the bytes that align its end, is a SIGSEGV, and so is one after it was freed. Those bytes are marked; a changed
 * mark ends the process when the block is freed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, MARK = 0xA5 };

/* Addresses that are used once each, none of them memory until they are. */
static const size_t ARENA = (size_t)1 << 44;
static _Atomic(char *) arena;
static _Atomic size_t used;

/* At the start of the page in front of a block's first one. */
typedef struct {
  size_t pages, size, room; /* bytes of the block's pages, that were asked for, and from the block to the fence */
} Header;

static char *arena_start(void) {
  char *start = atomic_load(&arena);
  if (start) return start;
  char *fresh = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fresh == MAP_FAILED) abort();
  return atomic_compare_exchange_strong(&arena, &start, fresh) ? fresh : start;
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment > PAGE || alignment < sizeof(void *) || size > (size_t)1 << 40) return ENOMEM;
  const size_t room = size ? (size + alignment - 1) / alignment * alignment : alignment;
  const size_t pages = (room + PAGE - 1) / PAGE * PAGE, at = atomic_fetch_add(&used, pages + 2 * PAGE);
  if (at + pages + 2 * PAGE > ARENA) return ENOMEM;
  char *base = arena_start() + at, *block = base + PAGE + pages - room;
  if (mprotect(base, PAGE + pages, PROT_READ | PROT_WRITE)) return ENOMEM;
  *(Header *)base = (Header){pages, size, room};
  memset(block + size, MARK, room - size);
  *result = block;
  return 0;
}

static void free_fenced(char *block) {
  char *base = (char *)((uintptr_t)block & ~(uintptr_t)(PAGE - 1)) - PAGE;
  const Header header = *(Header *)base;
  for (size_t k = header.size; k < header.room; k++)
    if (block[k] != (char)MARK) abort();
  madvise(base, PAGE + header.pages, MADV_DONTNEED);
  if (mprotect(base, PAGE + header.pages, PROT_NONE)) abort();
}

void free(void *memory) {
  static void (*of_malloc)(void *);
  const char *start = atomic_load(&arena);
  if (start && (char *)memory >= start && (char *)memory < start + ARENA) {
    free_fenced(memory);
    return;
  }
  if (!of_malloc) of_malloc = (void (*)(void *))dlsym(RTLD_NEXT, "free");
  of_malloc(memory);
}
