/* The scheduler's state, shared by sched*.c only. Everything refers to everything by index, so that
 * a copy of the arrays is a copy of the scheduler: an offer runs the policy on one (sched_offer.c).
 */
#ifndef EDGE_SCHED_STATE_H
#define EDGE_SCHED_STATE_H

#include <edgesdk/sched.h>

#include <errno.h>
#include <stdbool.h>

#define NONE UINT32_MAX
#define NEVER UINT64_MAX
#define TIME_MAX ((uint64_t)1 << 62)
#define ONE 65536 /* 1.0 in the fixed-point shares and debts */

enum job_state { JOB_FREE, JOB_QUEUED, JOB_RUNNING, JOB_DROPPED };
enum kind { LIVE, ARCHIVE, KINDS };

struct job {
    uint64_t caller;
    edge_ns deadline;
    uint32_t stream; /* NONE: claimed from a reservation */
    uint32_t next;   /* in its stream's queue, the drops, the free list, or the claimed jobs */
    uint8_t state, items, reason, kept;
};

/* Jobs of a stream, oldest first; the stream sits in its lane's heap while it has any. */
struct stream {
    edge_ns period, deadline;
    uint32_t app, model, depth, generation;
    uint32_t head, tail, length, running;
    uint32_t place; /* in the lane's heap, or NONE */
    int32_t debt;   /* jobs owed less jobs served, of ONE; see sched_share.c */
    bool used;
    uint32_t next_free;
};

/* The streams of one model and kind that have jobs: a 4-ary heap by (head's deadline, index). Its
 * array is a segment of sched->heaps, as long as the lane has streams. */
struct lane {
    uint32_t base, room, count, jobs;
};

struct cost {
    edge_ns mean, upper, spread;
    uint32_t samples;
};

struct model {
    struct lane lane[KINDS];
    uint32_t batch_max, devices;
    uint64_t item_ns; /* device time an item has taken lately, of whatever batch */
};

struct app {
    uint32_t weight;
    enum kind kind;
    uint32_t keep; /* share of its jobs that it is owed, of ONE */
    uint64_t asked_ns, served_ns; /* of this window of sched_share.c, decayed */
    uint64_t arrived, done, dropped, busy_ns;
};

struct device {
    uint64_t batch; /* 0: idle */
    edge_ns started, ends;
    uint32_t model, items, count;
    uint32_t jobs[EDGE_SCHED_BATCH_MAX];
    uint32_t plan; /* first promise of its sequence, or NONE */
    edge_ns latest; /* the device must be free by then, or a promise breaks; NEVER if none */
};

enum promise_state { PROMISE_FREE, PROMISE_RESERVED, PROMISE_ARRIVED };

/* A promised job in the sequence of its device. Members of one planned batch follow each other,
 * `joined` to the one before; the first has the batch's cost. */
struct promise {
    uint64_t serial;
    edge_ns release, deadline, cost;
    uint32_t model, job, next, device;
    uint8_t state, items;
    bool joined;
};

struct edge_sched {
    edge_sched_config config;
    void *owned;
    struct edge_sched *copy;
    struct job *jobs;
    struct stream *streams;
    uint32_t *heaps;
    struct model *models;
    struct cost *costs; /* [model][device][items - 1] */
    struct app *apps;
    struct device *devices;
    struct promise *promises;
    uint32_t job_free, jobs_used, stream_free, streams_used, streams_live, models_used, apps_used;
    uint32_t promise_free, promises_used, promises_live;
    uint32_t drop_first, drop_last;
    uint64_t collected; /* drops that the caller has taken */
    uint64_t batch_serial, promise_serial;
    uint64_t live_ns, archive_ns; /* lately, decayed: the archive's floor */
    edge_ns window_began;
    uint32_t window_arrived, window_lost;
    bool closed, overloaded;
    edge_sched_stats stats;
};

static inline edge_ns add_ns(edge_ns a, edge_ns b)
{
    return a > NEVER - b ? NEVER : a + b;
}

static inline struct cost *cost_of(const struct edge_sched *s, uint32_t model, uint32_t device,
                                   uint32_t items)
{
    return &s->costs[((size_t)model * s->config.devices + device) * EDGE_SCHED_BATCH_MAX + items -
                     1];
}

static inline bool runs_on(const struct edge_sched *s, uint32_t model, uint32_t device)
{
    return s->models[model].devices >> device & 1;
}

/* sched_cost.c */
void edge_sched_learn(struct edge_sched *s, uint32_t model, uint32_t device, uint32_t items,
                      edge_ns took);
void edge_sched_relax(struct edge_sched *s, uint32_t model);
edge_ns edge_sched_least(const struct edge_sched *s, uint32_t model, uint32_t items);

/* sched_queue.c */
void edge_sched_queue_drop(struct edge_sched *s, uint32_t job, uint32_t reason);
uint32_t edge_sched_queue_pop(struct edge_sched *s, uint32_t stream);
void edge_sched_job_free(struct edge_sched *s, uint32_t job);
uint32_t edge_sched_job_take(struct edge_sched *s);
void edge_sched_stream_rest(struct edge_sched *s, uint32_t stream);
void edge_sched_lane_grow(struct edge_sched *s, uint32_t model, enum kind kind);
void edge_sched_lane_shrink(struct edge_sched *s, uint32_t model, enum kind kind);

/* sched_share.c */
bool edge_sched_share_admits(struct edge_sched *s, struct stream *stream);
void edge_sched_share_arrived(struct edge_sched *s, struct stream *stream, uint32_t items,
                              edge_ns now);
void edge_sched_share_served(struct edge_sched *s, struct stream *stream);

/* sched_offer.c */
edge_ns edge_sched_plan_latest(const struct edge_sched *s, uint32_t device, edge_ns now);
void edge_sched_plan_clear(struct edge_sched *s);

#endif
