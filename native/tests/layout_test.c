/* The segment is the same on every machine: its offsets, printed, are those of layout.golden.
 * `layout_test --print` prints them, to make that file anew after a deliberate change. */
#include "../src/bell_segment.h"
#include "../src/ring_layout.h"
#include "check.h"

#define FIELD(type, field)                                                                         \
    length +=                                                                                      \
        (size_t)snprintf(text + length, sizeof text - length, "%-13s %-16s %5zu %4zu\n", #type,    \
                         #field, offsetof(struct type, field), sizeof(((struct type *)0)->field));
#define PUBLIC(type, field)                                                                        \
    length += (size_t)snprintf(text + length, sizeof text - length, "%-14s %-16s %4zu %4zu\n",     \
                               #type, #field, offsetof(type, field), sizeof(((type *)0)->field));

static char text[16384];

static void describe(void)
{
    size_t length = (size_t)snprintf(text, sizeof text, "magic %llx, version %d\n",
                                     (unsigned long long)RING_MAGIC, RING_MAJOR);
    FIELD(ring_header, magic)
    FIELD(ring_header, major)
    FIELD(ring_header, minor)
    FIELD(ring_header, header_bytes)
    FIELD(ring_header, kind)
    FIELD(ring_header, segment_bytes)
    FIELD(ring_header, slots)
    FIELD(ring_header, places)
    FIELD(ring_header, max_holds)
    FIELD(ring_header, max_begun)
    FIELD(ring_header, slot_bytes)
    FIELD(ring_header, slot_stride)
    FIELD(ring_header, control_offset)
    FIELD(ring_header, state_offset)
    FIELD(ring_header, frames_offset)
    FIELD(ring_control, places)
    FIELD(ring_control, sleepers)
    FIELD(ring_control, paced)
    FIELD(ring_control, taken)
    FIELD(ring_control, waiting)
    FIELD(ring_control, place)
    FIELD(ring_place, holds)
    FIELD(ring_place, seen)
    FIELD(ring_place, bell_serial)
    FIELD(ring_place, bell_tag)
    FIELD(ring_place, bell_name)
    FIELD(ring_state, head)
    FIELD(ring_state, word)
    FIELD(ring_state, flags)
    FIELD(ring_state, epoch)
    FIELD(ring_state, trail)
    FIELD(ring_slot, generation)
    FIELD(ring_slot, bytes)
    FIELD(ring_slot, capture_mono_ns)
    FIELD(ring_slot, capture_utc_ns)
    FIELD(ring_slot, width)
    FIELD(ring_slot, height)
    FIELD(ring_slot, stride)
    FIELD(ring_slot, format)
    FIELD(ring_slot, colour_space)
    FIELD(ring_slot, colour_range)
    FIELD(ring_slot, frame_rate_mhz)
    FIELD(ring_slot, qp)
    FIELD(ring_slot, epoch)
    FIELD(bell_segment, magic)
    FIELD(bell_segment, major)
    FIELD(bell_segment, word)
    FIELD(bell_segment, sleeping)
    FIELD(bell_segment, summary)
    FIELD(bell_segment, pending)
    PUBLIC(edge_result, frame_sequence)
    PUBLIC(edge_result, capture_mono_ns)
    PUBLIC(edge_result, frame_epoch)
    PUBLIC(edge_result, state)
    PUBLIC(edge_result, count)
    PUBLIC(edge_result, items_count)
    PUBLIC(edge_result, measure)
    PUBLIC(edge_result, application)
    PUBLIC(edge_result, camera)
    PUBLIC(edge_result, items)
    PUBLIC(edge_detection, x1)
    PUBLIC(edge_detection, score)
    PUBLIC(edge_detection, label_id)
    PUBLIC(edge_detection, track_id)
    PUBLIC(edge_detection, label)
    snprintf(text + length, sizeof text - length, "sizes: %zu %zu %zu %zu %zu %zu %zu\n",
             sizeof(struct ring_header), sizeof(struct ring_control), sizeof(struct ring_place),
             sizeof(struct ring_state), sizeof(struct ring_slot), sizeof(edge_result),
             sizeof(edge_detection));
}

int main(int argc, char **argv)
{
    describe();
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        fputs(text, stdout);
        return 0;
    }
    static char golden[sizeof text];
    FILE *file = fopen(EDGE_TEST_DIRECTORY "/layout.golden", "r");
    CHECK(file != NULL);
    golden[fread(golden, 1, sizeof golden - 1, file)] = '\0';
    fclose(file);
    if (strcmp(golden, text) != 0) {
        fputs(text, stderr);
    }
    CHECK(strcmp(golden, text) == 0);
    return 0;
}
