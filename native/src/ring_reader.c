#include "bell_segment.h"
#include "futex.h"
#include "ring_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REAP_PERIOD UINT64_C(100000000)

struct edge_ring_reader {
    struct shm_guard guard;
    struct ring_mapping at;
    uint32_t place;
    uint64_t seen;
    uint64_t overruns;
    edge_ns reaped;
    edge_word refs[EDGE_RING_SLOTS_MAX]; /* views of each slot in this process */
    edge_long held[EDGE_RING_SLOTS_MAX]; /* sequence of the frame they view */
};

int edge_ring_open(edge_ring_reader **out, const char *name, uint32_t flags, edge_bell *bell,
                   uint32_t tag)
{
    return ring_reader_open(out, name, RING_KIND_FRAMES, flags, bell, tag);
}

/* Readers come and go; a place whose lock a reaper has just now is free in a moment. */
static int take_place(edge_ring_reader *reader)
{
    for (int round = 0; round < 5; round++) {
        for (uint32_t place = 0; place < EDGE_RING_READERS_MAX; place++) {
            int error = shm_lock(reader->at.fd, RING_PLACE_LOCK(place));
            if (error == 0) {
                reader->place = place;
                return 0;
            }
            if (error != -EAGAIN) {
                return error;
            }
        }
        struct timespec moment = {.tv_nsec = 1000000};
        nanosleep(&moment, NULL);
    }
    return -EDGE_E_READERS;
}

/* The sequence before the oldest frame from which on all are still there. */
static uint64_t before_oldest(const edge_ring_reader *reader)
{
    const struct ring_state *state = reader->at.state;
    uint64_t sequence = order_head_read(&state->head);
    for (uint32_t i = 0; i < reader->at.header.slots && sequence > 0; i++, sequence--) {
        uint64_t entry = plain_long(&state->trail[sequence % RING_TRAIL]);
        uint32_t slot = entry & 63;
        if (entry >> 6 != sequence || slot >= reader->at.header.slots ||
            order_generation_check(&state->slot[slot].generation) != sequence) {
            break;
        }
    }
    return sequence;
}

static void join(edge_ring_reader *reader, const edge_bell *bell, uint32_t tag)
{
    struct ring_control *control = reader->at.control;
    struct ring_place *place = &control->place[reader->place];
    ring_place_clear(control, reader->place); /* what a reader that died left */
    reader->seen = before_oldest(reader);
    order_seen_publish(&place->seen, reader->seen);
    uint32_t serial = plain_word(&place->bell_serial); /* even, by ring_place_clear() */
    if (bell != NULL) {
        memcpy(place->bell_name, bell_name(bell), sizeof place->bell_name);
        plain_set_word(&place->bell_tag, tag);
        order_bell_publish(&place->bell_serial, serial + 1);
    }
    order_place_join(&control->places, UINT32_C(1) << reader->place);
}

int ring_reader_attach(edge_ring_reader **out, const struct ring_mapping *mapping, edge_bell *bell,
                       uint32_t tag)
{
    edge_ring_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return -ENOMEM;
    }
    reader->at = *mapping;
    int error = shm_guard_open(&reader->guard);
    error = error != 0 ? error : take_place(reader);
    if (error != 0) {
        shm_guard_close(&reader->guard);
        free(reader);
        return error;
    }
    join(reader, bell, tag);
    *out = reader;
    return 0;
}

int ring_reader_open(edge_ring_reader **out, const char *name, uint32_t kind, uint32_t flags,
                     edge_bell *bell, uint32_t tag)
{
    char path[SHM_PATH_MAX];
    if (out == NULL || name == NULL || (flags & ~(uint32_t)EDGE_RING_ANY_USER) != 0 ||
        (bell != NULL && tag >= EDGE_BELL_TAGS)) {
        return -EINVAL;
    }
    int error = shm_path(path, "ring", name);
    if (error != 0) {
        return error;
    }
    uint64_t bytes;
    int fd = shm_open_named(path, (flags & EDGE_RING_ANY_USER) != 0, &bytes);
    if (fd < 0) {
        return fd;
    }
    struct ring_header header;
    struct ring_mapping mapping = {.fd = fd};
    error = ring_header_read(fd, bytes, kind, &header);
    error = error != 0 ? error : ring_map(&mapping, fd, &header, 0);
    if (error == 0 && (order_flags_read(&mapping.state->flags) & RING_STALE) != 0) {
        /* The name is about to lead elsewhere. */
        error = -ENOENT;
    }
    if (error == 0 && order_head_read(&mapping.state->head) >= RING_SEQUENCE_MAX) {
        error = -EDGE_E_HEADER;
    }
    error = error != 0 ? error : ring_reader_attach(out, &mapping, bell, tag);
    if (error != 0) {
        ring_unmap(&mapping);
    }
    return error;
}

/* Whether the readers together leave the writer a slot besides the newest and those it has begun:
 * by this the writer never waits. Two readers that try at once may both give way, never both stay.
 */
static int leaves_room(edge_ring_reader *reader, uint64_t bit)
{
    const struct ring_header *header = &reader->at.header;
    uint64_t all = ring_holds(reader->at.control) | bit;
    if (all == bit) {
        return 1; /* nearly always, and counting bits costs more than the rest */
    }
    uint64_t own = plain_long(&reader->at.control->place[reader->place].holds) | bit;
    return (uint32_t)__builtin_popcountll(own) <= header->max_holds &&
           (uint32_t)__builtin_popcountll(all) <= header->slots - 1 - header->max_begun;
}

static int room(edge_ring_reader *reader, uint64_t bit)
{
    if (leaves_room(reader, bit)) {
        return 1;
    }
    edge_ns now = clock_coarse();
    if (now - reader->reaped < REAP_PERIOD) {
        return 0;
    }
    reader->reaped = now;
    return ring_reap(reader->at.control, reader->at.fd, reader->place) > 0 &&
           leaves_room(reader, bit);
}

/* 1: frame `sequence` is held and described in *frame. 0: it was overwritten. Or -errno. */
static int hold(edge_ring_reader *reader, uint64_t sequence, edge_frame *frame)
{
    const struct ring_header *header = &reader->at.header;
    const struct ring_state *state = reader->at.state;
    uint64_t entry = plain_long(&state->trail[sequence % RING_TRAIL]);
    uint32_t slot = entry & 63;
    if (entry >> 6 != sequence) {
        return 0;
    }
    if (slot >= header->slots) {
        return -EBADMSG;
    }
    edge_long *holds = &reader->at.control->place[reader->place].holds;
    const struct ring_slot *found = &state->slot[slot];
    uint64_t bit = UINT64_C(1) << slot;
    if (plain_word(&reader->refs[slot]) != 0) {
        /* The writer moved a frame under our hold: not a writer of ours. */
        return -EBADMSG;
    }
    /* Asked before, so that a reader with no room does not even for a moment take the writer's
     * slot; and after, since others ask at the same time. */
    if (!room(reader, bit)) {
        return -EDGE_E_HOLDS;
    }
    order_hold_set(holds, bit);
    if (order_generation_check(&found->generation) != sequence) {
        order_hold_clear(holds, bit);
        return 0;
    }
    if (!leaves_room(reader, bit)) {
        order_hold_clear(holds, bit);
        return -EDGE_E_HOLDS;
    }
    *frame = (edge_frame){
        .data = reader->at.base + header->frames_offset + slot * header->slot_stride,
        .bytes = found->bytes,
        .capture_mono_ns = found->capture_mono_ns,
        .capture_utc_ns = found->capture_utc_ns,
        .width = found->width,
        .height = found->height,
        .stride = found->stride,
        .format = found->format,
        .colour_space = found->colour_space,
        .colour_range = found->colour_range,
        .frame_rate_mhz = found->frame_rate_mhz,
        .qp = found->qp,
        .sequence = sequence,
        .epoch = found->epoch,
        .slot = slot,
    };
    if (frame->bytes > header->slot_bytes) {
        order_hold_clear(holds, bit);
        return -EBADMSG;
    }
    plain_set_long(&reader->held[slot], sequence);
    atomic_store_explicit(&reader->refs[slot], 1, memory_order_release);
    return 1;
}

/* What take() and wait() say when there is no unseen frame. */
static int nothing_left(const edge_ring_reader *reader)
{
    uint32_t flags = order_flags_read(&reader->at.state->flags);
    if (flags == 0 || order_head_read(&reader->at.state->head) > reader->seen) {
        return 0;
    }
    return flags & RING_ENDED ? -EDGE_E_ENDED : -ESTALE;
}

static int usable(const edge_ring_reader *reader)
{
    if (reader == NULL) {
        return -EINVAL;
    }
    return shm_guard_forked(&reader->guard) ? -EDGE_E_FORKED : 0;
}

static void publish_seen(edge_ring_reader *reader)
{
    struct ring_control *control = reader->at.control;
    order_seen_publish(&control->place[reader->place].seen, reader->seen);
    if (plain_word(&control->paced)) {
        order_wake_bump(&control->taken);
        if (order_sleepers_read(&control->waiting) != 0) {
            futex_wake_all(&control->taken);
        }
    }
}

int edge_ring_take(edge_ring_reader *reader, enum edge_take mode, edge_frame *frames, uint32_t n)
{
    int error = usable(reader);
    if (error != 0 || frames == NULL || n == 0) {
        return error != 0 ? error : -EINVAL;
    }
    uint64_t head = order_head_read(&reader->at.state->head);
    if (head <= reader->seen) {
        return nothing_left(reader);
    }
    if (head >= RING_SEQUENCE_MAX) {
        return -EBADMSG; /* counting up to it need never end */
    }
    if (mode == EDGE_TAKE_LATEST) {
        /* While the newest is overwritten under our eyes there is a newer one. */
        int got = hold(reader, head, frames);
        for (int tries = 0; tries < 64 && got == 0; tries++) {
            head = order_head_read(&reader->at.state->head);
            got = hold(reader, head, frames);
        }
        if (got > 0 || got == -EBADMSG) {
            reader->seen = head;
            publish_seen(reader);
        }
        return got;
    }
    uint32_t slots = reader->at.header.slots;
    uint64_t next = reader->seen + 1;
    if (head - reader->seen > slots) {
        reader->overruns += head - slots - reader->seen;
        next = head - slots + 1;
    }
    uint32_t taken = 0;
    int got = 0;
    for (; next <= head && taken < n; next++) {
        got = hold(reader, next, &frames[taken]);
        if (got == -EBADMSG && taken == 0) {
            reader->seen = next; /* else it would be in the way of all that follow */
        }
        if (got < 0) {
            break;
        }
        taken += (uint32_t)got;
        reader->overruns += got == 0;
        reader->seen = next;
    }
    publish_seen(reader);
    return taken == 0 && got < 0 ? got : (int)taken;
}

int edge_ring_skip(edge_ring_reader *reader, uint64_t sequence)
{
    int error = usable(reader);
    if (error == 0 && sequence > reader->seen) {
        reader->seen = sequence;
        publish_seen(reader);
    }
    return error;
}

static int viewed(const edge_ring_reader *reader, const edge_frame *frame)
{
    return frame->slot < reader->at.header.slots && plain_word(&reader->refs[frame->slot]) != 0 &&
           plain_long(&reader->held[frame->slot]) == frame->sequence;
}

int edge_ring_retain(edge_ring_reader *reader, const edge_frame *frame)
{
    int error = usable(reader);
    if (error != 0 || frame == NULL || !viewed(reader, frame)) {
        return error != 0 ? error : -EINVAL;
    }
    atomic_fetch_add_explicit(&reader->refs[frame->slot], 1, memory_order_relaxed);
    return 0;
}

int edge_ring_release(edge_ring_reader *reader, const edge_frame *frames, uint32_t n)
{
    int error = usable(reader);
    if (error != 0 || (frames == NULL && n != 0)) {
        return error != 0 ? error : -EINVAL;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!viewed(reader, &frames[i])) {
            error = -EINVAL;
        } else if (order_refs_drop(&reader->refs[frames[i].slot])) {
            order_hold_clear(&reader->at.control->place[reader->place].holds,
                             UINT64_C(1) << frames[i].slot);
        }
    }
    return error;
}

int edge_ring_wait(edge_ring_reader *reader, edge_ns timeout)
{
    int error = usable(reader);
    if (error != 0) {
        return error;
    }
    struct ring_control *control = reader->at.control;
    const struct ring_state *state = reader->at.state;
    edge_ns end = timeout > UINT64_MAX / 2 ? UINT64_MAX : clock_now() + timeout;
    for (;;) {
        uint32_t word = order_word_check(&state->word);
        if (order_head_read(&state->head) > reader->seen) {
            uint64_t own = plain_long(&control->place[reader->place].holds);
            return (uint32_t)__builtin_popcountll(own) < reader->at.header.max_holds
                       ? 1
                       : -EDGE_E_HOLDS;
        }
        error = nothing_left(reader);
        if (error != 0) {
            return error;
        }
        edge_ns now = end == UINT64_MAX ? 0 : clock_now();
        if (now >= end) {
            return 0;
        }
        uint32_t bit = UINT32_C(1) << reader->place;
        order_sleeper_set(&control->sleepers, bit);
        int interrupted = 0;
        if (order_word_check(&state->word) == word) {
            interrupted =
                futex_sleep(&state->word, word, end == UINT64_MAX ? UINT64_MAX : end - now);
        }
        plain_clear_bits(&control->sleepers, bit);
        if (interrupted) {
            return 0;
        }
    }
}

int edge_ring_get_info(edge_ring_reader *reader, edge_ring_info *info)
{
    int error = usable(reader);
    if (error != 0 || info == NULL) {
        return error != 0 ? error : -EINVAL;
    }
    const struct ring_header *header = &reader->at.header;
    uint32_t flags = order_flags_read(&reader->at.state->flags);
    struct ring_control *control = reader->at.control;
    uint64_t holds = order_holds_scan(&control->place[reader->place].holds);
    *info = (edge_ring_info){
        .sequence = order_head_read(&reader->at.state->head),
        .seen = reader->seen,
        .overruns = reader->overruns,
        .slot_bytes = header->slot_bytes,
        .slots = header->slots,
        .max_holds = header->max_holds,
        .holding = (uint32_t)__builtin_popcountll(holds),
        .readers = (uint32_t)__builtin_popcount(order_places_scan(&control->places)),
        .epoch = plain_word(&reader->at.state->epoch),
        .ended = (flags & RING_ENDED) != 0,
        .stale = (flags & RING_STALE) != 0,
        .writer = (uint32_t)shm_locked(reader->at.fd, RING_WRITER_LOCK),
    };
    return 0;
}

void edge_ring_reader_close(edge_ring_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (!shm_guard_forked(&reader->guard)) {
        ring_place_clear(reader->at.control, reader->place);
    }
    ring_unmap(&reader->at);
    shm_guard_close(&reader->guard);
    free(reader);
}
