/* sched.h - what runs next on this node's accelerators.
 *
 * A policy, not an executor: it has no clock, thread, lock or file of its own. `now` is a parameter
 * of every call that needs it (any clock that never runs backwards; edgesdk uses CLOCK_MONOTONIC),
 * so production, tests and the simulator run the same code, and equal calls give equal answers on
 * every machine: integer arithmetic only.
 *
 * A job is a group of 1 to EDGE_SCHED_BATCH_MAX items (frames or crops) of one model. It is
 * submitted to a stream, waits in the stream's queue, and ends exactly once: in a batch that is
 * reported by edge_sched_done(), or in edge_sched_drops(). One batch runs on a device at a time;
 * nothing preempts it.
 *
 * The policy: earliest deadline first, never starting what cannot finish by its deadline; batches
 * grow while all of them still meet their deadlines. Where not everything can be served, each
 * application gets its weighted max-min share and each stream an even part of that; archive
 * applications take what is left. Other nodes may be promised a place (edge_sched_reserve()).
 *
 * Threads: none of the functions may run concurrently on one scheduler; the caller has the lock.
 * Signals: not from a handler. Nothing blocks. After create nothing allocates. NULL is allowed
 * only where said. Unless said otherwise a return value is 0 or more, or one of -EINVAL (an
 * argument is out of range or a handle names nothing), -ENOSPC (the pool is full).
 */
#ifndef EDGESDK_SCHED_H
#define EDGESDK_SCHED_H

#include <edgesdk/edgesdk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
#define EDGE_SCHED_BATCH_MAX 32
#define EDGE_SCHED_DEVICES_MAX 8

#define EDGE_DROP_DEADLINE 1 /* could not end in time */
#define EDGE_DROP_QUEUE 2    /* a newer job of its stream took its place */
#define EDGE_DROP_THINNED 3  /* overload: its stream has had its share */
#define EDGE_DROP_SHUTDOWN 4 /* its stream was removed, or edge_sched_shutdown() */

typedef struct edge_sched edge_sched;

/* Handles. Ids of removed streams and ended reservations are not found again for a long time. */
typedef struct {
    uint32_t id;
} edge_sched_app;
typedef struct {
    uint32_t id;
} edge_sched_model;
typedef struct {
    uint32_t id;
} edge_sched_stream;
typedef struct {
    uint64_t id;
} edge_sched_reservation;

/* Sizes of the pools; 0 takes the default in brackets. */
typedef struct {
    uint32_t devices;         /* [1] at most EDGE_SCHED_DEVICES_MAX */
    uint32_t apps;            /* [64] */
    uint32_t models;          /* [32] at most 64 */
    uint32_t streams;         /* [1024] */
    uint32_t jobs;            /* [8192] queued, running, and dropped but not yet collected */
    uint32_t reservations;    /* [256] */
    edge_ns archive_batch_ns; /* [10 ms] longest archive batch of more than one job */
    edge_ns grace_ns;         /* [100 ms] after its promised arrival a reservation expires */
} edge_sched_config;

typedef struct {
    uint32_t weight;  /* share under overload, relative to other applications: 1 to 1000000 */
    uint32_t archive; /* not 0: takes what live applications leave, and a floor of 1 % */
} edge_sched_app_spec;

typedef struct {
    edge_sched_app app;
    edge_sched_model model;
    edge_ns period;   /* expected time between jobs; 0 if unknown */
    edge_ns deadline; /* time from a job's arrival to its deadline, for the admission test */
    uint32_t depth;   /* queued jobs; 1 = only the latest. A newer job pushes out the oldest */
} edge_sched_stream_spec;

typedef struct {
    edge_sched_stream stream;
    uint32_t items;   /* 1 to the model's largest batch */
    uint64_t job;     /* the caller's; handed back, never looked at */
    edge_ns deadline; /* an instant of the clock of `now` */
} edge_sched_job;

typedef struct {
    uint64_t id; /* for edge_sched_done() */
    edge_sched_model model;
    uint32_t items;
    uint32_t count; /* of jobs[] */
    uint32_t device;
    edge_ns ends;       /* when it will have ended, by the upper estimate of its cost */
    edge_ns wait_until; /* if count is 0: when to ask again unless something happens; 0 = idle */
    uint64_t jobs[32];  /* EDGE_SCHED_BATCH_MAX */
} edge_sched_batch;

typedef struct {
    uint64_t job;
    uint32_t reason; /* EDGE_DROP_* */
} edge_sched_drop;

typedef struct {
    uint64_t submitted; /* = done + dropped + queued + running, after every call */
    uint64_t done;      /* of these, late and failed */
    uint64_t late;
    uint64_t failed;
    uint64_t dropped[5]; /* by EDGE_DROP_*; [0] is their sum */
    uint64_t queued;
    uint64_t running;
    uint64_t batches;
    uint64_t items;
    uint64_t busy_ns; /* device time of ended batches */
    uint64_t reserved;
    uint64_t reservations; /* ever made; of these, cancelled, expired, claimed */
    uint64_t cancelled;
    uint64_t expired;
    uint64_t claimed;
    uint64_t broken; /* promised jobs that arrived in time and were late or dropped */
} edge_sched_stats;

typedef struct {
    uint64_t arrived; /* jobs; their ends below */
    uint64_t done;
    uint64_t dropped;
    uint64_t busy_ns;  /* device time its items took of their batches */
    uint32_t keep_ppm; /* part of its jobs that it is owed now; 1000000 = all */
} edge_sched_app_stats;

/* Bytes that a scheduler of this configuration needs; 0 if it is out of range. */
EDGE_API size_t edge_sched_size(const edge_sched_config *config);

/* A scheduler in the caller's memory: edge_sched_size() bytes, aligned to 8, that live as long as
 * it does. Allocates nothing; needs no destroy. *sched points into memory. */
EDGE_API int edge_sched_init(void *memory, size_t size, const edge_sched_config *config,
                             edge_sched **sched);

/* The same in one allocation of its own (-ENOMEM); NULL config = all defaults. Freed by
 * edge_sched_destroy(), which takes NULL. Jobs that are still in it are forgotten. */
EDGE_API int edge_sched_create(const edge_sched_config *config, edge_sched **sched);
EDGE_API void edge_sched_destroy(edge_sched *sched);

/* Applications and models stay until they are removed. */
EDGE_API int edge_sched_add_app(edge_sched *sched, const edge_sched_app_spec *spec,
                                edge_sched_app *app);

/* A model, its first estimate of the cost of a batch of 1, 2, .. batch_max items (not 0, not
 * falling), and the devices it may run on (bit n = device n; 0 = all). Costs are learnt from
 * edge_sched_done(), for each device. */
EDGE_API int edge_sched_add_model(edge_sched *sched, const edge_ns *cost, uint32_t batch_max,
                                  uint32_t devices, edge_sched_model *model);

/* A stream of jobs. -EDQUOT if no job of it could be sure of its deadline even on an idle node:
 * the deadline is shorter than one item takes plus the one-item batch of another model that may
 * be in its way. *needed, if not NULL, is then the shortest deadline that would do. */
EDGE_API int edge_sched_add_stream(edge_sched *sched, const edge_sched_stream_spec *spec,
                                   edge_sched_stream *stream, edge_ns *needed);

/* Queued jobs are dropped (shutdown); running ones end as usual. */
EDGE_API int edge_sched_remove_stream(edge_sched *sched, edge_sched_stream stream);

/* Of an application without streams, a model without streams or reservations, none of which runs;
 * -EBUSY otherwise. Its handle may then be given to another. */
EDGE_API int edge_sched_remove_app(edge_sched *sched, edge_sched_app app);
EDGE_API int edge_sched_remove_model(edge_sched *sched, edge_sched_model model);

/* Another share for an application, from here on. */
EDGE_API int edge_sched_set_weight(edge_sched *sched, edge_sched_app app, uint32_t weight);

/* Takes all n jobs, or none and says why: -EINVAL, -ENOSPC (collect the drops), -EOVERFLOW (now
 * is beyond 2^62). Returns how many of them are queued; the others are in edge_sched_drops(), as
 * may be older ones that they replaced. */
EDGE_API int edge_sched_submit(edge_sched *sched, const edge_sched_job *jobs, uint32_t n,
                               edge_ns now);

/* The batch that this device runs now: returns its number of jobs, 0 if there is none (see
 * wait_until), -EBUSY if the device's last batch is not done. */
EDGE_API int edge_sched_next(edge_sched *sched, uint32_t device, edge_sched_batch *batch,
                             edge_ns now);

/* A batch ended after `took` of device time; it is what costs are learnt from if ok is not 0.
 * -ENOENT if no such batch runs. */
EDGE_API int edge_sched_done(edge_sched *sched, uint64_t batch, edge_ns took, int ok, edge_ns now);

/* Moves up to n drops to the caller, oldest first; returns how many. */
EDGE_API int edge_sched_drops(edge_sched *sched, edge_sched_drop *drops, uint32_t n);

/* Drops everything that is queued and cancels all reservations; later submits are dropped at
 * once. Running batches end as usual. */
EDGE_API int edge_sched_shutdown(edge_sched *sched);

/* The offers of other nodes: would a job of this model, whose data come at `release` or before,
 * end by `deadline`, with every promise kept and no queued job missing a deadline that it would
 * meet otherwise? By running the policy on a copy of the state, with upper estimates of cost and
 * no further arrivals. Changes nothing. 0 and *ends (may be NULL), or -EAGAIN: no. */
EDGE_API int edge_sched_quote(edge_sched *sched, edge_sched_model model, uint32_t items,
                              edge_ns release, edge_ns deadline, edge_ns now, edge_ns *ends);

/* The same, and a promise: if its data are claimed by `release` and no batch takes longer than
 * its upper estimate, the job ends by `deadline`, whatever else is called. */
EDGE_API int edge_sched_reserve(edge_sched *sched, edge_sched_model model, uint32_t items,
                                edge_ns release, edge_ns deadline, edge_ns now,
                                edge_sched_reservation *reservation, edge_ns *ends);

/* The data of a reservation came: from here it is a submitted job. Returns 1 if it is queued. If
 * it comes after its release it must pass the test again; 0 if it did not (it is then in
 * edge_sched_drops(), reason deadline). -ENOENT if it expired or was cancelled: nothing taken. */
EDGE_API int edge_sched_claim(edge_sched *sched, edge_sched_reservation reservation, uint64_t job,
                              edge_ns now);

/* -ENOENT if it was claimed, expired or cancelled already. */
EDGE_API int edge_sched_cancel(edge_sched *sched, edge_sched_reservation reservation);

/* Forgets reservations whose data did not come by release + grace_ns; edge_sched_next(), _quote()
 * and _reserve() do so too. Returns how many. */
EDGE_API int edge_sched_expire(edge_sched *sched, edge_ns now);

/* The mean cost of a batch, and its upper estimate in *upper if that is not NULL; 0 if there is no
 * such batch. */
EDGE_API edge_ns edge_sched_cost(const edge_sched *sched, edge_sched_model model, uint32_t device,
                                 uint32_t items, edge_ns *upper);

EDGE_API int edge_sched_get_stats(const edge_sched *sched, edge_sched_stats *stats);
EDGE_API int edge_sched_get_app_stats(const edge_sched *sched, edge_sched_app app,
                                      edge_sched_app_stats *stats);
/* cffi: end */

#ifdef __cplusplus
}
#endif
#endif
