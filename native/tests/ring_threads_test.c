/* Writer and readers as threads on one mapping, where ThreadSanitizer sees every access; between
 * processes it is blind. Frames are small and slots few, so that they meet as often as can be. */
#include "../src/ring_writer.h"
#include "ring_frames.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#define READERS 2
#define BYTES 64

static char ring_name[64];
static _Atomic int stop;

struct party {
    edge_ring_reader *reader;
    enum edge_take mode;
    uint64_t frames;
    /* Frames whose last view another thread lets go. */
    edge_frame handed[4];
    _Atomic uint32_t given;
    _Atomic uint32_t freed;
    _Atomic uint32_t dropped; /* by the reader; relaxed, so that it orders nothing */
};

/* A reader whose mapping is the writer's. */
static edge_ring_reader *share(edge_ring_writer *writer, edge_bell *bell, uint32_t tag)
{
    struct ring_mapping mapping = writer->at;
    mapping.fd = open(writer->path, O_RDWR | O_CLOEXEC);
    CHECK(mapping.fd >= 0);
    edge_ring_reader *reader;
    CHECK_EQ(ring_reader_attach(&reader, &mapping, bell, tag), 0);
    return reader;
}

static void *write_frames(void *argument)
{
    edge_ring_writer *writer = argument;
    for (uint64_t seed = 1; !stop; seed++) {
        edge_frame frame;
        int error = edge_ring_begin(writer, BYTES, &frame);
        CHECK(error == 0 || error == -EAGAIN);
        if (error == 0) {
            paint(frame.data, BYTES, seed);
            frame.capture_mono_ns = seed;
            CHECK_EQ(edge_ring_commit(writer, &frame), 0);
        }
    }
    edge_ring_end(writer);
    return NULL;
}

static void *read_frames(void *argument)
{
    struct party *party = argument;
    uint64_t sequence = 0;
    for (;;) {
        edge_frame frame;
        int got = edge_ring_take(party->reader, party->mode, &frame, 1);
        if (got == -EDGE_E_ENDED) {
            break;
        }
        if (got == 0) {
            got = edge_ring_wait(party->reader, UINT64_C(1000000000));
            CHECK(got >= 0 || got == -EDGE_E_ENDED || got == -EDGE_E_HOLDS);
            continue;
        }
        CHECK(got == 1 || got == -EDGE_E_HOLDS);
        if (got != 1) {
            continue;
        }
        CHECK(painted(&frame));
        CHECK_EQ(*(uint64_t *)frame.data, frame.capture_mono_ns);
        CHECK(frame.sequence > sequence);
        sequence = frame.sequence;
        party->frames++;
        uint32_t given = party->given;
        int hand = party->frames % 7 == 0 && given - party->freed < 4;
        if (hand) {
            CHECK_EQ(edge_ring_retain(party->reader, &frame), 0);
            party->handed[given % 4] = frame;
            party->given = given + 1;
            /* Read once more: that this is over is known to the writer by our release alone. */
            CHECK(painted(&frame));
        }
        CHECK_EQ(edge_ring_release(party->reader, &frame, 1), 0);
        if (hand) {
            atomic_store_explicit(&party->dropped, given + 1, memory_order_relaxed);
            /* Meanwhile the other thread drops the last view and the writer takes the slot, with
             * nothing that this thread does next in between. */
            struct timespec moment = {.tv_nsec = 20000};
            nanosleep(&moment, NULL);
        }
    }
    return NULL;
}

static void *free_frames(void *argument)
{
    struct party *party = argument;
    while (!stop || party->freed != party->given) {
        uint32_t freed = party->freed;
        if (freed != party->given) {
            while (atomic_load_explicit(&party->dropped, memory_order_relaxed) == freed) {
                sched_yield();
            }
            CHECK(painted(&party->handed[freed % 4]));
            CHECK_EQ(edge_ring_release(party->reader, &party->handed[freed % 4], 1), 0);
            party->freed = freed + 1;
        }
    }
    return NULL;
}

/* Readers that come, each with a bell, while the writer writes. */
struct guests {
    edge_ring_writer *writer;
    edge_bell *bell;
    edge_ring_reader *reader[8];
};

static void *join_with_bells(void *argument)
{
    struct guests *guests = argument;
    for (uint32_t i = 0; i < 8; i++) {
        guests->reader[i] = share(guests->writer, guests->bell, i);
        uint32_t tags[8];
        int n = 0;
        /* The writer rings a bell that it finds, by the name and tag that we gave it. */
        for (uint64_t end = now_ns() + UINT64_C(5000000000); n == 0;) {
            CHECK(now_ns() < end);
            n = edge_bell_wait(guests->bell, UINT64_C(100000000), tags, 8);
        }
        CHECK(tags[n - 1] <= i);
    }
    return NULL;
}

static void bells_join_a_writer_that_is_busy(edge_ring_writer *writer)
{
    static struct guests guests;
    pthread_t threads[2];
    guests.writer = writer;
    CHECK_EQ(edge_bell_create(&guests.bell, ring_name, 0), 0);
    stop = 0;
    CHECK_EQ(pthread_create(&threads[0], NULL, write_frames, writer), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, join_with_bells, &guests), 0);
    pthread_join(threads[1], NULL);
    stop = 1;
    pthread_join(threads[0], NULL);
    edge_bell_close(guests.bell);
}

static void no_frame_is_torn(edge_ring_writer *writer, struct party *party, uint64_t milliseconds)
{
    pthread_t threads[1 + 2 * READERS];
    stop = 0;
    CHECK_EQ(pthread_create(&threads[0], NULL, write_frames, writer), 0);
    for (int i = 0; i < READERS; i++) {
        CHECK_EQ(pthread_create(&threads[1 + i], NULL, read_frames, &party[i]), 0);
        CHECK_EQ(pthread_create(&threads[1 + READERS + i], NULL, free_frames, &party[i]), 0);
    }
    struct timespec time = {.tv_sec = (time_t)(milliseconds / 1000),
                            .tv_nsec = (long)(milliseconds % 1000 * 1000000)};
    nanosleep(&time, NULL);
    stop = 1;
    for (int i = 0; i < 1 + 2 * READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < READERS; i++) {
        CHECK(party[i].frames > 0);
        printf("reader %d: %llu frames\n", i, (unsigned long long)party[i].frames);
    }
}

int main(void)
{
    unique_name(ring_name, "threads");
    edge_ring_config config = {.slot_bytes = BYTES, .slots = 4};
    for (int one_mapping = 0; one_mapping < 2; one_mapping++) {
        static edge_ring_writer *writer;
        static struct party party[READERS];
        memset(party, 0, sizeof party);
        party[1].mode = EDGE_TAKE_LATEST;
        CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
        for (int i = 0; i < READERS; i++) {
            if (one_mapping) {
                party[i].reader = share(writer, NULL, 0);
            } else {
                CHECK_EQ(edge_ring_open(&party[i].reader, ring_name, 0, NULL, 0), 0);
            }
        }
        no_frame_is_torn(writer, party, stress_milliseconds() / 2);
        if (one_mapping) {
            bells_join_a_writer_that_is_busy(writer);
            /* The readers' mapping is the writer's, so it is closed once and they are left. */
            CHECK_EQ(unlink(writer->path), 0);
        } else {
            for (int i = 0; i < READERS; i++) {
                edge_ring_reader_close(party[i].reader);
            }
            edge_ring_writer_close(writer, 1);
        }
    }
    return 0;
}
