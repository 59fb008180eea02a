/* ring_writer.h - the writer's own memory, shared between the files that make it. */
#ifndef EDGE_RING_WRITER_H
#define EDGE_RING_WRITER_H

#include "ring_layout.h"

struct bell_segment;

/* What the writer knows of a reader's bell: the serial it has acted on, and the mapping. */
struct writer_bell {
    uint32_t serial;
    uint32_t tag;
    struct bell_segment *segment;
};

struct edge_ring_writer {
    struct shm_guard guard;
    struct ring_mapping at;
    uint32_t mode;
    uint32_t epoch;
    uint64_t head;
    uint32_t head_slot; /* EDGE_RING_SLOTS_MAX: the newest frame is in no slot of ours */
    uint64_t begun;     /* a bit a slot */
    uint64_t begun_bytes[EDGE_RING_SLOTS_MAX];
    uint64_t in_slot[EDGE_RING_SLOTS_MAX]; /* sequence of the frame in each slot; 0 none */
    edge_ns reaped;
    struct writer_bell bell[EDGE_RING_READERS_MAX];
    char path[SHM_PATH_MAX];
    char next_path[SHM_PATH_MAX];
};

/* Moves the writer to a new segment of this shape, which goes on after writer->head. The name is
 * given to it if it is free (else -EEXIST), or taken from the segment writer->at, whose readers are
 * told, if that is open. On error all is as it was. */
int writer_make_segment(edge_ring_writer *writer, const struct ring_header *header);

/* Finds or makes the segment of the writer's name. */
int writer_find_segment(edge_ring_writer *writer, const struct ring_header *header);

/* Tells who sleeps, and every bell, that there is something to see. */
void writer_wake(edge_ring_writer *writer);
void writer_drop_bells(edge_ring_writer *writer);

#endif
