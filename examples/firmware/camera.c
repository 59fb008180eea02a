/* A camera's firmware app: publishes NV12 frames in a ring, and hears from the agent what was seen.
 *
 *   camera NAME [-d /dev/video0] [-s 640x480] [-r FPS] [-n FRAMES]
 *
 * Without a device it draws a bright square that wanders over grey. The frame is drawn, or read
 * from the driver's buffer, straight into the ring's slot: from there to the agent's model nobody
 * copies it. Results come back in the same loop, in ring NAME.results. Either side may be stopped,
 * killed or upgraded while the other runs.
 */
#include "capture.h"

#include <edgesdk/results.h>
#include <edgesdk/ring.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "camera: %s: %s\n", what, edge_strerror(error));
    return 1;
}

/* Prints what the agent said since the last call; opens the ring of results when there is one. */
static void hear(edge_results_reader **results, const char *name)
{
    edge_result said[8];
    if (!*results && edge_results_open(results, name, 0) < 0) {
        *results = NULL; /* no agent yet */
        return;
    }
    int n = edge_results_take(*results, said, 8);
    for (int i = 0; i < n; i++) {
        const edge_result *r = &said[i];
        printf("result app=%s frame=%" PRIu64 " epoch=%u state=%u count=%u", r->application,
               r->frame_sequence, r->frame_epoch, r->state, r->count);
        for (uint32_t k = 0; k < r->items_count; k++) {
            const edge_detection *d = &r->items[k];
            printf(" %s=%.0f,%.0f,%.0f,%.0f@%.2f", d->label, d->x1, d->y1, d->x2, d->y2, d->score);
        }
        printf("\n");
    }
    if (n < 0) { /* the agent ended or was replaced: look for the next one */
        edge_results_reader_close(*results);
        *results = NULL;
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *device = NULL;
    unsigned width = 640, height = 480, rate = 25;
    uint64_t frames = UINT64_MAX;
    int option;
    while ((option = getopt(argc, argv, "d:s:r:n:")) != -1) {
        if (option == 'd')
            device = optarg;
        else if (option == 's' && sscanf(optarg, "%ux%u", &width, &height) == 2)
            continue;
        else if (option == 'r')
            rate = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'n')
            frames = strtoull(optarg, NULL, 10);
        else
            optind = argc;
    }
    if (optind + 1 != argc || rate == 0 || width % 2 || height % 2 || width < 64 || height < 64) {
        fprintf(stderr, "usage: camera NAME [-d DEVICE] [-s WxH, even] [-r FPS] [-n FRAMES]\n");
        return 2;
    }
    const char *name = argv[optind];
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    struct capture capture;
    int error = capture_open(&capture, device, width, height);
    if (error < 0)
        return fail(device, error);
    uint64_t bytes = (uint64_t)capture.stride * capture.height * 3 / 2;
    edge_ring_config config = {.slot_bytes = bytes, .slots = 6};
    edge_ring_writer *ring;
    error = edge_ring_create(&ring, name, &config);
    if (error < 0) {
        capture_close(&capture);
        return fail(name, error);
    }
    edge_results_reader *results = NULL;
    uint64_t due = now_ns(CLOCK_MONOTONIC);
    while (!stopped && frames > 0) {
        edge_frame frame;
        error = edge_ring_begin(ring, bytes, &frame);
        if (error == -EAGAIN) /* readers are just taking every free slot */
            continue;
        if (error < 0)
            break;
        if (capture_frame(&capture, frame.data) < 0) {
            edge_ring_abort(ring, &frame);
        } else {
            frame.capture_mono_ns = now_ns(CLOCK_MONOTONIC);
            frame.capture_utc_ns = now_ns(CLOCK_REALTIME);
            frame.width = capture.width;
            frame.height = capture.height;
            frame.stride = capture.stride;
            frame.format = EDGE_FORMAT_NV12;
            frame.colour_space = EDGE_COLOUR_BT601;
            frame.colour_range = EDGE_RANGE_LIMITED;
            frame.frame_rate_mhz = rate * 1000;
            error = edge_ring_commit(ring, &frame);
            if (error < 0)
                break;
            frames--;
        }
        hear(&results, name);
        due += 1000000000u / rate;
        struct timespec t = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    }
    hear(&results, name);
    edge_results_reader_close(results);
    edge_ring_end(ring);
    edge_ring_writer_close(ring, 0); /* the next camera app, an upgrade say, continues the ring */
    capture_close(&capture);
    return error < 0 ? fail(name, error) : 0;
}
