/* A results ring is a ring of another kind, whose frames are records. The handles are the ring's
 * own under another name, so that nothing more has to be allocated. */
#include "ring_layout.h"

#include <edgesdk/results.h>

#include <errno.h>
#include <string.h>

#define SUFFIX ".results"

_Static_assert(sizeof(edge_detection) == 64, "layout");
_Static_assert(offsetof(edge_result, items) == 112, "layout");
_Static_assert(sizeof(edge_result) == 112 + 64 * EDGE_RESULT_ITEMS, "layout");

static edge_ring_writer *ring_of_writer(edge_results_writer *writer)
{
    return (edge_ring_writer *)writer;
}

static edge_ring_reader *ring_of_reader(edge_results_reader *reader)
{
    return (edge_ring_reader *)reader;
}

static int full_name(char full[SHM_NAME_MAX + 1], const char *name)
{
    size_t length = strnlen(name, SHM_NAME_MAX + 1);
    if (length + sizeof SUFFIX > SHM_NAME_MAX + 1) {
        return -EDGE_E_NAME;
    }
    memcpy(full, name, length);
    memcpy(full + length, SUFFIX, sizeof SUFFIX);
    return 0;
}

int edge_results_create(edge_results_writer **out, const char *name, uint32_t records,
                        uint32_t mode)
{
    if (out == NULL || name == NULL) {
        return -EINVAL;
    }
    char full[SHM_NAME_MAX + 1];
    int error = full_name(full, name);
    edge_ring_writer *ring = NULL;
    edge_ring_config config = {
        .slot_bytes = sizeof(edge_result),
        .slots = records != 0 ? records : 32,
        .max_holds = 1,
        .mode = mode,
    };
    error = error != 0 ? error : ring_writer_open(&ring, full, RING_KIND_RESULTS, &config);
    if (error == 0) {
        *out = (edge_results_writer *)ring;
    }
    return error;
}

int edge_results_publish(edge_results_writer *writer, const edge_result *result)
{
    if (writer == NULL || result == NULL || result->items_count > EDGE_RESULT_ITEMS) {
        return -EINVAL;
    }
    /* Items that are not there need not be copied, but must not show a former record's. */
    size_t bytes = offsetof(edge_result, items) + result->items_count * sizeof(edge_detection);
    edge_frame frame;
    int error = edge_ring_begin(ring_of_writer(writer), bytes, &frame);
    if (error != 0) {
        return error;
    }
    memcpy(frame.data, result, bytes);
    frame.capture_mono_ns = result->capture_mono_ns;
    return edge_ring_commit(ring_of_writer(writer), &frame);
}

void edge_results_writer_close(edge_results_writer *writer, int unlink)
{
    edge_ring_writer_close(ring_of_writer(writer), unlink);
}

int edge_results_open(edge_results_reader **out, const char *name, uint32_t flags)
{
    if (out == NULL || name == NULL) {
        return -EINVAL;
    }
    char full[SHM_NAME_MAX + 1];
    int error = full_name(full, name);
    edge_ring_reader *ring = NULL;
    error = error != 0 ? error : ring_reader_open(&ring, full, RING_KIND_RESULTS, flags, NULL, 0);
    if (error == 0) {
        *out = (edge_results_reader *)ring;
    }
    return error;
}

int result_unpack(edge_result *result, const void *data, uint64_t bytes)
{
    size_t fixed = offsetof(edge_result, items);
    memset(result, 0, sizeof *result);
    if (bytes < fixed || bytes > sizeof *result) {
        return -EBADMSG;
    }
    memcpy(result, data, (size_t)bytes);
    if (result->items_count > (bytes - fixed) / sizeof(edge_detection)) {
        result->items_count = 0;
        return -EBADMSG;
    }
    result->application[sizeof result->application - 1] = '\0';
    result->camera[sizeof result->camera - 1] = '\0';
    for (uint32_t i = 0; i < result->items_count; i++) {
        result->items[i].label[sizeof result->items[i].label - 1] = '\0';
    }
    return 0;
}

int edge_results_take(edge_results_reader *reader, edge_result *results, uint32_t n)
{
    if (reader == NULL || results == NULL || n == 0) {
        return -EINVAL;
    }
    edge_ring_reader *ring = ring_of_reader(reader);
    uint32_t taken = 0;
    while (taken < n) {
        edge_frame frame;
        int got = edge_ring_take(ring, EDGE_TAKE_NEXT, &frame, 1);
        if (got <= 0) {
            return taken != 0 ? (int)taken : got;
        }
        int error = result_unpack(&results[taken], frame.data, frame.bytes);
        edge_ring_release(ring, &frame, 1);
        if (error != 0) {
            return taken != 0 ? (int)taken : error;
        }
        taken++;
    }
    return (int)taken;
}

int edge_results_wait(edge_results_reader *reader, edge_ns timeout)
{
    return edge_ring_wait(ring_of_reader(reader), timeout);
}

uint64_t edge_results_lost(edge_results_reader *reader)
{
    edge_ring_info info;
    return edge_ring_get_info(ring_of_reader(reader), &info) == 0 ? info.overruns : 0;
}

void edge_results_reader_close(edge_results_reader *reader)
{
    edge_ring_reader_close(ring_of_reader(reader));
}
