/* results.h - what the agent tells the firmware it saw: ring NAME.results of fixed-size records.
 *
 * The agent is the writer, anybody on the machine a reader (the camera's own app, in the loop in
 * which it publishes frames). Records are copied in and out, so nothing is held. Otherwise it is a
 * ring like any other (ring.h): 32 readers, a slow one loses the oldest, either side may die and
 * come back. One thread at a time for a handle; NULL is -EINVAL unless said.
 */
#ifndef EDGESDK_RESULTS_H
#define EDGESDK_RESULTS_H

#include <edgesdk/edgesdk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
#define EDGE_RESULT_ITEMS 64
#define EDGE_RESULT_TEXT 32

/* One thing seen. The box in pixels of the original frame. */
typedef struct edge_detection {
    float x1;
    float y1;
    float x2;
    float y2;
    float score;       /* 0 to 1 */
    int32_t label_id;  /* the model's own number */
    uint64_t track_id; /* 0: not tracked */
    char label[32];    /* UTF-8, ends with NUL, cut to fit */
} edge_detection;

enum edge_result_state {
    EDGE_RESULT_OK = 0,
    EDGE_RESULT_LATE = 1,
    EDGE_RESULT_DROPPED = 2,
    EDGE_RESULT_FAILED = 3
};

/* What became of one frame for one application. The same bytes on every machine. */
typedef struct edge_result {
    uint64_t frame_sequence;  /* the frame's in its ring */
    uint64_t capture_mono_ns; /* the frame's */
    uint32_t frame_epoch;     /* the frame's: which writer of the ring */
    uint32_t state;           /* enum edge_result_state */
    uint32_t count;           /* things seen */
    uint32_t items_count;     /* of which so many are in items: at most EDGE_RESULT_ITEMS */
    int64_t measure[2];       /* as the application says: e.g. people now, in total */
    char application[32];     /* UTF-8, ends with NUL, cut to fit */
    char camera[32];
    edge_detection items[64];
} edge_result;

typedef struct edge_results_writer edge_results_writer;
typedef struct edge_results_reader edge_results_reader;

/* Becomes the writer of NAME.results (`name` without the suffix, 55 characters at most) with room
 * for `records` (3 to 64, 0 means 32); mode 0 means 0600. Errors as edge_ring_create(). */
EDGE_API int edge_results_create(edge_results_writer **out, const char *name, uint32_t records,
                                 uint32_t mode);

/* Publishes a copy of *result and wakes who waits. Does not block. -EINVAL: items_count too large.
 * -EAGAIN: readers are just copying every free record, try again. */
EDGE_API int edge_results_publish(edge_results_writer *writer, const edge_result *result);

/* Closes; NULL is allowed. With `unlink` the name goes too. */
EDGE_API void edge_results_writer_close(edge_results_writer *writer, int unlink);

/* Opens NAME.results for reading. Errors as edge_ring_open(); -ENOENT: no agent writes it yet. */
EDGE_API int edge_results_open(edge_results_reader **out, const char *name, uint32_t flags);

/* Copies up to `n` unseen records, oldest first, into `results`. Does not block. Returns how many;
 * -EDGE_E_ENDED, -ESTALE (open again) only when none is left; -EBADMSG: a record makes no sense,
 * and is passed. */
EDGE_API int edge_results_take(edge_results_reader *reader, edge_result *results, uint32_t n);

/* Waits for a record: as edge_ring_wait(). */
EDGE_API int edge_results_wait(edge_results_reader *reader, edge_ns timeout);

/* Records lost so far: overwritten before they were taken. */
EDGE_API uint64_t edge_results_lost(edge_results_reader *reader);

/* Closes; NULL is allowed. */
EDGE_API void edge_results_reader_close(edge_results_reader *reader);
/* cffi: end */

#ifdef __cplusplus
}
#endif
#endif
