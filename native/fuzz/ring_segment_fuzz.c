/* A segment whose control and state another process overwrites while we use it: reader and writer
 * return codes, and every frame lies within the segment. */
#include "../src/ring_layout.h"
#include "../src/ring_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static edge_ring_writer *writer;
static edge_ring_reader *reader;
static unsigned char *clean;

static void open_once(void)
{
    char name[32];
    snprintf(name, sizeof name, "fuzz.%d", (int)getpid());
    edge_ring_config config = {.slot_bytes = 64, .slots = 4};
    if (edge_ring_create(&writer, name, &config) != 0 ||
        edge_ring_open(&reader, name, 0, NULL, 0) != 0) {
        abort();
    }
    edge_ring_unlink(name);
    unlink(writer->path);
    clean = malloc(writer->at.header.segment_bytes);
    memcpy(clean, writer->at.base, writer->at.header.segment_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (writer == NULL) {
        open_once();
    }
    size_t begin = RING_CONTROL_OFFSET;
    size_t end = writer->at.header.frames_offset;
    memcpy(writer->at.base + begin, clean + begin, end - begin);
    /* Each five bytes: where, and what. */
    for (; size >= 5; data += 5, size -= 5) {
        size_t at = begin + (data[0] | data[1] << 8) % (end - begin - 2);
        memcpy(writer->at.base + at, data + 2, 2);
        edge_frame frames[4];
        edge_ring_info info;
        int n = 0;
        switch (data[4] % 4) {
        case 0:
            n = edge_ring_take(reader, (enum edge_take)(data[4] >> 7), frames, 4);
            break;
        case 1:
            if (edge_ring_begin(writer, 64, frames) == 0) {
                memset(frames[0].data, 1, 64);
                edge_ring_commit(writer, frames);
            }
            break;
        case 2:
            edge_ring_wait(reader, 0);
            break;
        default:
            edge_ring_get_info(reader, &info);
        }
        for (int i = 0; i < n; i++) {
            volatile unsigned char *bytes = frames[i].data;
            if (frames[i].bytes > 64) {
                abort();
            }
            (void)bytes[0];
            (void)bytes[63];
        }
        edge_ring_release(reader, frames, n > 0 ? (uint32_t)n : 0);
    }
    return 0;
}
