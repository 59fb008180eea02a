#include "sched_state.h"

/* With few jobs in the queue, which of them can be met is searched for: depth first over (model,
 * size of batch), within a budget of steps. The first path is that of earliest deadline first with
 * late drop, so the answer is never worse than that; with the jobs of a small node it is exact. */

#define JOBS_MAX 12
#define STEPS_MAX 1000

struct known {
    edge_ns due;
    uint32_t job, stream, model, items;
};

struct choice {
    uint32_t model, set; /* of jobs */
};

struct search {
    const struct edge_sched *s;
    uint32_t device, count, steps;
    struct known jobs[JOBS_MAX]; /* by deadline */
    struct choice choice;        /* the first of the best path */
    uint32_t met;                /* by the best path */
};

static uint32_t bits(uint32_t mask)
{
    uint32_t n = 0;
    for (; mask; mask &= mask - 1)
        n++;
    return n;
}

static bool collect(const struct edge_sched *s, uint32_t device, struct search *x)
{
    for (uint32_t m = 0; m < s->models_used; m++) {
        const struct lane *lane = &s->models[m].lane[LIVE];
        if (!runs_on(s, m, device))
            continue;
        for (uint32_t i = 0; i < lane->count; i++) {
            uint32_t stream = s->heaps[lane->base + i];
            edge_ns due = 0;
            for (uint32_t job = s->streams[stream].head; job != NONE; job = s->jobs[job].next) {
                /* Jobs of a stream run in their order: one that expires before an older one would
                 * take that with it. */
                if (x->count == JOBS_MAX || s->jobs[job].deadline < due)
                    return false;
                due = s->jobs[job].deadline;
                uint32_t at = x->count++;
                for (; at && x->jobs[at - 1].due > due; at--)
                    x->jobs[at] = x->jobs[at - 1];
                x->jobs[at] = (struct known){due, job, stream, m, s->jobs[job].items};
            }
        }
    }
    return true;
}

/* The most urgent jobs of `model` that last until `ends`, of `items` items in all; 0 if there is no
 * such set. Jobs of a stream run in their order: where one is too large, none behind it is taken.
 */
static uint32_t members(const struct search *x, uint32_t left, uint32_t model, uint32_t items,
                        edge_ns ends)
{
    uint32_t set = 0, sum = 0;
    for (uint32_t i = 0; i < x->count && sum < items; i++) {
        if (!(left >> i & 1) || x->jobs[i].model != model || x->jobs[i].due < ends)
            continue;
        if (sum + x->jobs[i].items <= items) {
            set |= 1u << i;
            sum += x->jobs[i].items;
            continue;
        }
        for (uint32_t later = i + 1; later < x->count; later++)
            if (x->jobs[later].stream == x->jobs[i].stream)
                left &= ~(1u << later);
    }
    return sum == items ? set : 0;
}

static void descend(struct search *x, uint32_t left, uint32_t met, edge_ns now, edge_ns limit,
                    struct choice first)
{
    const struct edge_sched *s = x->s;
    for (uint32_t i = 0; i < x->count; i++) {
        const struct known *job = &x->jobs[i];
        if (add_ns(now, cost_of(s, job->model, x->device, job->items)->upper) > job->due)
            left &= ~(1u << i);
    }
    if (met > x->met) {
        x->met = met;
        x->choice = first;
    }
    if (!left || met + bits(left) <= x->met || x->steps == STEPS_MAX)
        return;
    x->steps++;
    for (uint32_t seen = 0, head = 0; head < x->count; head++) {
        const struct known *job = &x->jobs[head];
        if (!(left >> head & 1) || seen >> head & 1)
            continue;
        uint32_t total = 0;
        for (uint32_t i = head; i < x->count; i++)
            if (left >> i & 1 && x->jobs[i].model == job->model) {
                seen |= 1u << i;
                total += x->jobs[i].items;
            }
        uint32_t most = s->models[job->model].batch_max;
        most = total < most ? total : most;
        uint32_t fits = most; /* with the head in it */
        while (add_ns(now, cost_of(s, job->model, x->device, fits)->upper) > job->due)
            fits--;
        for (uint32_t step = 0; step < most; step++) {
            uint32_t items = step < fits ? fits - step : step + 1;
            edge_ns ends = add_ns(now, cost_of(s, job->model, x->device, items)->upper);
            uint32_t set = ends <= limit ? members(x, left, job->model, items, ends) : 0;
            if (set)
                descend(x, left & ~set, met + bits(set), ends, NEVER,
                        met ? first : (struct choice){job->model, set});
            if (x->met == x->count)
                return;
        }
    }
}

/* Starts the first batch of the best path that it finds. False: too many jobs, or none can start.
 */
bool edge_sched_search(struct edge_sched *s, uint32_t index, edge_ns now, edge_ns limit)
{
    struct search x = {.s = s, .device = index};
    if (!collect(s, index, &x) || !x.count)
        return false;
    uint32_t all = (1u << x.count) - 1;
    descend(&x, all, 0, now, limit, (struct choice){0});
    if (!x.met)
        return false;
    for (uint32_t i = 0; i < x.count; i++) {
        if (!(x.choice.set >> i & 1))
            continue;
        /* What is before it in its stream does not last until this batch ends. */
        struct stream *stream = &s->streams[x.jobs[i].stream];
        while (stream->head != x.jobs[i].job)
            edge_sched_queue_drop(s, edge_sched_queue_pop(s, x.jobs[i].stream), EDGE_DROP_DEADLINE);
        edge_sched_start(s, index, edge_sched_queue_pop(s, x.jobs[i].stream));
    }
    s->devices[index].model = x.choice.model;
    return true;
}
