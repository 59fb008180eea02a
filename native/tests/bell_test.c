/* One waiter for many rings. */
#include "ring_frames.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define RINGS 300

static char bell_name[64];
static const edge_ring_config config = {.slot_bytes = 64, .slots = 3};

static void ring_name(char name[64], int i)
{
    snprintf(name, 64, "%.40s.%d", bell_name, i);
}

static edge_bell *make_bell(void)
{
    edge_bell *bell;
    CHECK_EQ(edge_bell_create(&bell, bell_name, 0), 0);
    return bell;
}

static void a_ring_before_the_wait_is_not_lost(void)
{
    edge_bell *bell = make_bell();
    uint32_t tags[8];
    CHECK_EQ(edge_bell_wait(bell, 0, tags, 8), 0);
    CHECK_EQ(edge_bell_ring(bell, 4095), 0);
    CHECK_EQ(edge_bell_ring(bell, 63), 0);
    CHECK_EQ(edge_bell_ring(bell, 63), 0);
    CHECK_EQ(edge_bell_wait(bell, UINT64_MAX, tags, 8), 2);
    CHECK_EQ(tags[0], 63);
    CHECK_EQ(tags[1], 4095);
    edge_bell_close(bell);
}

static void tags_without_room_come_with_the_next_wait(void)
{
    edge_bell *bell = make_bell();
    uint32_t tags[4];
    uint32_t seen = 0;
    for (uint32_t tag = 0; tag < 200; tag += 20) {
        CHECK_EQ(edge_bell_ring(bell, tag), 0);
    }
    for (int n; (n = edge_bell_wait(bell, 0, tags, 4)) != 0;) {
        for (int i = 0; i < n; i++) {
            CHECK_EQ(tags[i], seen++ * 20);
        }
    }
    CHECK_EQ(seen, 10);
    edge_bell_close(bell);
}

static void a_ring_without_a_tag_ends_the_wait(void)
{
    edge_bell *bell = make_bell();
    uint32_t tag;
    CHECK_EQ(edge_bell_ring(bell, EDGE_BELL_TAGS), 0);
    CHECK_EQ(edge_bell_wait(bell, UINT64_MAX, &tag, 1), 0);
    edge_bell_close(bell);
}

static void a_bell_has_one_owner_and_a_dead_ones_is_replaced(void)
{
    edge_bell *bell = make_bell();
    edge_bell *second;
    CHECK_EQ(edge_bell_create(&second, bell_name, 0), -EBUSY);
    edge_bell_close(bell);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        make_bell();
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    edge_bell_close(make_bell());
    CHECK_EQ(edge_bell_create(&bell, "Not a name", 0), -EDGE_E_NAME);
    CHECK_EQ(edge_bell_create(&bell, bell_name, 0666), -EINVAL);
}

/* A process that writes all the rings, each `frames` times, in an order of its own. */
static void write_all(int frames)
{
    static edge_ring_writer *writer[RINGS];
    char name[64];
    for (int i = 0; i < RINGS; i++) {
        ring_name(name, i);
        CHECK_EQ(edge_ring_create(&writer[i], name, &config), 0);
    }
    uint64_t random = 4711;
    for (int left = frames * RINGS; left > 0; left--) {
        int i = (int)(next_random(&random) % RINGS);
        publish_painted(writer[i], 64, (uint64_t)left);
        if (left % 64 == 0) {
            CHECK_EQ(edge_ring_wait_taken(writer[i], UINT64_C(10000000000)), 1);
        }
    }
    for (int i = 0; i < RINGS; i++) {
        CHECK_EQ(edge_ring_wait_taken(writer[i], UINT64_C(10000000000)), 1);
        CHECK_EQ(edge_ring_end(writer[i]), 0);
        edge_ring_writer_close(writer[i], 1);
    }
}

static void one_thread_serves_hundreds_of_rings(int frames)
{
    edge_bell *bell = make_bell();
    static edge_ring_reader *reader[RINGS];
    char name[64];
    for (int i = 0; i < RINGS; i++) {
        edge_ring_writer *writer;
        ring_name(name, i);
        CHECK_EQ(edge_ring_create(&writer, name, &config), 0);
        CHECK_EQ(edge_ring_open(&reader[i], name, 0, bell, (uint32_t)i), 0);
        edge_ring_writer_close(writer, 0);
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        write_all(frames);
        _exit(0);
    }
    /* A ring may tell twice that it ended: once for the end, once for the name that went. */
    static int over[RINGS];
    uint64_t seen = 0;
    uint64_t lost = 0;
    uint64_t give_up = now_ns() + UINT64_C(60000000000);
    for (int ended = 0; ended < RINGS;) {
        uint32_t tags[64];
        int n = edge_bell_wait(bell, UINT64_C(1000000000), tags, 64);
        for (int k = 0; k < n; k++) {
            edge_frame frame;
            int got;
            while ((got = edge_ring_take(reader[tags[k]], EDGE_TAKE_NEXT, &frame, 1)) == 1) {
                CHECK(painted(&frame));
                CHECK_EQ(edge_ring_release(reader[tags[k]], &frame, 1), 0);
                seen++;
            }
            if (got == -EDGE_E_ENDED && !over[tags[k]]) {
                over[tags[k]] = 1;
                edge_ring_info info;
                CHECK_EQ(edge_ring_get_info(reader[tags[k]], &info), 0);
                lost += info.overruns;
                ended++;
            }
        }
        CHECK(now_ns() < give_up);
    }
    CHECK_EQ(seen + lost, frames * RINGS);
    printf("%d rings, one waiter: %llu frames, %llu overwritten first\n", RINGS,
           (unsigned long long)seen, (unsigned long long)lost);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < RINGS; i++) {
        edge_ring_reader_close(reader[i]);
    }
    edge_bell_close(bell);
}

struct ping {
    edge_bell *bell;
    int rings;
};

static void *ring_often(void *argument)
{
    const struct ping *ping = argument;
    for (int i = 0; i < ping->rings; i++) {
        edge_bell_ring(ping->bell, (uint32_t)i % 3);
    }
    edge_bell_ring(ping->bell, 100);
    return NULL;
}

static void no_wake_is_lost_between_look_and_sleep(int rings)
{
    struct ping ping = {.bell = make_bell(), .rings = rings};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, ring_often, &ping), 0);
    uint32_t tag = 0;
    while (tag != 100) {
        /* A lost wake sleeps for ever, and the test's timeout says so. */
        edge_bell_wait(ping.bell, UINT64_MAX, &tag, 1);
    }
    pthread_join(thread, NULL);
    edge_bell_close(ping.bell);
}

struct news {
    edge_bell *bell;
    int value[2]; /* plain memory, for ThreadSanitizer to watch */
    _Atomic int taken[2];
    _Atomic int stop;
};

static void pass_time(int *turns)
{
    if (++*turns % 4096 == 0) {
        sched_yield();
    }
}

static void *tell_news(void *argument)
{
    struct news *news = argument;
    for (int i = 1, turns = 0; !news->stop; i++) {
        int tag = i % 2;
        while (!news->taken[tag] && !news->stop) {
            pass_time(&turns);
        }
        if (!news->stop) {
            news->taken[tag] = 0;
            news->value[tag] = i;
            edge_bell_ring(news->bell, (uint32_t)tag);
        }
    }
    return NULL;
}

static void who_takes_a_tag_sees_what_was_done_before_it_rang(uint64_t milliseconds)
{
    struct news news = {.bell = make_bell(), .taken = {1, 1}};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, tell_news, &news), 0);
    uint64_t end = now_ns() + milliseconds * 1000000;
    int turns = 0;
    int taken = 0;
    for (int i = 0; i % 1024 != 0 || now_ns() < end; i++) {
        uint32_t tag;
        /* Without a wait, so that a tag is often taken before its ring is complete. */
        if (edge_bell_wait(news.bell, 0, &tag, 1) == 1) {
            CHECK(news.value[tag] % 2 == (int)tag);
            news.taken[tag] = 1;
            taken++;
        } else {
            pass_time(&turns);
        }
    }
    CHECK(taken > 0);
    news.stop = 1;
    pthread_join(thread, NULL);
    edge_bell_close(news.bell);
}

int main(void)
{
    unique_name(bell_name, "bell");
    a_ring_before_the_wait_is_not_lost();
    tags_without_room_come_with_the_next_wait();
    a_ring_without_a_tag_ends_the_wait();
    a_bell_has_one_owner_and_a_dead_ones_is_replaced();
    one_thread_serves_hundreds_of_rings(soak_count(1000, 50));
    who_takes_a_tag_sees_what_was_done_before_it_rang(stress_milliseconds() / 2);
    no_wake_is_lost_between_look_and_sleep(soak_count(5000000, 100));
    return 0;
}
