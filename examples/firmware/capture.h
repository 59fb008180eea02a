/* Where the frames come from: a V4L2 device, or a drawn scene. All sizes in pixels and bytes. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stddef.h>
#include <stdint.h>

struct capture {
    unsigned width, height, stride;
    int device; /* -1: the drawn scene */
    unsigned count;
    struct {
        void *start;
        size_t length;
    } buffers[4];
    uint64_t drawn; /* frames drawn so far */
};

/* Opens `path` as an NV12 V4L2 device, or the scene if it is NULL. 0 or -errno. The driver may
 * change the size: read it back from `capture`. */
int capture_open(struct capture *capture, const char *path, unsigned width, unsigned height);

/* Puts the next frame, NV12 of capture->stride bytes a row, at `to`. Waits for the driver. 0 or
 * -errno (-EAGAIN: none within a second). */
int capture_frame(struct capture *capture, void *to);

void capture_close(struct capture *capture);

#endif
