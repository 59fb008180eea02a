/* futex.h - sleep on a word in shared memory, and wake who sleeps. */
#ifndef EDGE_FUTEX_H
#define EDGE_FUTEX_H

#include "atomics.h"
#include <edgesdk/edgesdk.h>

/* Sleeps while *word == expected, at most `timeout` (UINT64_MAX: for ever). May return early;
 * returns 1 if a signal was the reason. */
int futex_sleep(const edge_word *word, uint32_t expected, edge_ns timeout);
void futex_wake_all(edge_word *word);

edge_ns clock_now(void);

/* Of a few milliseconds' resolution, for a quarter of the price; cheap enough for every begin(). */
edge_ns clock_coarse(void);

#endif
