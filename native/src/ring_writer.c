#include "ring_writer.h"

#include "bell_segment.h"
#include "futex.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAP_PERIOD UINT64_C(250000000)

/* Readers that only try to hold a slot let go again within nanoseconds. */
#define BEGIN_TRIES 64
#define CLAIM_ROUNDS 8

int edge_ring_create(edge_ring_writer **out, const char *name, const edge_ring_config *config)
{
    return ring_writer_open(out, name, RING_KIND_FRAMES, config);
}

int ring_writer_open(edge_ring_writer **out, const char *name, uint32_t kind,
                     const edge_ring_config *config)
{
    if (out == NULL || name == NULL || config == NULL) {
        return -EINVAL;
    }
    struct ring_header header;
    int error = ring_header_make(&header, kind, config);
    if (error != 0) {
        return error;
    }
    edge_ring_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        return -ENOMEM;
    }
    writer->at.fd = -1;
    writer->mode = config->mode != 0 ? config->mode : 0600;
    error = shm_path(writer->path, "ring", name);
    error = error != 0 ? error : shm_path(writer->next_path, "next", name);
    error = error != 0 ? error : shm_guard_open(&writer->guard);
    error = error != 0 ? error : writer_find_segment(writer, &header);
    if (error != 0) {
        ring_unmap(&writer->at);
        shm_guard_close(&writer->guard);
        free(writer);
        return error;
    }
    *out = writer;
    return 0;
}

/* The slot to write next: of those that every reader has passed the one written last, whose bytes
 * are still in the cache; if there is none, the one with the oldest frame. Never the newest
 * frame's.
 */
static uint32_t choose(const edge_ring_writer *writer, uint64_t taken, uint64_t seen)
{
    uint32_t warm = EDGE_RING_SLOTS_MAX;
    uint32_t oldest = EDGE_RING_SLOTS_MAX;
    for (uint32_t slot = 0; slot < writer->at.header.slots; slot++) {
        uint64_t sequence = writer->in_slot[slot];
        if ((taken >> slot & 1) != 0 || slot == writer->head_slot) {
            continue;
        }
        if (sequence <= seen) {
            if (warm == EDGE_RING_SLOTS_MAX || sequence > writer->in_slot[warm]) {
                warm = slot;
            }
        } else if (oldest == EDGE_RING_SLOTS_MAX || sequence < writer->in_slot[oldest]) {
            oldest = slot;
        }
    }
    return warm != EDGE_RING_SLOTS_MAX ? warm : oldest;
}

static void reap_now_and_then(edge_ring_writer *writer)
{
    edge_ns now = clock_coarse();
    if (now - writer->reaped >= REAP_PERIOD) {
        writer->reaped = now;
        ring_reap(writer->at.control, writer->at.fd, EDGE_RING_READERS_MAX);
    }
}

static int try_to_claim(edge_ring_writer *writer)
{
    uint64_t lost = 0;
    for (int tries = 0; tries < BEGIN_TRIES; tries++) {
        uint64_t seen;
        uint64_t taken = ring_holds_and_seen(writer->at.control, &seen) | writer->begun | lost;
        uint32_t slot = choose(writer, taken, seen);
        if (slot == EDGE_RING_SLOTS_MAX) {
            lost = 0;
            continue;
        }
        edge_long *generation = &writer->at.state->slot[slot].generation;
        order_generation_mark(generation);
        if ((ring_holds(writer->at.control) >> slot & 1) == 0) {
            return (int)slot;
        }
        /* A reader was there first, and its frame is as it was. */
        order_generation_publish(generation, writer->in_slot[slot]);
        lost |= UINT64_C(1) << slot;
    }
    return -EAGAIN;
}

/* Readers that try to hold one slot too many, all at once, may for a moment leave none; one that is
 * killed just then has to be reaped first, one that was preempted has to run. */
static int claim(edge_ring_writer *writer)
{
    int slot = try_to_claim(writer);
    for (int rounds = 0; slot < 0 && rounds < CLAIM_ROUNDS; rounds++) {
        ring_reap(writer->at.control, writer->at.fd, EDGE_RING_READERS_MAX);
        sched_yield();
        slot = try_to_claim(writer);
    }
    return slot;
}

static int grow(edge_ring_writer *writer, uint64_t bytes)
{
    if (writer->begun != 0) {
        return -EBUSY;
    }
    const struct ring_header *now = &writer->at.header;
    edge_ring_config config = {
        .slot_bytes = bytes,
        .slots = now->slots,
        .max_holds = now->max_holds,
        .max_begun = now->max_begun,
    };
    struct ring_header header;
    int error = ring_header_make(&header, now->kind, &config);
    return error != 0 ? error : writer_make_segment(writer, &header);
}

int edge_ring_begin(edge_ring_writer *writer, uint64_t bytes, edge_frame *frame)
{
    if (writer == NULL || frame == NULL) {
        return -EINVAL;
    }
    if (shm_guard_forked(&writer->guard)) {
        return -EDGE_E_FORKED;
    }
    if (bytes > writer->at.header.slot_bytes) {
        int error = grow(writer, bytes);
        if (error != 0) {
            return error;
        }
    }
    if ((uint32_t)__builtin_popcountll(writer->begun) >= writer->at.header.max_begun) {
        return -EBUSY;
    }
    reap_now_and_then(writer);
    int slot = claim(writer);
    if (slot < 0) {
        return slot;
    }
    writer->in_slot[slot] = 0;
    writer->begun |= UINT64_C(1) << slot;
    writer->begun_bytes[slot] = bytes;
    const struct ring_header *header = &writer->at.header;
    *frame = (edge_frame){
        .data = writer->at.base + header->frames_offset + (uint64_t)slot * header->slot_stride,
        .bytes = bytes,
        .qp = -1,
        .slot = (uint32_t)slot,
    };
    return 0;
}

static int begun(const edge_ring_writer *writer, const edge_frame *frame)
{
    if (writer == NULL || frame == NULL) {
        return -EINVAL;
    }
    if (shm_guard_forked(&writer->guard)) {
        return -EDGE_E_FORKED;
    }
    if (frame->slot >= writer->at.header.slots || (writer->begun >> frame->slot & 1) == 0) {
        return -EINVAL;
    }
    return 0;
}

int edge_ring_commit(edge_ring_writer *writer, edge_frame *frame)
{
    int error = begun(writer, frame);
    if (error == 0 && frame->bytes > writer->begun_bytes[frame->slot]) {
        error = -EINVAL;
    }
    if (error != 0) {
        return error;
    }
    struct ring_state *state = writer->at.state;
    struct ring_slot *slot = &state->slot[frame->slot];
    uint64_t sequence = writer->head + 1;
    frame->sequence = sequence;
    frame->epoch = writer->epoch;
    slot->bytes = frame->bytes;
    slot->capture_mono_ns = frame->capture_mono_ns;
    slot->capture_utc_ns = frame->capture_utc_ns;
    slot->width = frame->width;
    slot->height = frame->height;
    slot->stride = frame->stride;
    slot->format = frame->format;
    slot->colour_space = frame->colour_space;
    slot->colour_range = frame->colour_range;
    slot->frame_rate_mhz = frame->frame_rate_mhz;
    slot->qp = frame->qp;
    slot->epoch = frame->epoch;
    order_generation_publish(&slot->generation, sequence);
    plain_set_long(&state->trail[sequence % RING_TRAIL], sequence << 6 | frame->slot);
    if (plain_word(&state->flags) & RING_ENDED) {
        plain_clear_bits(&state->flags, RING_ENDED);
    }
    order_head_publish(&state->head, sequence);
    writer->head = sequence;
    writer->head_slot = frame->slot;
    writer->in_slot[frame->slot] = sequence;
    writer->begun &= ~(UINT64_C(1) << frame->slot);
    writer_wake(writer);
    return 0;
}

int edge_ring_abort(edge_ring_writer *writer, edge_frame *frame)
{
    int error = begun(writer, frame);
    if (error == 0) {
        writer->begun &= ~(UINT64_C(1) << frame->slot);
    }
    return error;
}

static void update_bell(struct writer_bell *bell, struct ring_place *place, uint32_t serial)
{
    char name[SHM_NAME_MAX + 1];
    memcpy(name, place->bell_name, sizeof name);
    name[SHM_NAME_MAX] = '\0';
    uint32_t tag = plain_word(&place->bell_tag);
    bell_unmap(bell->segment);
    /* A bell that cannot be opened is not rung; its reader finds out by its own timeouts. */
    bell->segment = serial & 1U ? bell_map(name) : NULL;
    bell->tag = tag;
    bell->serial = serial;
}

void writer_wake(edge_ring_writer *writer)
{
    struct ring_mapping *at = &writer->at;
    order_wake_bump(&at->state->word);
    if (order_sleepers_read(&at->control->sleepers) != 0) {
        futex_wake_all(&at->state->word);
    }
    for (uint32_t places = order_places_scan(&at->control->places); places != 0;
         places &= places - 1) {
        int i = __builtin_ctz(places);
        uint32_t serial = order_bell_read(&at->control->place[i].bell_serial);
        struct writer_bell *bell = &writer->bell[i];
        if (serial != bell->serial) {
            update_bell(bell, &at->control->place[i], serial);
        }
        if (bell->segment != NULL) {
            bell_ring(bell->segment, bell->tag);
        }
    }
}

void writer_drop_bells(edge_ring_writer *writer)
{
    for (int i = 0; i < EDGE_RING_READERS_MAX; i++) {
        bell_unmap(writer->bell[i].segment);
        writer->bell[i] = (struct writer_bell){0};
    }
}

uint32_t edge_ring_epoch(const edge_ring_writer *writer)
{
    return writer != NULL ? writer->epoch : 0;
}

int edge_ring_end(edge_ring_writer *writer)
{
    if (writer == NULL) {
        return -EINVAL;
    }
    if (shm_guard_forked(&writer->guard)) {
        return -EDGE_E_FORKED;
    }
    order_flags_set(&writer->at.state->flags, RING_ENDED);
    writer_wake(writer);
    return 0;
}

int edge_ring_wait_taken(edge_ring_writer *writer, edge_ns timeout)
{
    if (writer == NULL) {
        return -EINVAL;
    }
    if (shm_guard_forked(&writer->guard)) {
        return -EDGE_E_FORKED;
    }
    struct ring_control *control = writer->at.control;
    plain_set_word(&control->paced, 1);
    edge_ns end = timeout > UINT64_MAX / 2 ? UINT64_MAX : clock_now() + timeout;
    for (;;) {
        uint32_t word = order_word_check(&control->taken);
        uint64_t seen;
        ring_holds_and_seen(control, &seen);
        if (seen >= writer->head) {
            return 1;
        }
        edge_ns now = clock_now();
        if (now >= end) {
            return 0;
        }
        /* In slices: a reader that died, or read `paced` before it was set, wakes nobody. */
        edge_ns slice = UINT64_C(20000000);
        order_sleeper_set(&control->waiting, 1);
        if (order_word_check(&control->taken) == word) {
            futex_sleep(&control->taken, word, end - now < slice ? end - now : slice);
        }
        plain_set_word(&control->waiting, 0);
        reap_now_and_then(writer);
    }
}

void edge_ring_writer_close(edge_ring_writer *writer, int unlink_name)
{
    if (writer == NULL) {
        return;
    }
    if (!shm_guard_forked(&writer->guard)) {
        if (unlink_name) {
            if (shm_names(writer->path, writer->at.fd)) {
                unlink(writer->path);
            }
            order_flags_set(&writer->at.state->flags, RING_STALE);
            writer_wake(writer);
        }
        writer_drop_bells(writer);
    }
    ring_unmap(&writer->at);
    shm_guard_close(&writer->guard);
    free(writer);
}

/* Readers of a dead writer's segment learn that it leads nowhere any more. */
static void mark_stale(int fd, uint64_t bytes)
{
    struct ring_header header;
    struct ring_mapping at;
    if (ring_header_read(fd, bytes, 0, &header) == 0 && ring_map(&at, fd, &header, 1) == 0) {
        order_flags_set(&at.state->flags, RING_STALE);
        order_wake_bump(&at.state->word);
        futex_wake_all(&at.state->word);
        at.fd = -1;
        ring_unmap(&at);
    }
}

int edge_ring_unlink(const char *name)
{
    char path[SHM_PATH_MAX];
    char next_path[SHM_PATH_MAX];
    if (name == NULL) {
        return -EINVAL;
    }
    int error = shm_path(path, "ring", name);
    error = error != 0 ? error : shm_path(next_path, "next", name);
    if (error != 0) {
        return error;
    }
    uint64_t bytes;
    int fd = shm_open_named(path, 0, &bytes);
    if (fd < 0) {
        return fd;
    }
    error = shm_lock(fd, RING_WRITER_LOCK);
    if (error == 0 && shm_names(path, fd)) {
        error = unlink(path) != 0 ? -errno : 0;
        unlink(next_path);
        mark_stale(fd, bytes);
    }
    close(fd);
    return error == -EAGAIN ? -EDGE_E_WRITER : error;
}
