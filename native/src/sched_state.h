/* The scheduler's state, shared by sched*.c only. Everything refers to everything by index, so that
 * a copy of the arrays is a copy of the scheduler: an offer runs the policy on one (sched_offer.c).
 */
#ifndef EDGE_SCHED_STATE_H
#define EDGE_SCHED_STATE_H

#include <edgesdk/sched.h>

#include <errno.h>
#include <stdbool.h>

#define MODELS_MAX 64
#define NONE UINT32_MAX
#define NEVER UINT64_MAX
#define TIME_MAX ((uint64_t)1 << 62)
#define COST_MAX ((uint64_t)1 << 40) /* 18 minutes: squares of it fit in no product */
#define ONE 65536                    /* 1.0 in the fixed-point shares and debts */

_Static_assert(sizeof(((edge_sched_batch *)0)->jobs) / sizeof(uint64_t) == EDGE_SCHED_BATCH_MAX,
               "cffi's parser wants a number there");

enum job_state { JOB_FREE, JOB_QUEUED, JOB_RUNNING, JOB_DROPPED };
enum kind { LIVE, ARCHIVE, KINDS };

struct job {
    uint64_t caller;
    edge_ns deadline;
    uint32_t stream; /* NONE: of a reservation */
    uint32_t next;   /* in its stream's queue, the drops, or the free list */
    uint8_t state, items, reason;
    bool promised;   /* its data came in time */
    bool met, would; /* of a copy that ran ahead: ended in time; did so without the offer */
};

/* Jobs of a stream, oldest first; the stream sits in its lane's heap while it has any. */
struct stream {
    edge_ns period, deadline;
    uint32_t app, model, depth, generation;
    uint32_t head, tail, length, running;
    uint32_t place; /* in the lane's heap, or NONE */
    int32_t debt;   /* jobs owed less jobs served, of ONE; see sched_share.c */
    int32_t hunger; /* jobs owed since the last one served, of ONE */
    bool used;
    uint32_t next_free;
};

/* The streams of one model and kind that have jobs: a 4-ary heap by (head's deadline, index). Its
 * array is a segment of sched->heaps, as long as the lane has streams. */
struct lane {
    uint32_t base, room, count, items;
};

struct cost {
    edge_ns first, mean, upper, spread; /* first: the caller's estimate */
    uint32_t samples;
};

struct model {
    struct lane lane[KINDS];
    uint32_t batch_max, devices; /* no devices: a free place */
    uint64_t item_ns;            /* device time an item has taken lately, of whatever batch */
};

struct app {
    uint32_t weight; /* 0: a free place */
    enum kind kind;
    uint32_t boost;               /* what its jobs are worth under overload, of ONE */
    uint32_t keep;                /* share of its jobs that it is owed, of ONE */
    uint64_t asked_ns, served_ns; /* of this window of sched_share.c, decayed */
    uint64_t arrived, done, dropped, busy_ns;
};

struct device {
    uint64_t batch; /* 0: idle */
    edge_ns started, ends;
    edge_ns planned; /* what the batch may take if it is a planned one of planned_items */
    uint32_t planned_items;
    uint32_t model, items, count;
    uint32_t jobs[EDGE_SCHED_BATCH_MAX];
    uint32_t first, last; /* of its sequence of promises, or NONE */
};

enum promise_state { PROMISE_FREE, PROMISE_RESERVED, PROMISE_ARRIVED, PROMISE_TAKEN };

/* A promised job in the sequence of its device (sched_plan.c). The members of one planned batch
 * follow each other, each but the first `joined` to the one before; the first has its cost. */
struct promise {
    uint64_t serial;
    edge_ns release, deadline;
    edge_ns cost;  /* of the planned batch, by the estimate of when it was planned */
    edge_ns alone; /* likewise, of this job */
    uint32_t model, job, next, prev, device;
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
    uint32_t promise_free, promises_used, jobs_held;
    uint32_t drop_first, drop_last;
    uint64_t batch_serial, promise_serial;
    uint64_t live_ns, archive_ns; /* lately, decayed: the archive's floor */
    uint64_t price;
    edge_ns window_began;
    uint32_t window_arrived, window_lost;
    bool closed, overloaded, ahead; /* ahead: a copy that an offer runs */
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

static inline bool edge_sched_has_model(const struct edge_sched *s, uint32_t model)
{
    return model < s->models_used && s->models[model].devices;
}

static inline bool edge_sched_has_app(const struct edge_sched *s, uint32_t app)
{
    return app < s->apps_used && s->apps[app].weight;
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
void edge_sched_share_served(struct edge_sched *s, struct stream *stream, uint32_t items);

/* sched_overload.c */
bool edge_sched_pick_worthiest(struct edge_sched *s, uint32_t device, edge_ns now, edge_ns limit);

/* sched_search.c */
bool edge_sched_search(struct edge_sched *s, uint32_t device, edge_ns now, edge_ns limit);

/* sched_pick.c */
void edge_sched_start(struct edge_sched *s, uint32_t device, uint32_t job);

/* sched_plan.c */
edge_ns edge_sched_plan_latest(const struct edge_sched *s, uint32_t device, edge_ns now);
uint32_t edge_sched_plan_insert(struct edge_sched *s, uint32_t promise, edge_ns now);
void edge_sched_plan_remove(struct edge_sched *s, uint32_t promise);
bool edge_sched_plan_start(struct edge_sched *s, uint32_t device, edge_ns now, edge_ns before);
void edge_sched_plan_drop_hopeless(struct edge_sched *s, edge_ns now);
edge_ns edge_sched_plan_wait(const struct edge_sched *s, uint32_t device, edge_ns now);

/* sched_offer.c */
void edge_sched_promises_clear(struct edge_sched *s);

#endif
