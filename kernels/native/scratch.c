#include "scratch.h"

#include "platform.h"

enum { HEADER = 64 };

static Lock kept_lock = LOCK_INITIALIZER;
static size_t *kept; /* a block, its size in its header; NULL while it is in use */

static size_t *exchange_kept(size_t *block) {
  lock(&kept_lock);
  size_t *before = kept;
  kept = block;
  unlock(&kept_lock);
  return before;
}

void *take_scratch(size_t bytes) {
  size_t *block = exchange_kept(NULL);
  if (block && *block < bytes) free_aligned(block), block = NULL;
  if (!block) {
    block = aligned_memory(bytes + HEADER);
    if (!block) return NULL;
    *block = bytes;
  }
  return (char *)block + HEADER;
}

void give_scratch(void *scratch) {
  size_t *block = (size_t *)(void *)((char *)scratch - HEADER);
  block = exchange_kept(block);
  if (block) free_aligned(block);
}
