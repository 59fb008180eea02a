/* bell_segment.h - a bell as those see it who ring it. */
#ifndef EDGE_BELL_SEGMENT_H
#define EDGE_BELL_SEGMENT_H

#include "atomics.h"
#include <edgesdk/bell.h>

#include <stdalign.h>

#define BELL_MAGIC UINT64_C(0x4c4c454245474445) /* "EDGEBELL" in memory */
#define BELL_MAJOR 1
#define BELL_BYTES UINT64_C(4096)
#define BELL_LOCK 0
#define BELL_WORDS (EDGE_BELL_TAGS / 64)

struct bell_segment {
    edge_long magic;
    uint32_t major;
    uint32_t minor;
    alignas(64) edge_word word; /* futex word */
    edge_word sleeping;
    alignas(64) edge_long summary; /* bit i: pending[i] may have bits */
    alignas(64) edge_long pending[BELL_WORDS];
};

_Static_assert(BELL_WORDS == 64, "the summary is one word");
_Static_assert(offsetof(struct bell_segment, word) == 64, "layout");
_Static_assert(offsetof(struct bell_segment, summary) == 128, "layout");
_Static_assert(offsetof(struct bell_segment, pending) == 192, "layout");
_Static_assert(sizeof(struct bell_segment) <= BELL_BYTES, "layout");

int bell_header_check(const struct bell_segment *copy, uint64_t file_bytes);

/* Maps the bell of that name to ring it; NULL if it cannot be had or trusted. */
struct bell_segment *bell_map(const char *name);
void bell_unmap(struct bell_segment *segment);
void bell_ring(struct bell_segment *segment, uint32_t tag);
const char *bell_name(const edge_bell *bell);

/* Takes up to `n` tags that rang. */
uint32_t bell_collect(struct bell_segment *segment, uint32_t *tags, uint32_t n);

#endif
