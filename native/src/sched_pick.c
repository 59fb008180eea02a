#include "sched_state.h"

/* Drops the jobs at the top of a lane that no device could end in time, even if it were free. */
static void drop_hopeless(struct edge_sched *s, uint32_t model, struct lane *lane, edge_ns now)
{
    while (lane->count) {
        uint32_t top = s->heaps[lane->base];
        const struct job *job = &s->jobs[s->streams[top].head];
        if (add_ns(now, edge_sched_least(s, model, job->items)) <= job->deadline)
            break;
        edge_sched_queue_drop(s, edge_sched_queue_pop(s, top), EDGE_DROP_DEADLINE);
    }
}

static const struct job *top_job(const struct edge_sched *s, const struct lane *lane)
{
    return &s->jobs[s->streams[s->heaps[lane->base]].head];
}

/* The model whose most urgent job is the most urgent of those that this device can end in time and
 * by `limit`; NONE if there is none. */
static uint32_t most_urgent(struct edge_sched *s, uint32_t device, enum kind kind, edge_ns now,
                            edge_ns limit)
{
    uint32_t best = NONE;
    edge_ns best_deadline = 0;
    for (uint32_t m = 0; m < s->models_used; m++) {
        struct lane *lane = &s->models[m].lane[kind];
        if (!lane->count || !runs_on(s, m, device))
            continue;
        drop_hopeless(s, m, lane, now);
        if (!lane->count)
            continue;
        const struct job *job = top_job(s, lane);
        edge_ns ends = add_ns(now, cost_of(s, m, device, job->items)->upper);
        if (ends > job->deadline || ends > limit)
            continue;
        if (best == NONE || job->deadline < best_deadline) {
            best = m;
            best_deadline = job->deadline;
        }
    }
    return best;
}

/* Whether running full batches in order of their most urgent jobs misses none of these. */
static bool feasible(const struct edge_sched *s, uint32_t device, edge_ns now)
{
    uint32_t order[MODELS_MAX], n = 0;
    edge_ns due[MODELS_MAX], takes[MODELS_MAX];
    for (uint32_t m = 0; m < s->models_used; m++) {
        const struct lane *lane = &s->models[m].lane[LIVE];
        if (!lane->count || !runs_on(s, m, device))
            continue;
        uint32_t size = lane->items < s->models[m].batch_max ? lane->items : s->models[m].batch_max;
        due[n] = top_job(s, lane)->deadline;
        takes[n] = cost_of(s, m, device, size)->upper;
        uint32_t at = n++;
        for (; at && due[order[at - 1]] > due[n - 1]; at--)
            order[at] = order[at - 1];
        order[at] = n - 1;
    }
    for (uint32_t i = 0; i < n; i++) {
        now = add_ns(now, takes[order[i]]);
        if (now > due[order[i]])
            return false;
    }
    return true;
}

void edge_sched_start(struct edge_sched *s, uint32_t index, uint32_t job)
{
    struct device *device = &s->devices[index];
    struct job *j = &s->jobs[job];
    j->state = JOB_RUNNING;
    s->stats.queued--;
    s->stats.running++;
    if (j->stream != NONE) {
        s->streams[j->stream].running++;
        edge_sched_share_served(s, &s->streams[j->stream], j->items);
    }
    device->jobs[device->count++] = job;
    device->items += j->items;
}

/* Takes jobs in order of deadline while the batch, so grown, ends by the earliest deadline in it,
 * by limit, and within longest. */
static void fill(struct edge_sched *s, uint32_t index, uint32_t model, enum kind kind, edge_ns now,
                 edge_ns limit, edge_ns longest)
{
    struct device *device = &s->devices[index];
    struct lane *lane = &s->models[model].lane[kind];
    edge_ns earliest = limit;
    for (uint32_t i = 0; i < device->count; i++)
        if (s->jobs[device->jobs[i]].deadline < earliest)
            earliest = s->jobs[device->jobs[i]].deadline;
    while (lane->count) {
        uint32_t top = s->heaps[lane->base];
        const struct job *job = &s->jobs[s->streams[top].head];
        uint32_t items = device->items + job->items;
        if (items > s->models[model].batch_max)
            break;
        edge_ns takes = cost_of(s, model, index, items)->upper;
        if (job->deadline < earliest)
            earliest = job->deadline;
        if (add_ns(now, takes) > earliest || (device->count && takes > longest))
            break;
        edge_sched_start(s, index, edge_sched_queue_pop(s, top));
    }
    device->model = model;
}

static bool choose_archive(struct edge_sched *s, uint32_t index, edge_ns now, edge_ns limit)
{
    uint32_t model = s->ahead ? NONE : most_urgent(s, index, ARCHIVE, now, limit);
    if (model == NONE)
        return false;
    fill(s, index, model, ARCHIVE, now, limit, s->config.archive_batch_ns);
    return true;
}

/* In order of deadline among promised and other jobs while all can be kept; promised ones first
 * if not. */
static bool choose_live(struct edge_sched *s, uint32_t index, edge_ns now, edge_ns limit)
{
    struct device *device = &s->devices[index];
    uint32_t model = most_urgent(s, index, LIVE, now, limit);
    bool all = model != NONE && feasible(s, index, now);
    edge_ns before = all ? top_job(s, &s->models[model].lane[LIVE])->deadline : NEVER;
    if (s->promises_used && edge_sched_plan_start(s, index, now, before)) {
        fill(s, index, device->model, LIVE, now, edge_sched_plan_latest(s, index, now), NEVER);
        return true;
    }
    if (model == NONE)
        return false;
    if (!s->overloaded && edge_sched_search(s, index, now, limit))
        return true;
    if (!all && edge_sched_pick_worthiest(s, index, now, limit))
        return true;
    fill(s, index, model, LIVE, now, limit, NEVER);
    return true;
}

/* The archive's floor: one part in a hundred of the device time of live work. */
static bool archive_is_due(const struct edge_sched *s)
{
    return s->archive_ns * 99 < s->live_ns;
}

static bool choose(struct edge_sched *s, uint32_t index, edge_ns now)
{
    if (s->promises_used)
        edge_sched_plan_drop_hopeless(s, now);
    edge_ns limit = edge_sched_plan_latest(s, index, now);
    if (archive_is_due(s) && choose_archive(s, index, now, limit))
        return true;
    return choose_live(s, index, now, limit) || choose_archive(s, index, now, limit);
}

int edge_sched_next(struct edge_sched *s, uint32_t index, edge_sched_batch *batch, edge_ns now)
{
    if (!s || !batch || index >= s->config.devices)
        return -EINVAL;
    if (now > TIME_MAX)
        return -EOVERFLOW;
    struct device *device = &s->devices[index];
    if (device->batch)
        return -EBUSY;
    device->count = device->items = device->planned_items = 0;
    batch->count = batch->items = 0;
    batch->wait_until = 0;
    if (!s->ahead)
        edge_sched_expire(s, now);
    if (!choose(s, index, now)) {
        batch->wait_until = s->stats.queued ? edge_sched_plan_wait(s, index, now) : 0;
        return 0;
    }
    device->batch = ++s->batch_serial << 3 | index;
    device->started = now;
    device->ends = add_ns(now, device->items == device->planned_items
                                   ? device->planned
                                   : cost_of(s, device->model, index, device->items)->upper);
    batch->id = device->batch;
    batch->model.id = device->model;
    batch->items = device->items;
    batch->count = device->count;
    batch->device = index;
    batch->ends = device->ends;
    for (uint32_t i = 0; i < device->count; i++)
        batch->jobs[i] = s->jobs[device->jobs[i]].caller;
    return (int)device->count;
}

int edge_sched_done(struct edge_sched *s, uint64_t batch, edge_ns took, int ok, edge_ns now)
{
    if (!s || !batch)
        return -EINVAL;
    uint32_t index = batch & 7;
    if (index >= s->config.devices || s->devices[index].batch != batch)
        return -ENOENT;
    struct device *device = &s->devices[index];
    device->batch = 0;
    if (ok)
        edge_sched_learn(s, device->model, index, device->items, took);
    s->stats.batches++;
    s->stats.items += device->items;
    s->stats.busy_ns += took;
    for (uint32_t i = 0; i < device->count; i++) {
        struct job *j = &s->jobs[device->jobs[i]];
        s->stats.running--;
        s->stats.done++;
        s->stats.late += now > j->deadline;
        s->stats.broken += j->promised && now > j->deadline;
        s->stats.failed += !ok;
        if (j->stream != NONE) {
            struct stream *stream = &s->streams[j->stream];
            struct app *app = &s->apps[stream->app];
            uint64_t part = took / device->items * j->items;
            app->done++;
            app->busy_ns += part;
            *(app->kind == ARCHIVE ? &s->archive_ns : &s->live_ns) += part;
            stream->running--;
            edge_sched_stream_rest(s, j->stream);
        }
        edge_sched_job_free(s, device->jobs[i]);
    }
    if (s->live_ns + s->archive_ns > 4000000000) {
        s->live_ns /= 2;
        s->archive_ns /= 2;
    }
    return 0;
}
