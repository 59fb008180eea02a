/* ring.h - frames in shared memory: one writer, up to 32 readers, in any processes of one machine.
 *
 * A ring has a name and a few slots. The writer begins a slot, fills it in place and commits it;
 * readers take frames and release them; between commit and release nobody copies a byte, and no
 * slot that a reader holds is written. The writer never waits for a reader: a reader that is slow
 * loses the oldest frames, and sees it as a gap in the sequence numbers.
 *
 * Who dies gives back what it had: the kernel drops the locks by which writer and readers are
 * known, the next begin() or take() frees their slots, the next writer goes on with the next
 * sequence number and a higher epoch. A frame larger than the slots moves the ring to a new segment
 * under the same name; readers get the frames that are left, then -ESTALE, and open the name again.
 *
 * Threads: one thread at a time for a writer, and for open, take, wait and close of a reader;
 * edge_ring_release() and edge_ring_retain() from any thread. Signals: take, release, retain and
 * abort may be called in a handler (of the one thread). Handles do not survive fork(): every call
 * in the child is -EDGE_E_FORKED, and while such a child lives without exec() or closing them the
 * parent's locks live; spawn workers instead. Pointers must not be NULL unless said: -EINVAL.
 *
 * Trust: the users who may write the segment (its mode; 0600 by default) trust one another. They
 * can truncate it, which ends its users by SIGBUS. Names: 1 to 63 characters of [a-z0-9._-].
 */
#ifndef EDGESDK_RING_H
#define EDGESDK_RING_H

#include <edgesdk/bell.h>
#include <edgesdk/edgesdk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
#define EDGE_RING_SLOTS_MIN 3
#define EDGE_RING_SLOTS_MAX 64
#define EDGE_RING_READERS_MAX 32

/* What the bytes of a frame are. Planes follow one another; NV12 and I420 have height * 3 / 2 rows
 * of `stride` bytes (I420: chroma rows of stride / 2). JPEG has no stride. */
enum edge_format {
    EDGE_FORMAT_BGR = 1,
    EDGE_FORMAT_RGB = 2,
    EDGE_FORMAT_GRAY = 3,
    EDGE_FORMAT_NV12 = 4,
    EDGE_FORMAT_I420 = 5,
    EDGE_FORMAT_JPEG = 6
};
enum edge_colour_space {
    EDGE_COLOUR_UNKNOWN = 0,
    EDGE_COLOUR_BT601 = 1,
    EDGE_COLOUR_BT709 = 2,
    EDGE_COLOUR_BT2020 = 3,
    EDGE_COLOUR_SRGB = 4
};
enum edge_colour_range { EDGE_RANGE_UNKNOWN = 0, EDGE_RANGE_LIMITED = 1, EDGE_RANGE_FULL = 2 };

/* A frame, as begin() and take() fill it. `data` lies in the segment: writable after begin() until
 * commit() or abort(), read-only after take() until release(). The writer sets everything from
 * `bytes` to `qp` before commit(); what it leaves at 0 (qp: -1) is unknown. */
typedef struct edge_frame {
    void *data;
    uint64_t bytes;           /* of data; at most what begin() was asked for */
    uint64_t capture_mono_ns; /* CLOCK_MONOTONIC */
    uint64_t capture_utc_ns;  /* since 1970 */
    uint32_t width;           /* pixels */
    uint32_t height;          /* pixels */
    uint32_t stride;          /* bytes a row of the first plane */
    uint32_t format;          /* enum edge_format */
    uint32_t colour_space;    /* enum edge_colour_space */
    uint32_t colour_range;    /* enum edge_colour_range */
    uint32_t frame_rate_mhz;  /* frames in 1,000 s */
    int32_t qp;               /* mean quantisation parameter of the codec, -1 unknown */
    uint64_t sequence;        /* from 1; set by commit() */
    uint32_t epoch;           /* which writer of this ring, from 1; set by commit() */
    uint32_t slot;            /* the library's; do not change */
} edge_frame;

/* All zero but slot_bytes means the defaults. */
typedef struct edge_ring_config {
    uint64_t slot_bytes; /* of the largest frame expected; a larger one later moves the ring */
    uint32_t slots;      /* 3 to 64; 0 means 4. Rule: fps x seconds a frame is held + 2 */
    uint32_t max_holds;  /* frames one reader may hold at a time; 0 means slots - 1 - max_begun */
    uint32_t max_begun;  /* frames begun at a time (buffers queued to a camera driver); 0 means 1 */
    uint32_t mode;       /* permissions, of 0660; 0 means 0600 */
} edge_ring_config;

typedef struct edge_ring_writer edge_ring_writer;
typedef struct edge_ring_reader edge_ring_reader;

/* Becomes the writer of ring `name`; *out is the caller's to close. A segment that a former writer
 * left and that fits `config` is continued (readers stay attached) and gets its mode; one that does
 * not fit is replaced, and sequence numbers go on; one that is broken is replaced and numbers begin
 * at 1.
 * Allocates memory and prefaults the segment (slots x slot_bytes of /dev/shm): milliseconds.
 * -EDGE_E_WRITER another writer lives; -EDGE_E_NAME; -EDGE_E_OWNER the name belongs to another
 * user; -EINVAL config; -ENOSPC /dev/shm is full; -ENOMEM; -EMFILE. */
EDGE_API int edge_ring_create(edge_ring_writer **out, const char *name,
                              const edge_ring_config *config);

/* Begins a frame of at most `bytes`: *frame gets data, its bytes and qp = -1, all else 0. Does not
 * block; a frame larger than the slots makes a new segment (milliseconds; -EBUSY while another
 * frame is begun, -ENOSPC, -ENOMEM). -EAGAIN: readers are just taking every free slot, try again;
 * -EBUSY: max_begun frames are begun. */
EDGE_API int edge_ring_begin(edge_ring_writer *writer, uint64_t bytes, edge_frame *frame);

/* Publishes a begun frame, sets frame->sequence and frame->epoch, and wakes who waits; data is not
 * the caller's any more. A system call only if somebody sleeps, or a bell is new. -EINVAL: no begun
 * frame, or `bytes` larger than was begun. */
EDGE_API int edge_ring_commit(edge_ring_writer *writer, edge_frame *frame);

/* Gives a begun frame back unpublished; no sequence number is used. -EINVAL: not begun. */
EDGE_API int edge_ring_abort(edge_ring_writer *writer, edge_frame *frame);

/* Which writer of this ring this is, from 1. */
EDGE_API uint32_t edge_ring_epoch(const edge_ring_writer *writer);

/* Says that no frame will follow: readers that have seen all get -EDGE_E_ENDED. A later commit, or
 * writer, takes it back. */
EDGE_API int edge_ring_end(edge_ring_writer *writer);

/* Waits until every living reader has taken or passed the newest frame, at most `timeout`: 1 if so
 * (also with no reader; one that has yet to follow to a new segment is none), 0 if not. For sources
 * that can wait, such as a file. Blocks. */
EDGE_API int edge_ring_wait_taken(edge_ring_writer *writer, edge_ns timeout);

/* Closes a writer; NULL is allowed. With `unlink` the name goes too, and readers get what is left,
 * then -EDGE_E_ENDED or -ESTALE; without, the next writer continues the segment. Begun frames are
 * given up. */
EDGE_API void edge_ring_writer_close(edge_ring_writer *writer, int unlink);

/* Removes a ring whose writer is dead, whatever its state; its readers get -ESTALE. -EDGE_E_WRITER:
 * it lives; -ENOENT: no ring; -EDGE_E_OWNER. */
EDGE_API int edge_ring_unlink(const char *name);

#define EDGE_RING_ANY_USER 1 /* open: also segments that another user owns; see Trust above */

/* Opens ring `name` for reading; *out is the caller's to close. The first take() begins with the
 * oldest frame still there. With a bell (may be NULL) every commit also rings it, with `tag`, below
 * EDGE_BELL_TAGS; the bell must outlive the reader. -ENOENT: no such ring (yet); -EDGE_E_READERS:
 * 32 readers live; -EDGE_E_MAGIC, _VERSION, _HEADER, _TRUNCATED: not a ring that this library can
 * trust; -EDGE_E_OWNER, -EACCES: another user's; -EDGE_E_NAME; -ENOMEM; -EMFILE. */
EDGE_API int edge_ring_open(edge_ring_reader **out, const char *name, uint32_t flags,
                            edge_bell *bell, uint32_t tag);

enum edge_take {
    EDGE_TAKE_NEXT = 0,  /* unseen frames in order, oldest first */
    EDGE_TAKE_LATEST = 1 /* only the newest, passing what lies between */
};

/* Takes up to `n` unseen frames and holds each until release(). Does not block. Returns how many; 0
 * if there is none yet. Only when nothing is left: -EDGE_E_ENDED the writer said it ended; -ESTALE
 * the ring moved, open it again. -EDGE_E_HOLDS: frames are there, but this reader (max_holds) or
 * all together hold as many as leave the writer its slots. -EBADMSG: a descriptor makes no sense,
 * and its frame is passed. */
EDGE_API int edge_ring_take(edge_ring_reader *reader, enum edge_take mode, edge_frame *frames,
                            uint32_t n);

/* Passes all frames up to `sequence`: a reader that opened the ring again goes on where it was.
 * Backwards is ignored. */
EDGE_API int edge_ring_skip(edge_ring_reader *reader, uint64_t sequence);

/* One more hold on a frame that is held, for a second view of it in this process. -EINVAL: it is
 * not held. */
EDGE_API int edge_ring_retain(edge_ring_reader *reader, const edge_frame *frame);

/* Gives back one hold of each of `n` frames; the slot is free when the last is gone. Any thread,
 * never blocks. -EINVAL: a frame was not held (released twice?); the others are released. */
EDGE_API int edge_ring_release(edge_ring_reader *reader, const edge_frame *frames, uint32_t n);

/* Waits for an unseen frame, at most `timeout` (UINT64_MAX: for ever): 1 there is one, 0 time is
 * up or a signal came. At once: -EDGE_E_ENDED and -ESTALE as take(); -EDGE_E_HOLDS there is one,
 * and this reader holds max_holds already. Blocks; no bell needed. */
EDGE_API int edge_ring_wait(edge_ring_reader *reader, edge_ns timeout);

typedef struct edge_ring_info {
    uint64_t sequence;   /* of the newest frame, 0 if there was none */
    uint64_t seen;       /* what this reader took or passed last */
    uint64_t overruns;   /* frames lost in EDGE_TAKE_NEXT: overwritten before they were taken */
    uint64_t slot_bytes; /* bytes a slot holds */
    uint32_t slots;
    uint32_t max_holds;
    uint32_t holding; /* slots this reader holds */
    uint32_t readers; /* places taken, the dead that were not found yet included */
    uint32_t epoch;   /* writers this ring has had */
    uint32_t ended;   /* 1: the writer said that no frame will follow */
    uint32_t stale;   /* 1: the ring moved or its name is gone */
    uint32_t writer;  /* 1: a writer lives */
} edge_ring_info;

/* How the ring stands. One system call (whether the writer lives). */
EDGE_API int edge_ring_get_info(edge_ring_reader *reader, edge_ring_info *info);

/* Closes a reader; NULL is allowed. Frames still held are given back, their data is unmapped. */
EDGE_API void edge_ring_reader_close(edge_ring_reader *reader);
/* cffi: end */

#ifdef __cplusplus
}
#endif
#endif
