/* How a writer comes by its segment: makes it, takes over a dead writer's, moves to a larger one.
 */
#include "ring_writer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int make(struct ring_mapping *made, const struct ring_header *header, uint32_t mode)
{
    int fd = shm_create(header->segment_bytes, mode);
    if (fd < 0) {
        return fd;
    }
    int error = shm_lock(fd, RING_WRITER_LOCK);
    error = error != 0 ? error : ring_map(made, fd, header, 1);
    if (error != 0) {
        close(fd);
    }
    return error;
}

int writer_make_segment(edge_ring_writer *writer, const struct ring_header *header)
{
    struct ring_mapping old = writer->at;
    struct ring_mapping made;
    int error = make(&made, header, writer->mode);
    if (error != 0) {
        return error;
    }
    plain_set_long(&made.state->head, writer->head);
    plain_set_word(&made.state->epoch, writer->epoch);
    struct ring_header *shared = (void *)made.base;
    *shared = *header;
    order_magic_publish(&shared->magic, RING_MAGIC);
    if (old.fd < 0) {
        error = shm_publish(made.fd, writer->path);
    } else {
        /* Readers are told first: if we die in between, the name still leads to the old segment,
         * and its next writer takes the mark back. */
        if (old.base != NULL) {
            order_flags_set(&old.state->flags, RING_STALE);
        }
        error = shm_replace(made.fd, writer->path, writer->next_path);
        if (error != 0 && old.base != NULL) {
            plain_clear_bits(&old.state->flags, RING_STALE);
        }
    }
    if (error != 0) {
        ring_unmap(&made);
        return error;
    }
    if (old.base != NULL) {
        writer_wake(writer);
        writer_drop_bells(writer);
    }
    ring_unmap(&old);
    writer->at = made;
    writer->head_slot = EDGE_RING_SLOTS_MAX;
    memset(writer->in_slot, 0, sizeof writer->in_slot);
    return 0;
}

/* Brings the state that a writer left, perhaps in the midst of a commit, to between two frames. */
static int adopt(edge_ring_writer *writer)
{
    struct ring_state *state = writer->at.state;
    uint64_t head = order_head_read(&state->head);
    if (head >= RING_SEQUENCE_MAX) {
        return -EDGE_E_HEADER;
    }
    writer->head = head;
    writer->head_slot = EDGE_RING_SLOTS_MAX;
    for (uint32_t slot = 0; slot < writer->at.header.slots; slot++) {
        uint64_t sequence = order_generation_check(&state->slot[slot].generation);
        if (sequence > head || (sequence != 0 && head - sequence >= RING_TRAIL)) {
            /* Finished, but never published: its number goes to our first frame. */
            order_generation_mark(&state->slot[slot].generation);
            sequence = 0;
        }
        writer->in_slot[slot] = sequence;
        if (sequence != 0 && sequence == head) {
            writer->head_slot = slot;
        }
    }
    writer->epoch = plain_word(&state->epoch) + 1;
    plain_set_word(&state->epoch, writer->epoch);
    plain_set_word(&state->flags, 0);
    return 0;
}

static int fits(const struct ring_header *found, const struct ring_header *wanted)
{
    return found->slots == wanted->slots && found->slot_bytes >= wanted->slot_bytes &&
           found->max_holds == wanted->max_holds && found->max_begun == wanted->max_begun;
}

/* The name exists. -EAGAIN if it ceased to meanwhile. */
static int take_over(edge_ring_writer *writer, const struct ring_header *wanted)
{
    uint64_t bytes;
    int fd = shm_open_named(writer->path, 0, &bytes);
    if (fd < 0) {
        return fd == -ENOENT ? -EAGAIN : fd;
    }
    writer->at.fd = fd;
    int error = shm_lock(fd, RING_WRITER_LOCK);
    if (error != 0) {
        return error == -EAGAIN ? -EDGE_E_WRITER : error;
    }
    if (!shm_names(writer->path, fd)) {
        return -EAGAIN;
    }
    struct ring_header found;
    error = ring_header_read(fd, bytes, wanted->kind, &found);
    error = error != 0 ? error : ring_map(&writer->at, fd, &found, 1);
    error = error != 0 ? error : adopt(writer);
    if (error == 0 && fits(&found, wanted) && shm_set_mode(fd, writer->mode) == 0) {
        ring_reap(writer->at.control, fd, EDGE_RING_READERS_MAX);
        writer_wake(writer);
        return 0;
    }
    if (error != 0) {
        /* Broken: nothing in it is worth keeping, not even the number of its last frame. */
        writer->head = 0;
        writer->epoch = 1;
    }
    return writer_make_segment(writer, wanted);
}

int writer_find_segment(edge_ring_writer *writer, const struct ring_header *header)
{
    /* Each round lost is another process's gain; with the name going back and forth, give up. */
    for (int round = 0; round < 100; round++) {
        writer->head = 0;
        writer->epoch = 1;
        int error = take_over(writer, header);
        if (error == -EAGAIN) {
            ring_unmap(&writer->at);
            error = writer_make_segment(writer, header);
        }
        if (error == 0) {
            /* A writer that was killed while its ring moved may have left one. */
            unlink(writer->next_path);
        }
        if (error != -EEXIST) {
            return error;
        }
    }
    return -EDGE_E_WRITER;
}
