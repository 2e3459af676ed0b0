/* Memory for one call of a node, 64-byte aligned. The system takes large blocks back when they are freed and hands out
 * new pages to fault in, so the last one is kept for the next call of any node. */
#pragma once
#include <stddef.h>

/* NULL if it can't be had. What it holds is left over from other calls. */
void *take_scratch(size_t bytes);

void give_scratch(void *scratch);
