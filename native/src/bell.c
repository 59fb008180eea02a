#include "bell_segment.h"
#include "futex.h"
#include "shm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct edge_bell {
    struct shm_guard guard;
    int fd;
    uint32_t seen; /* the word at the last wait */
    struct bell_segment *segment;
    char name[SHM_NAME_MAX + 1];
    char path[SHM_PATH_MAX];
};

int bell_header_check(const struct bell_segment *copy, uint64_t file_bytes)
{
    if (file_bytes < BELL_BYTES) {
        return -EDGE_E_TRUNCATED;
    }
    if (order_magic_read(&copy->magic) != BELL_MAGIC) {
        return -EDGE_E_MAGIC;
    }
    return copy->major == BELL_MAJOR ? 0 : -EDGE_E_VERSION;
}

static struct bell_segment *map(int fd)
{
    void *base = mmap(NULL, BELL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    return base == MAP_FAILED ? NULL : base;
}

struct bell_segment *bell_map(const char *name)
{
    char path[SHM_PATH_MAX];
    uint64_t bytes;
    if (shm_path(path, "bell", name) != 0) {
        return NULL;
    }
    int fd = shm_open_named(path, 0, &bytes);
    if (fd < 0) {
        return NULL;
    }
    struct bell_segment *segment = bytes >= BELL_BYTES ? map(fd) : NULL;
    close(fd);
    if (segment != NULL && bell_header_check(segment, bytes) != 0) {
        bell_unmap(segment);
        segment = NULL;
    }
    return segment;
}

void bell_unmap(struct bell_segment *segment)
{
    if (segment != NULL) {
        munmap(segment, BELL_BYTES);
    }
}

const char *bell_name(const edge_bell *bell)
{
    return bell->name;
}

void bell_ring(struct bell_segment *segment, uint32_t tag)
{
    if (tag < EDGE_BELL_TAGS) {
        order_tag_set(&segment->pending[tag / 64], UINT64_C(1) << tag % 64);
        order_tag_set(&segment->summary, UINT64_C(1) << tag / 64);
    }
    order_wake_bump(&segment->word);
    if (order_sleepers_read(&segment->sleeping) != 0) {
        futex_wake_all(&segment->word);
    }
}

uint32_t bell_collect(struct bell_segment *segment, uint32_t *tags, uint32_t n)
{
    uint32_t found = 0;
    uint64_t summary = order_tags_take(&segment->summary);
    for (; summary != 0; summary &= summary - 1) {
        uint32_t word = (uint32_t)__builtin_ctzll(summary);
        uint64_t pending = order_tags_take(&segment->pending[word]);
        for (; pending != 0 && found < n; pending &= pending - 1) {
            tags[found++] = word * 64 + (uint32_t)__builtin_ctzll(pending);
        }
        if (pending != 0) {
            /* No room left: these, and the words not looked at, wait for the next call. */
            order_tag_set(&segment->pending[word], pending);
            break;
        }
    }
    if (summary != 0) {
        order_tag_set(&segment->summary, summary);
    }
    return found;
}

int edge_bell_create(edge_bell **out, const char *name, uint32_t mode)
{
    if (out == NULL || name == NULL || (mode & ~0660U) != 0) {
        return -EINVAL;
    }
    edge_bell *bell = calloc(1, sizeof *bell);
    if (bell == NULL) {
        return -ENOMEM;
    }
    bell->fd = -1;
    int error = shm_path(bell->path, "bell", name);
    error = error != 0 ? error : shm_guard_open(&bell->guard);
    if (error == 0) {
        memcpy(bell->name, name, strlen(name) + 1);
        bell->fd = shm_create(BELL_BYTES, mode != 0 ? mode : 0600);
        error = bell->fd < 0 ? bell->fd : shm_lock(bell->fd, BELL_LOCK);
    }
    if (error == 0) {
        bell->segment = map(bell->fd);
        error = bell->segment == NULL ? -ENOMEM : 0;
    }
    if (error == 0) {
        bell->segment->major = BELL_MAJOR;
        order_magic_publish(&bell->segment->magic, BELL_MAGIC);
        error = shm_claim(bell->fd, bell->path, BELL_LOCK);
    }
    if (error != 0) {
        bell_unmap(bell->segment);
        if (bell->fd >= 0) {
            close(bell->fd);
        }
        shm_guard_close(&bell->guard);
        free(bell);
        return error;
    }
    *out = bell;
    return 0;
}

int edge_bell_ring(edge_bell *bell, uint32_t tag)
{
    if (bell == NULL) {
        return -EINVAL;
    }
    if (shm_guard_forked(&bell->guard)) {
        return -EDGE_E_FORKED;
    }
    bell_ring(bell->segment, tag);
    return 0;
}

int edge_bell_wait(edge_bell *bell, edge_ns timeout, uint32_t *tags, uint32_t n)
{
    if (bell == NULL || (tags == NULL && n != 0) || n > EDGE_BELL_TAGS) {
        return -EINVAL;
    }
    if (shm_guard_forked(&bell->guard)) {
        return -EDGE_E_FORKED;
    }
    struct bell_segment *segment = bell->segment;
    uint32_t word = order_word_check(&segment->word);
    uint32_t found = bell_collect(segment, tags, n);
    if (found == 0 && word == bell->seen && timeout != 0) {
        order_sleeper_set(&segment->sleeping, 1);
        if (order_word_check(&segment->word) == word) {
            futex_sleep(&segment->word, word, timeout);
        }
        plain_set_word(&segment->sleeping, 0);
        word = order_word_check(&segment->word);
        found = bell_collect(segment, tags, n);
    }
    bell->seen = word;
    return (int)found;
}

void edge_bell_close(edge_bell *bell)
{
    if (bell == NULL) {
        return;
    }
    if (!shm_guard_forked(&bell->guard) && shm_names(bell->path, bell->fd)) {
        unlink(bell->path);
    }
    bell_unmap(bell->segment);
    close(bell->fd);
    shm_guard_close(&bell->guard);
    free(bell);
}
