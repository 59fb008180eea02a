/* The ring's contract, call by call, in one process. */
#include "check.h"

#include <edgesdk/ring.h>

#include <errno.h>

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

static uint64_t publish(edge_ring_writer *writer, unsigned char value)
{
    edge_frame frame;
    CHECK_EQ(edge_ring_begin(writer, 100, &frame), 0);
    memset(frame.data, value, 100);
    frame.width = value;
    CHECK_EQ(edge_ring_commit(writer, &frame), 0);
    return frame.sequence;
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
    int taken = edge_ring_take(reader, EDGE_TAKE_NEXT, frames, 2);
    CHECK_EQ(taken, 2);
    CHECK_EQ(frames[0].sequence, 17);
    CHECK_EQ(frames[1].sequence, 18);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, frames + 2, 1), -EDGE_E_HOLDS);
    CHECK_EQ(edge_ring_release(reader, frames, 2), 0);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_LATEST, frames, 8), 1);
    CHECK_EQ(frames[0].sequence, 20);
    edge_ring_info info;
    CHECK_EQ(edge_ring_info_of(reader, &info), 0);
    CHECK_EQ(info.overruns, 16);
    CHECK_EQ(info.holding, 1);
    CHECK_EQ(info.writer, 1);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

int main(void)
{
    unique_name(ring_name, "ring");
    frames_arrive_in_order_with_their_properties();
    a_slow_reader_loses_the_oldest_and_sees_the_gap();
    return 0;
}
