/* A header that passes the check describes a segment that lies within its file. */
#include "../src/ring_layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ring_header header;
    uint64_t file_bytes;
    if (size < sizeof header + sizeof file_bytes) {
        return 0;
    }
    memcpy((void *)&header, data, sizeof header);
    memcpy(&file_bytes, data + sizeof header, sizeof file_bytes);
    if (ring_header_check(&header, file_bytes, data[size - 1] % 3) != 0) {
        return 0;
    }
    /* In wider arithmetic than the check's own. */
    unsigned __int128 state_end = (unsigned __int128)header.state_offset +
                                  sizeof(struct ring_state) +
                                  (unsigned __int128)header.slots * sizeof(struct ring_slot);
    unsigned __int128 frames_end = (unsigned __int128)header.frames_offset +
                                   (unsigned __int128)header.slots * header.slot_stride;
    if (header.slots < EDGE_RING_SLOTS_MIN || header.slots > EDGE_RING_SLOTS_MAX ||
        header.control_offset + sizeof(struct ring_control) > header.state_offset ||
        state_end > header.frames_offset || frames_end > header.segment_bytes ||
        header.slot_bytes > header.slot_stride || header.segment_bytes > file_bytes ||
        header.max_holds + header.max_begun + 1 > header.slots) {
        abort();
    }
    return 0;
}
