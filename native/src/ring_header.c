#include "ring_layout.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t whole_pages(uint64_t bytes)
{
    return (bytes + RING_PAGE - 1) / RING_PAGE * RING_PAGE;
}

int ring_header_make(struct ring_header *header, uint32_t kind, const edge_ring_config *config)
{
    uint32_t slots = config->slots != 0 ? config->slots : 4;
    uint32_t begun = config->max_begun != 0 ? config->max_begun : 1;
    if (slots < EDGE_RING_SLOTS_MIN || slots > EDGE_RING_SLOTS_MAX || begun > slots - 2 ||
        config->slot_bytes == 0 || (config->mode & ~0660U) != 0) {
        return -EINVAL;
    }
    /* The head, what is begun, and the rest for readers. */
    uint32_t holds = slots - 1 - begun;
    if (config->max_holds != 0 && config->max_holds < holds) {
        holds = config->max_holds;
    }
    if (config->slot_bytes > UINT64_MAX / EDGE_RING_SLOTS_MAX / 2) {
        return -ENOMEM;
    }
    uint64_t state = sizeof(struct ring_state) + slots * sizeof(struct ring_slot);
    uint64_t stride = whole_pages(config->slot_bytes);
    uint64_t frames = RING_STATE_OFFSET + whole_pages(state);
    *header = (struct ring_header){
        .major = RING_MAJOR,
        .minor = RING_MINOR,
        .header_bytes = sizeof *header,
        .kind = kind,
        .segment_bytes = frames + slots * stride,
        .slots = slots,
        .places = EDGE_RING_READERS_MAX,
        .max_holds = holds,
        .max_begun = begun,
        .slot_bytes = config->slot_bytes,
        .slot_stride = stride,
        .control_offset = RING_CONTROL_OFFSET,
        .state_offset = RING_STATE_OFFSET,
        .frames_offset = frames,
    };
    return header->segment_bytes > SIZE_MAX / 2 ? -ENOMEM : 0;
}

int ring_header_check(const struct ring_header *copy, uint64_t file_bytes, uint32_t kind)
{
    if (plain_long(&copy->magic) != RING_MAGIC) {
        return -EDGE_E_MAGIC;
    }
    if (copy->major != RING_MAJOR) {
        return -EDGE_E_VERSION;
    }
    /* A later minor may have a longer header, within its page. */
    if (copy->header_bytes < sizeof *copy || copy->header_bytes > RING_CONTROL_OFFSET ||
        (kind != 0 && copy->kind != kind) || copy->slots < EDGE_RING_SLOTS_MIN ||
        copy->slots > EDGE_RING_SLOTS_MAX || copy->places != EDGE_RING_READERS_MAX ||
        copy->max_begun == 0 || copy->max_begun > copy->slots - 2 || copy->max_holds == 0 ||
        copy->max_holds > copy->slots - 1 - copy->max_begun ||
        copy->control_offset != RING_CONTROL_OFFSET || copy->state_offset != RING_STATE_OFFSET) {
        return -EDGE_E_HEADER;
    }
    uint64_t state = sizeof(struct ring_state) + copy->slots * sizeof(struct ring_slot);
    /* Each term is bounded before it is used, so that no sum or product can wrap. */
    if (copy->segment_bytes > SIZE_MAX / 2 || copy->frames_offset > copy->segment_bytes ||
        copy->frames_offset < RING_STATE_OFFSET + state || copy->frames_offset % RING_PAGE != 0 ||
        copy->slot_stride > (copy->segment_bytes - copy->frames_offset) / copy->slots ||
        copy->slot_stride % RING_PAGE != 0 || copy->slot_bytes == 0 ||
        copy->slot_bytes > copy->slot_stride) {
        return -EDGE_E_HEADER;
    }
    return file_bytes < copy->segment_bytes ? -EDGE_E_TRUNCATED : 0;
}

int ring_header_read(int fd, uint64_t file_bytes, uint32_t kind, struct ring_header *copy)
{
    if (file_bytes < sizeof *copy) {
        return file_bytes == 0 ? -EDGE_E_MAGIC : -EDGE_E_TRUNCATED;
    }
    /* pread() and not the mapping: a file that shrinks meanwhile is short here and SIGBUS there. */
    ssize_t got = pread(fd, (void *)copy, sizeof *copy, 0);
    if (got < 0) {
        return -errno;
    }
    if ((size_t)got < sizeof *copy) {
        return -EDGE_E_TRUNCATED;
    }
    return ring_header_check(copy, file_bytes, kind);
}

int ring_map(struct ring_mapping *mapping, int fd, const struct ring_header *header, int writable)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base =
        mmap(NULL, (size_t)header->segment_bytes, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (base == MAP_FAILED) {
        return -errno;
    }
    unsigned char *control = (unsigned char *)base + RING_CONTROL_OFFSET;
    unsigned char *control_base = NULL;
    size_t control_bytes = 0;
    if (!writable) {
        /* Where pages are larger than ours, what shares a page with `control` is writable too. */
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t start = RING_CONTROL_OFFSET / page * page;
        control_bytes = (size_t)(RING_CONTROL_OFFSET + RING_CONTROL_BYTES - start);
        void *second = mmap(NULL, control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                            fd, (off_t)start);
        if (second == MAP_FAILED) {
            int error = -errno;
            munmap(base, (size_t)header->segment_bytes);
            return error;
        }
        control_base = second;
        control = control_base + (RING_CONTROL_OFFSET - start);
    }
    *mapping = (struct ring_mapping){
        .fd = fd,
        .header = *header,
        .base = base,
        .control_base = control_base,
        .control_bytes = control_bytes,
        .control = (void *)control,
        .state = (void *)((unsigned char *)base + RING_STATE_OFFSET),
    };
    return 0;
}

void ring_unmap(struct ring_mapping *mapping)
{
    if (mapping->control_base != NULL) {
        munmap(mapping->control_base, mapping->control_bytes);
        mapping->control_base = NULL;
    }
    if (mapping->base != NULL) {
        munmap(mapping->base, (size_t)mapping->header.segment_bytes);
        mapping->base = NULL;
    }
    if (mapping->fd >= 0) {
        close(mapping->fd);
        mapping->fd = -1;
    }
}

void ring_place_clear(struct ring_control *control, uint32_t place)
{
    struct ring_place *own = &control->place[place];
    uint32_t serial = plain_word(&own->bell_serial);
    if (serial & 1U) {
        plain_set_word(&own->bell_serial, serial + 1);
    }
    order_hold_clear(&own->holds, UINT64_MAX);
    plain_clear_bits(&control->sleepers, UINT32_C(1) << place);
    order_place_leave(&control->places, UINT32_C(1) << place);
}

int ring_reap(struct ring_control *control, int fd, uint32_t but_place)
{
    int reaped = 0;
    uint32_t places = order_places_scan(&control->places);
    for (uint32_t place = 0; place < EDGE_RING_READERS_MAX; place++) {
        if ((places & (UINT32_C(1) << place)) == 0 || place == but_place) {
            continue;
        }
        /* Taking the lock, not testing it, keeps a newcomer out until the place is clean. */
        if (shm_lock(fd, RING_PLACE_LOCK(place)) == 0) {
            ring_place_clear(control, place);
            shm_unlock(fd, RING_PLACE_LOCK(place));
            reaped++;
        }
    }
    return reaped;
}

uint64_t ring_holds(struct ring_control *control)
{
    uint64_t holds = 0;
    for (uint32_t places = order_places_scan(&control->places); places != 0; places &= places - 1) {
        holds |= order_holds_scan(&control->place[__builtin_ctz(places)].holds);
    }
    return holds;
}

uint64_t ring_holds_and_seen(struct ring_control *control, uint64_t *seen)
{
    uint64_t holds = 0;
    uint64_t passed = UINT64_MAX;
    for (uint32_t places = order_places_scan(&control->places); places != 0; places &= places - 1) {
        struct ring_place *place = &control->place[__builtin_ctz(places)];
        uint64_t at = order_seen_read(&place->seen);
        passed = at < passed ? at : passed;
        holds |= order_holds_scan(&place->holds);
    }
    *seen = passed;
    return holds;
}
