#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GREY = 96, BRIGHT = 235, NO_COLOUR = 128, SIDE = 48 };

static int request(int device, unsigned long what, void *argument)
{
    int result;
    do
        result = ioctl(device, what, argument);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int queue(int device, unsigned index)
{
    struct v4l2_buffer buffer = {
        .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP, .index = index};
    return request(device, VIDIOC_QBUF, &buffer);
}

static int start(struct capture *c)
{
    struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    format.fmt.pix.width = c->width;
    format.fmt.pix.height = c->height;
    format.fmt.pix.pixelformat = V4L2_PIX_FMT_NV12;
    struct v4l2_requestbuffers wanted = {
        .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP, .count = 4};
    int error = request(c->device, VIDIOC_S_FMT, &format);
    if (error == 0 && format.fmt.pix.pixelformat != V4L2_PIX_FMT_NV12)
        error = -EPROTONOSUPPORT;
    if (error == 0)
        error = request(c->device, VIDIOC_REQBUFS, &wanted);
    c->width = format.fmt.pix.width;
    c->height = format.fmt.pix.height;
    c->stride = format.fmt.pix.bytesperline;
    for (unsigned i = 0; error == 0 && i < wanted.count && i < 4; i++) {
        struct v4l2_buffer b = {
            .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP, .index = i};
        error = request(c->device, VIDIOC_QUERYBUF, &b);
        if (error < 0)
            break;
        void *start =
            mmap(NULL, b.length, PROT_READ | PROT_WRITE, MAP_SHARED, c->device, (off_t)b.m.offset);
        if (start == MAP_FAILED)
            return -errno;
        c->buffers[i].start = start;
        c->buffers[i].length = b.length;
        c->count++;
        error = queue(c->device, i);
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return error < 0 ? error : request(c->device, VIDIOC_STREAMON, &type);
}

int capture_open(struct capture *c, const char *path, unsigned width, unsigned height)
{
    *c = (struct capture){.width = width, .height = height, .stride = width, .device = -1};
    if (!path)
        return 0;
    c->device = open(path, O_RDWR | O_CLOEXEC);
    if (c->device < 0)
        return -errno;
    int error = start(c);
    if (error < 0)
        capture_close(c);
    return error;
}

/* A triangle wave, so that the square turns round at the edges. */
static unsigned wander(uint64_t step, unsigned range)
{
    unsigned at = (unsigned)(step % (2 * range));
    return at < range ? at : 2 * range - at;
}

static void draw(struct capture *c, uint8_t *to)
{
    memset(to, GREY, (size_t)c->stride * c->height);
    memset(to + (size_t)c->stride * c->height, NO_COLOUR, (size_t)c->stride * c->height / 2);
    unsigned x = wander(3 * c->drawn, c->width - SIDE);
    unsigned y = wander(2 * c->drawn, c->height - SIDE);
    for (unsigned row = y; row < y + SIDE; row++)
        memset(to + (size_t)row * c->stride + x, BRIGHT, SIDE);
    c->drawn++;
}

int capture_frame(struct capture *c, void *to)
{
    if (c->device < 0) {
        draw(c, to);
        return 0;
    }
    struct pollfd ready = {.fd = c->device, .events = POLLIN};
    if (poll(&ready, 1, 1000) <= 0)
        return -EAGAIN;
    struct v4l2_buffer b = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    int error = request(c->device, VIDIOC_DQBUF, &b);
    if (error < 0)
        return error;
    size_t bytes = (size_t)c->stride * c->height * 3 / 2;
    if (bytes > c->buffers[b.index].length)
        bytes = c->buffers[b.index].length;
    memcpy(to, c->buffers[b.index].start, bytes);
    return queue(c->device, b.index);
}

void capture_close(struct capture *c)
{
    for (unsigned i = 0; i < c->count; i++)
        munmap(c->buffers[i].start, c->buffers[i].length);
    if (c->device >= 0)
        close(c->device);
    *c = (struct capture){.device = -1};
}
