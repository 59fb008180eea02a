/* ring_layout.h - what a ring's segment looks like, the same on every machine.
 *
 *     0       header     written once; readers copy it and check the copy
 *     4096    control    what readers write: their places, and who sleeps
 *     12288   state      what the writer writes: head, trail, slot descriptors
 *     ...     frames     slots x slot_stride
 *
 * Readers map all of it read-only and `control` a second time, writable. tests/layout.golden holds
 * the offsets; a change of layout raises RING_MAJOR, an addition in reserved bytes RING_MINOR.
 */
#ifndef EDGE_RING_LAYOUT_H
#define EDGE_RING_LAYOUT_H

#include "atomics.h"
#include "shm.h"
#include <edgesdk/results.h>
#include <edgesdk/ring.h>

#include <stdalign.h>

#define RING_MAGIC UINT64_C(0x474e495245474445) /* "EDGERING" in memory */
#define RING_MAJOR 1
#define RING_MINOR 0
#define RING_KIND_FRAMES 1
#define RING_KIND_RESULTS 2
#define RING_PAGE UINT64_C(4096)
#define RING_CONTROL_OFFSET UINT64_C(4096)
#define RING_CONTROL_BYTES UINT64_C(8192)
#define RING_STATE_OFFSET UINT64_C(12288)
#define RING_TRAIL 64
#define RING_SEQUENCE_MAX (UINT64_C(1) << 57)

/* Locks: byte 0 the writer, byte 1 + i the reader in place i. */
#define RING_WRITER_LOCK 0
#define RING_PLACE_LOCK(place) (1 + (place))

struct ring_header {
    edge_long magic; /* last written, first read */
    uint32_t major;
    uint32_t minor;
    uint32_t header_bytes;
    uint32_t kind;
    uint64_t segment_bytes;
    uint32_t slots;
    uint32_t places;
    uint32_t max_holds;
    uint32_t max_begun;
    uint64_t slot_bytes;
    uint64_t slot_stride;
    uint64_t control_offset;
    uint64_t state_offset;
    uint64_t frames_offset;
    uint64_t reserved[5];
};

/* One reader. `holds` has a bit for each slot; it says that the process holds the slot, how many
 * views do is counted in the process. The bell fields are for the writer, which looks at them when
 * `bell_serial` changes; odd means that there is a bell. */
struct ring_place {
    alignas(64) edge_long holds;
    edge_long seen;
    edge_word bell_serial;
    edge_word bell_tag;
    edge_long reserved[5];
    char bell_name[SHM_NAME_MAX + 1];
};

struct ring_control {
    edge_word places;   /* bit i: place i is taken */
    edge_word sleepers; /* bit i: the reader in place i sleeps on state.word */
    edge_word paced;    /* 1: a writer waits for readers now and then, so they bump `taken` */
    edge_word taken;    /* futex word of that writer */
    edge_word waiting;  /* 1: it sleeps on it */
    uint32_t reserved[11];
    struct ring_place place[EDGE_RING_READERS_MAX];
};

struct ring_slot {
    alignas(64) edge_long generation; /* sequence of the frame in it; 0 while it is written */
    uint64_t bytes;
    uint64_t capture_mono_ns;
    uint64_t capture_utc_ns;
    uint32_t width;
    uint32_t height;
    uint32_t stride;
    uint32_t format;
    uint32_t colour_space;
    uint32_t colour_range;
    uint32_t frame_rate_mhz;
    int32_t qp;
    uint32_t epoch;
    uint32_t reserved[15];
};

#define RING_ENDED 1U
#define RING_STALE 2U

struct ring_state {
    alignas(64) edge_long head; /* sequence of the newest frame */
    edge_word word;             /* futex word of the readers; changes with every commit */
    edge_word flags;
    edge_word epoch;
    uint32_t reserved[11];
    /* Where frame s went: trail[s % 64] = s << 6 | slot. */
    edge_long trail[RING_TRAIL];
    struct ring_slot slot[];
};

_Static_assert(sizeof(struct ring_header) == 128, "layout");
_Static_assert(offsetof(struct ring_header, segment_bytes) == 24, "layout");
_Static_assert(offsetof(struct ring_header, slot_bytes) == 48, "layout");
_Static_assert(offsetof(struct ring_header, frames_offset) == 80, "layout");
_Static_assert(sizeof(struct ring_place) == 128, "layout");
_Static_assert(offsetof(struct ring_place, bell_name) == 64, "layout");
_Static_assert(offsetof(struct ring_control, place) == 64, "layout");
_Static_assert(sizeof(struct ring_control) <= RING_CONTROL_BYTES, "layout");
_Static_assert(sizeof(struct ring_slot) == 128, "layout");
_Static_assert(offsetof(struct ring_slot, width) == 32, "layout");
_Static_assert(offsetof(struct ring_slot, epoch) == 64, "layout");
_Static_assert(offsetof(struct ring_state, trail) == 64, "layout");
_Static_assert(offsetof(struct ring_state, slot) == 576, "layout");

/* Fills `header` (all but the magic) for a ring of this shape. -EINVAL, or -ENOMEM if it is too
 * large for the machine. */
int ring_header_make(struct ring_header *header, uint32_t kind, const edge_ring_config *config);

/* Whether a header, copied from a file of `file_bytes`, can be trusted: 0 or -EDGE_E_*. Reads
 * nothing but the copy, so that nobody can change it after the check. `kind` 0 is any. */
int ring_header_check(const struct ring_header *copy, uint64_t file_bytes, uint32_t kind);

/* Reads and checks the header of `fd`. */
int ring_header_read(int fd, uint64_t file_bytes, uint32_t kind, struct ring_header *copy);

/* A segment as a process sees it. Writers map it once, writable; readers read-only, and `control`
 * writable beside it. */
struct ring_mapping {
    int fd;
    struct ring_header header; /* our copy: sizes are never read from shared memory again */
    unsigned char *base;       /* NULL: not mapped */
    unsigned char *control_base;
    size_t control_bytes;
    struct ring_control *control;
    struct ring_state *state;
};

/* Maps `fd`, whose header was checked, and keeps both in *mapping. -errno; `fd` is still open. */
int ring_map(struct ring_mapping *mapping, int fd, const struct ring_header *header, int writable);

/* Unmaps and closes what there is. */
void ring_unmap(struct ring_mapping *mapping);

/* Gives up the places of readers that died; `fd` must not be a reader's that lives in one of them.
 * Returns how many. */
int ring_reap(struct ring_control *control, int fd, uint32_t but_place);

/* Slots that any reader holds. */
uint64_t ring_holds(struct ring_control *control);

/* The same, and *seen gets the sequence that all readers have passed; UINT64_MAX with none. */
uint64_t ring_holds_and_seen(struct ring_control *control, uint64_t *seen);

/* Ends the hold, sleep and bell of a place whose lock the caller has. */
void ring_place_clear(struct ring_control *control, uint32_t place);

int ring_writer_open(edge_ring_writer **out, const char *name, uint32_t kind,
                     const edge_ring_config *config);
int ring_reader_open(edge_ring_reader **out, const char *name, uint32_t kind, uint32_t flags,
                     edge_bell *bell, uint32_t tag);

/* A reader over a mapping, which is its own from then on; on error still the caller's. */
int ring_reader_attach(edge_ring_reader **out, const struct ring_mapping *mapping, edge_bell *bell,
                       uint32_t tag);

/* Copies a record of `bytes` out of a slot and checks the copy; what is left at 0 is not there.
 * -EBADMSG. */
int result_unpack(edge_result *result, const void *data, uint64_t bytes);

#endif
