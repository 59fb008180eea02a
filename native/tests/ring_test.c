/* The ring's contract, call by call, in one process. */
#include "ring_frames.h"

#include <pthread.h>
#include <sys/stat.h>

static char ring_name[64];

static edge_ring_writer *make(uint64_t bytes, uint32_t slots)
{
    edge_ring_writer *writer;
    edge_ring_config config = {.slot_bytes = bytes, .slots = slots};
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    return writer;
}

static edge_ring_reader *attach(void)
{
    edge_ring_reader *reader;
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
    return reader;
}

static uint64_t publish_bytes(edge_ring_writer *writer, unsigned char value, uint64_t bytes)
{
    edge_frame frame;
    CHECK_EQ(edge_ring_begin(writer, bytes, &frame), 0);
    memset(frame.data, value, bytes);
    frame.width = value;
    CHECK_EQ(edge_ring_commit(writer, &frame), 0);
    return frame.sequence;
}

static uint64_t publish(edge_ring_writer *writer, unsigned char value)
{
    return publish_bytes(writer, value, 100);
}

static void frames_arrive_in_order_with_their_properties(void)
{
    edge_ring_writer *writer = make(100, 4);
    edge_ring_reader *reader = attach();
    edge_frame frames[4];
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 4), 0);
    CHECK_EQ(publish(writer, 7), 1);
    CHECK_EQ(publish(writer, 8), 2);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 4), 2);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(frames[i].sequence, i + 1);
        CHECK_EQ(frames[i].width, 7 + i);
        CHECK_EQ(frames[i].bytes, 100);
        CHECK_EQ(frames[i].qp, -1);
        CHECK_EQ(frames[i].epoch, 1);
        CHECK_EQ(((unsigned char *)frames[i].data)[99], 7 + i);
    }
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames + 2, 2), 0);
    CHECK_EQ(edge_ring_release(reader, frames, 2), 0);
    CHECK_EQ(edge_ring_release(reader, frames, 1), -EINVAL);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void a_slow_reader_loses_the_oldest_and_sees_the_gap(void)
{
    edge_ring_writer *writer = make(100, 4);
    edge_ring_reader *reader = attach();
    for (int i = 1; i <= 20; i++) {
        publish(writer, (unsigned char)i);
    }
    edge_frame frames[8];
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 2), 2);
    CHECK_EQ(frames[0].sequence, 17);
    CHECK_EQ(frames[1].sequence, 18);
    edge_ring_info info;
    CHECK_EQ(edge_ring_get_info(reader, &info), 0);
    CHECK_EQ(info.overruns, 16);
    CHECK_EQ(info.holding, 2);
    CHECK_EQ(info.writer, 1);
    CHECK_EQ(info.readers, 1);
    CHECK_EQ(edge_ring_release(reader, frames, 2), 0);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_LATEST, frames, 8), 1);
    CHECK_EQ(frames[0].sequence, 20);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void a_reader_that_opens_late_finds_what_is_there_and_misses_nothing_else(void)
{
    edge_ring_writer *writer = make(100, 4);
    for (int i = 1; i <= 9; i++) {
        publish(writer, (unsigned char)i);
    }
    edge_ring_reader *reader = attach();
    edge_frame frames[8];
    int n = edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 2);
    CHECK(n >= 1);
    CHECK_EQ(frames[n - 1].sequence, 9);
    edge_ring_info info;
    CHECK_EQ(edge_ring_get_info(reader, &info), 0);
    CHECK_EQ(info.overruns, 0);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void readers_that_never_release_do_not_starve_the_writer(void)
{
    edge_ring_writer *writer = make(100, 5);
    edge_ring_reader *hoarders[3] = {attach(), attach(), attach()};
    edge_frame frames[8];
    int held = 0;
    int refused = 0;
    for (int i = 1; i <= 1000; i++) {
        publish(writer, (unsigned char)i);
        int got = edge_ring_take(hoarders[i % 3], EDGE_TAKE_LATEST, frames, 1);
        held += got == 1;
        refused += got == -EDGE_E_HOLDS;
    }
    /* Five slots: the newest, the one being written, and three that readers may keep. */
    CHECK_EQ(held, 3);
    CHECK_EQ(refused, 997);
    CHECK_EQ(edge_ring_wait(hoarders[0], 0), 1);
    for (int i = 0; i < 3; i++) {
        edge_ring_reader_close(hoarders[i]);
    }
    edge_ring_writer_close(writer, 1);
}

static void one_reader_holds_no_more_than_its_cap(void)
{
    edge_ring_writer *writer;
    edge_ring_config config = {.slot_bytes = 100, .slots = 8, .max_holds = 2};
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    edge_ring_reader *reader = attach();
    edge_frame frames[8];
    for (int i = 0; i < 4; i++) {
        publish(writer, 1);
    }
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 8), 2);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames + 2, 6), -EDGE_E_HOLDS);
    CHECK_EQ(edge_ring_wait(reader, UINT64_MAX), -EDGE_E_HOLDS);
    CHECK_EQ(edge_ring_release(reader, frames, 1), 0);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 8), 1);
    CHECK_EQ(frames[0].sequence, 3);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void two_views_of_one_frame_are_released_in_either_order(void)
{
    edge_ring_writer *writer = make(100, 3);
    edge_ring_reader *reader = attach();
    edge_frame frame;
    for (int order = 0; order < 2; order++) {
        publish(writer, 42);
        CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_LATEST, &frame, 1), 1);
        edge_frame other = frame;
        CHECK_EQ(edge_ring_retain(reader, &other), 0);
        CHECK_EQ(edge_ring_release(reader, order ? &other : &frame, 1), 0);
        for (int i = 0; i < 10; i++) {
            publish(writer, 9);
        }
        CHECK_EQ(*(unsigned char *)frame.data, 42);
        CHECK_EQ(edge_ring_release(reader, order ? &frame : &other, 1), 0);
        CHECK_EQ(edge_ring_retain(reader, &frame), -EINVAL);
        for (int i = 0; i < 10; i++) {
            publish(writer, 9);
        }
        CHECK_EQ(*(unsigned char *)frame.data, 9);
    }
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void the_last_released_slot_is_written_next_but_never_the_newest(void)
{
    edge_ring_writer *writer = make(100, 8);
    edge_ring_reader *reader = attach();
    edge_frame frame;
    uint64_t used = 0;
    for (int i = 0; i < 100; i++) {
        publish(writer, 1);
        CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
        used |= UINT64_C(1) << frame.slot;
        edge_frame begun;
        CHECK_EQ(edge_ring_begin(writer, 100, &begun), 0);
        CHECK(begun.slot != frame.slot);
        CHECK_EQ(edge_ring_abort(writer, &begun), 0);
        CHECK_EQ(edge_ring_release(reader, &frame, 1), 0);
    }
    CHECK(__builtin_popcountll(used) <= 3);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void an_aborted_frame_uses_no_number(void)
{
    edge_ring_writer *writer = make(100, 4);
    edge_ring_reader *reader = attach();
    edge_frame frame;
    CHECK_EQ(edge_ring_begin(writer, 100, &frame), 0);
    edge_frame second;
    CHECK_EQ(edge_ring_begin(writer, 100, &second), -EBUSY);
    CHECK_EQ(edge_ring_abort(writer, &frame), 0);
    CHECK_EQ(edge_ring_abort(writer, &frame), -EINVAL);
    CHECK_EQ(edge_ring_commit(writer, &frame), -EINVAL);
    CHECK_EQ(publish(writer, 1), 1);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void several_frames_are_begun_for_a_driver_and_committed_in_any_order(void)
{
    edge_ring_writer *writer;
    edge_ring_config config = {.slot_bytes = 100, .slots = 6, .max_begun = 3};
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    edge_ring_reader *reader = attach();
    edge_frame begun[4];
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(edge_ring_begin(writer, 100, &begun[i]), 0);
        memset(begun[i].data, 10 + i, 100);
    }
    CHECK_EQ(edge_ring_begin(writer, 100, &begun[3]), -EBUSY);
    for (int i = 2; i >= 0; i--) {
        CHECK_EQ(edge_ring_commit(writer, &begun[i]), 0);
        CHECK_EQ(begun[i].sequence, 3 - i);
    }
    edge_frame frame;
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    CHECK_EQ(*(unsigned char *)frame.data, 12);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void a_larger_frame_moves_the_ring_and_readers_follow(void)
{
    edge_ring_writer *writer = make(100, 4);
    edge_ring_reader *reader = attach();
    edge_frame held;
    edge_frame frames[4];
    publish(writer, 1);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &held, 1), 1);
    publish(writer, 2);
    CHECK_EQ(publish_bytes(writer, 3, 50000), 3);
    /* What was unseen in the old segment is not lost, and what was held stays. */
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 4), 1);
    CHECK_EQ(frames[0].sequence, 2);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 4), -ESTALE);
    CHECK_EQ(edge_ring_wait(reader, UINT64_MAX), -ESTALE);
    CHECK_EQ(*(unsigned char *)held.data, 1);
    edge_ring_reader *next = attach();
    CHECK_EQ(edge_ring_skip(next, 2), 0);
    CHECK_EQ(edge_ring_take(next, EDGE_TAKE_NEXT, frames, 4), 1);
    CHECK_EQ(frames[0].sequence, 3);
    CHECK_EQ(frames[0].bytes, 50000);
    CHECK_EQ(frames[0].epoch, 1);
    /* A smaller one fits again. */
    CHECK_EQ(publish_bytes(writer, 4, 10), 4);
    CHECK_EQ(edge_ring_take(next, EDGE_TAKE_NEXT, frames, 4), 1);
    CHECK_EQ(frames[0].bytes, 10);
    edge_ring_reader_close(reader);
    edge_ring_reader_close(next);
    edge_ring_writer_close(writer, 1);
}

struct shape {
    uint32_t width;
    uint32_t height;
    uint32_t stride;
    uint32_t format;
    uint64_t bytes;
};

static void publish_shape(edge_ring_writer *writer, const struct shape *shape, uint64_t seed)
{
    edge_frame frame;
    CHECK_EQ(edge_ring_begin(writer, shape->bytes, &frame), 0);
    paint(frame.data, shape->bytes, seed);
    frame.width = shape->width;
    frame.height = shape->height;
    frame.stride = shape->stride;
    frame.format = shape->format;
    CHECK_EQ(edge_ring_commit(writer, &frame), 0);
}

static void check_shape(const edge_frame *frame, const struct shape *shape, uint64_t seed)
{
    CHECK_EQ(frame->width, shape->width);
    CHECK_EQ(frame->height, shape->height);
    CHECK_EQ(frame->stride, shape->stride);
    CHECK_EQ(frame->format, shape->format);
    CHECK_EQ(frame->bytes, shape->bytes);
    CHECK_EQ(*(uint64_t *)frame->data, seed);
    CHECK(painted(frame));
}

static void format_and_resolution_change_under_readers_that_stay_attached(void)
{
    const struct shape shapes[] = {
        {64, 48, 64, EDGE_FORMAT_NV12, 4608}, {64, 48, 192, EDGE_FORMAT_BGR, 9216},
        {32, 24, 32, EDGE_FORMAT_GRAY, 768},  {64, 48, 0, EDGE_FORMAT_JPEG, 1000},
        {48, 64, 48, EDGE_FORMAT_I420, 4608}, {64, 48, 192, EDGE_FORMAT_RGB, 9216},
    };
    const uint64_t n = sizeof shapes / sizeof *shapes;
    edge_ring_writer *writer = make(9216, 6);
    edge_ring_reader *slow = attach();
    edge_ring_reader *prompt = attach();
    edge_frame held;
    edge_frame frame;
    publish_shape(writer, &shapes[0], 1);
    CHECK_EQ(edge_ring_take(slow, EDGE_TAKE_NEXT, &held, 1), 1);
    for (uint64_t i = 0; i < 5 * n; i++) {
        publish_shape(writer, &shapes[i % n], 100 + i);
        CHECK_EQ(edge_ring_take(prompt, EDGE_TAKE_LATEST, &frame, 1), 1);
        check_shape(&frame, &shapes[i % n], 100 + i);
        CHECK_EQ(edge_ring_release(prompt, &frame, 1), 0);
    }
    /* Who held a frame of the first format through all of it still has that frame. */
    check_shape(&held, &shapes[0], 1);
    /* And the frames of several formats that are in the ring at once are told apart. */
    for (uint64_t sequence = 0; edge_ring_take(slow, EDGE_TAKE_NEXT, &frame, 1) == 1;) {
        CHECK(frame.sequence > sequence);
        sequence = frame.sequence;
        check_shape(&frame, &shapes[(sequence - 2) % n], 98 + sequence);
        CHECK_EQ(edge_ring_release(slow, &frame, 1), 0);
    }
    CHECK_EQ(frame.sequence, 5 * n + 1);
    edge_ring_reader_close(slow);
    edge_ring_reader_close(prompt);
    edge_ring_writer_close(writer, 1);
}

static void a_writer_that_closes_is_continued_by_the_next(void)
{
    edge_ring_writer *writer = make(100, 4);
    edge_ring_reader *reader = attach();
    edge_frame frame;
    publish(writer, 1);
    edge_ring_writer_close(writer, 0);
    edge_ring_info info;
    CHECK_EQ(edge_ring_get_info(reader, &info), 0);
    CHECK_EQ(info.writer, 0);
    writer = make(100, 4);
    CHECK_EQ(edge_ring_epoch(writer), 2);
    CHECK_EQ(publish(writer, 2), 2);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    CHECK_EQ(edge_ring_release(reader, &frame, 1), 0);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    CHECK_EQ(frame.epoch, 2);
    /* Of another shape: another segment, the same numbers. */
    edge_ring_writer_close(writer, 0);
    writer = make(9000, 6);
    CHECK_EQ(edge_ring_epoch(writer), 3);
    CHECK_EQ(publish(writer, 3), 3);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), -ESTALE);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void an_end_is_seen_after_the_last_frame(void)
{
    edge_ring_writer *writer = make(100, 4);
    edge_ring_reader *reader = attach();
    edge_frame frame;
    publish(writer, 1);
    CHECK_EQ(edge_ring_end(writer), 0);
    edge_ring_writer_close(writer, 1);
    CHECK_EQ(edge_ring_wait(reader, UINT64_MAX), 1);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), -EDGE_E_ENDED);
    CHECK_EQ(edge_ring_wait(reader, UINT64_MAX), -EDGE_E_ENDED);
    edge_ring_reader_close(reader);
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), -ENOENT);
}

static void *take_after_a_while(void *argument)
{
    edge_ring_reader *reader = argument;
    edge_frame frame;
    CHECK_EQ(edge_ring_wait(reader, UINT64_MAX), 1);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    CHECK_EQ(edge_ring_release(reader, &frame, 1), 0);
    return NULL;
}

static void a_writer_that_can_wait_loses_no_frame(void)
{
    edge_ring_writer *writer = make(100, 3);
    CHECK_EQ(edge_ring_wait_taken(writer, 0), 1);
    edge_ring_reader *reader = attach();
    publish(writer, 1);
    CHECK_EQ(edge_ring_wait_taken(writer, 1000000), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, take_after_a_while, reader), 0);
    CHECK_EQ(edge_ring_wait_taken(writer, UINT64_MAX), 1);
    pthread_join(thread, NULL);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void what_makes_no_sense_is_refused(void)
{
    edge_ring_writer *writer;
    edge_ring_reader *reader;
    edge_ring_config config = {.slot_bytes = 100};
    const char *names[] = {
        "",     "a/b", "A",
        "../x", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK_EQ(edge_ring_create(&writer, names[i], &config), -EDGE_E_NAME);
        CHECK_EQ(edge_ring_open(&reader, names[i], 0, NULL, 0), -EDGE_E_NAME);
    }
    edge_ring_config bad[] = {{.slot_bytes = 0},
                              {.slot_bytes = 1, .slots = 2},
                              {.slot_bytes = 1, .slots = 65},
                              {.slot_bytes = 1, .slots = 4, .max_begun = 3},
                              {.slot_bytes = 1, .mode = 0666}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(edge_ring_create(&writer, ring_name, &bad[i]), -EINVAL);
    }
    edge_ring_config huge = {.slot_bytes = UINT64_MAX};
    CHECK_EQ(edge_ring_create(&writer, ring_name, &huge), -ENOMEM);
    CHECK_EQ(edge_ring_create(NULL, ring_name, &config), -EINVAL);
    CHECK_EQ(edge_ring_create(&writer, NULL, &config), -EINVAL);
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), -ENOENT);
    CHECK_EQ(edge_ring_unlink(ring_name), -ENOENT);
    CHECK_EQ(edge_ring_take(NULL, EDGE_TAKE_NEXT, NULL, 1), -EINVAL);
    edge_ring_reader_close(NULL);
    edge_ring_writer_close(NULL, 1);
    writer = make(100, 4);
    edge_frame frame;
    CHECK_EQ(edge_ring_begin(writer, 50, &frame), 0);
    frame.bytes = 51;
    CHECK_EQ(edge_ring_commit(writer, &frame), -EINVAL);
    CHECK_EQ(edge_ring_unlink(ring_name), -EDGE_E_WRITER);
    edge_ring_writer_close(writer, 0);
    CHECK_EQ(edge_ring_unlink(ring_name), 0);
    CHECK(strcmp(edge_strerror(-EDGE_E_READERS), "all reader places are taken") == 0);
    CHECK(strcmp(edge_strerror(-ENOENT), "No such file or directory") == 0);
    CHECK(strcmp(edge_strerror(-99999), "unknown error") == 0);
    CHECK(strcmp(edge_strerror(5), "unknown error") == 0);
}

static void a_full_shared_memory_is_an_error_and_not_a_signal(void)
{
    edge_ring_writer *writer = make(100, 4);
    edge_frame frame;
    publish(writer, 1);
    int error = edge_ring_begin(writer, UINT64_C(1) << 42, &frame);
    CHECK(error == -ENOSPC || error == -ENOMEM || error == -EFBIG);
    CHECK_EQ(publish(writer, 2), 2);
    edge_ring_writer_close(writer, 1);
}

int main(void)
{
    unique_name(ring_name, "ring");
    frames_arrive_in_order_with_their_properties();
    a_slow_reader_loses_the_oldest_and_sees_the_gap();
    a_reader_that_opens_late_finds_what_is_there_and_misses_nothing_else();
    readers_that_never_release_do_not_starve_the_writer();
    one_reader_holds_no_more_than_its_cap();
    two_views_of_one_frame_are_released_in_either_order();
    the_last_released_slot_is_written_next_but_never_the_newest();
    an_aborted_frame_uses_no_number();
    several_frames_are_begun_for_a_driver_and_committed_in_any_order();
    a_larger_frame_moves_the_ring_and_readers_follow();
    format_and_resolution_change_under_readers_that_stay_attached();
    a_writer_that_closes_is_continued_by_the_next();
    an_end_is_seen_after_the_last_frame();
    a_writer_that_can_wait_loses_no_frame();
    what_makes_no_sense_is_refused();
    a_full_shared_memory_is_an_error_and_not_a_signal();
    return 0;
}
