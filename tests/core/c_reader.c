/* A reader written against the public headers alone: prints every frame of ring NAME until its
 * writer ends it, following the ring when it moves. The sum is of the bytes, as unsigned. */
#include <edgesdk/ring.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static int open_after(edge_ring_reader **reader, const char *name, uint64_t seen)
{
    int error;
    do {
        error = edge_ring_open(reader, name, 0, NULL, 0);
    } while (error == -ENOENT && seen != 0); /* the name is just being moved */
    return error != 0 ? error : edge_ring_skip(*reader, seen);
}

static void show(const edge_frame *frame)
{
    const unsigned char *bytes = frame->data;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < frame->bytes; i++) {
        sum += bytes[i];
    }
    printf("%" PRIu64 " %u %ux%u %u %u %" PRIu64 " %" PRIu64 "\n", frame->sequence, frame->epoch,
           frame->width, frame->height, frame->stride, frame->format, frame->bytes, sum);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    edge_ring_reader *reader;
    uint64_t seen = 0;
    int error = argc == 2 ? open_after(&reader, argv[1], seen) : -EINVAL;
    if (error != 0) {
        fprintf(stderr, "reader: %s\n", edge_strerror(error));
        return 2;
    }
    printf("ready\n");
    fflush(stdout);
    while (error == 0) {
        edge_frame frame;
        error = edge_ring_wait(reader, UINT64_MAX);
        if (error == 1 && edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1) == 1) {
            show(&frame);
            seen = frame.sequence;
            edge_ring_release(reader, &frame, 1);
        }
        if (error == -ESTALE) {
            edge_ring_reader_close(reader);
            error = open_after(&reader, argv[1], seen);
        }
        error = error > 0 ? 0 : error;
    }
    edge_ring_reader_close(reader);
    return error == -EDGE_E_ENDED ? 0 : 1;
}
