/* What a push and a pop cost in one thread, and page faults after warm-up. One JSON document.
 * Push is begin + commit, pop is take + release; the frame's bytes are not touched, as with a
 * camera that writes the slot itself. */
#include <edgesdk/ring.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 200000
#define REPEATS 15

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void must(int code)
{
    if (code < 0) {
        fprintf(stderr, "ring_bench: %s\n", edge_strerror(code));
        exit(1);
    }
}

static void push(edge_ring_writer *writer)
{
    edge_frame frame;
    must(edge_ring_begin(writer, 1920 * 1080 * 3, &frame));
    must(edge_ring_commit(writer, &frame));
}

static void pop(edge_ring_reader *reader)
{
    edge_frame frame;
    must(edge_ring_take(reader, EDGE_TAKE_LATEST, &frame, 1));
    must(edge_ring_release(reader, &frame, 1));
}

/* The least of several runs, in ns a round: what the code costs without its neighbours. */
static double least(double best, double took)
{
    took /= ROUNDS;
    return best == 0 || took < best ? took : best;
}

int main(void)
{
    char name[64];
    snprintf(name, sizeof name, "bench.%d", (int)getpid());
    edge_ring_config config = {.slot_bytes = 1920 * 1080 * 3, .slots = 4};
    edge_ring_writer *writer;
    edge_ring_reader *reader;
    must(edge_ring_create(&writer, name, &config));

    double alone = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double begin = now();
        for (int i = 0; i < ROUNDS; i++) {
            push(writer);
        }
        alone = least(alone, now() - begin);
    }
    must(edge_ring_open(&reader, name, 0, NULL, 0));
    double watched = 0;
    double both = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double begin = now();
        for (int i = 0; i < ROUNDS; i++) {
            push(writer);
        }
        double middle = now();
        pop(reader);
        watched = least(watched, middle - begin);
        begin = now();
        for (int i = 0; i < ROUNDS; i++) {
            push(writer);
            pop(reader);
        }
        both = least(both, now() - begin);
    }
    /* Frames that are written and read, 1080p BGR: faults and time of the bytes themselves. */
    struct rusage before;
    struct rusage after;
    unsigned long sum = 0;
    double bytes = 0;
    for (int i = 0; i < 120; i++) {
        if (i == 20) {
            getrusage(RUSAGE_SELF, &before);
            bytes = now();
        }
        edge_frame frame;
        must(edge_ring_begin(writer, config.slot_bytes, &frame));
        memset(frame.data, i, config.slot_bytes);
        must(edge_ring_commit(writer, &frame));
        must(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1));
        for (size_t at = 0; at < frame.bytes; at += 4096) {
            sum += ((unsigned char *)frame.data)[at];
        }
        must(edge_ring_release(reader, &frame, 1));
    }
    bytes = (now() - bytes) / 100;
    getrusage(RUSAGE_SELF, &after);
    printf("{\"push_ns\": %.1f, \"push_with_reader_ns\": %.1f, \"pop_ns\": %.1f, "
           "\"frame_1080p_us\": %.1f, \"page_faults_in_100_frames\": %ld, \"checksum\": %lu}\n",
           alone, watched, both - watched, bytes / 1000, after.ru_minflt - before.ru_minflt, sum);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
    return 0;
}
