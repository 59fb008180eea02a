/* ring_frames.h - frames whose every byte tells their sequence, so that a torn one shows. */
#ifndef EDGE_RING_FRAMES_H
#define EDGE_RING_FRAMES_H

#include "check.h"

#include <edgesdk/ring.h>

#include <errno.h>

/* Fills `bytes` (a multiple of 8) with a stream made from a seed that it begins with. */
static inline void paint(void *data, uint64_t bytes, uint64_t seed)
{
    uint64_t *words = data;
    uint64_t state = seed | 1;
    words[0] = seed;
    for (uint64_t i = 1; i < bytes / 8; i++) {
        words[i] = next_random(&state);
    }
}

/* Whether the frame is one that paint() made, whole. */
static inline int painted(const edge_frame *frame)
{
    const uint64_t *words = frame->data;
    uint64_t state = words[0] | 1;
    for (uint64_t i = 1; i < frame->bytes / 8; i++) {
        if (words[i] != next_random(&state)) {
            return 0;
        }
    }
    return 1;
}

static inline void publish_painted(edge_ring_writer *writer, uint64_t bytes, uint64_t seed)
{
    edge_frame frame;
    int error;
    /* -EAGAIN is for a reader that lost the processor between its two looks. */
    uint64_t end = now_ns() + UINT64_C(200000000);
    do {
        error = edge_ring_begin(writer, bytes, &frame);
    } while (error == -EAGAIN && now_ns() < end);
    CHECK_EQ(error, 0);
    paint(frame.data, bytes, seed);
    frame.capture_mono_ns = seed;
    CHECK_EQ(edge_ring_commit(writer, &frame), 0);
}

#endif
