#include "sched_state.h"

/* What to run when not everything can end in time: the batch whose jobs are worth the most, less a
 * price for the device time it takes. The worth of a job comes from its stream's debt and its
 * application's boost (sched_share.c), and is half as much again if it cannot wait for the batch
 * after. Jobs that would not outlast the batch are passed over, so that an urgent head does not
 * force small batches on everyone: the window choice of Nexus (SOSP 2019) with the largest debt
 * first of Hou, Borkar and Kumar (INFOCOM 2009). The price is half of what device time has earned
 * lately: the full price leaves batches small, none at all forgets who is owed. The constants were
 * tried out on benchmarks/scheduler_policies.py. */

#define WORTH_BASE (4 * ONE)
#define HUNGRY (5 * ONE) /* without service for so many of the jobs it was owed */

struct pick {
    uint32_t streams[EDGE_SCHED_BATCH_MAX];
    uint32_t count, model;
    uint64_t price;
    int64_t score;
    edge_ns ends;
};

static uint64_t worth(const struct edge_sched *s, const struct stream *stream)
{
    int64_t w = WORTH_BASE + stream->debt;
    if (stream->hunger > HUNGRY)
        w += 4 * ((int64_t)stream->hunger - HUNGRY);
    return (uint64_t)w * s->apps[stream->app].boost / ONE;
}

/* The first job of a stream that lasts until `ends`, or NONE. */
static uint32_t lasting(const struct edge_sched *s, uint32_t stream, edge_ns ends)
{
    uint32_t job = s->streams[stream].head;
    while (job != NONE && s->jobs[job].deadline < ends)
        job = s->jobs[job].next;
    return job;
}

static edge_ns upper_of(const struct edge_sched *s, uint32_t model, uint32_t device, uint32_t size)
{
    return cost_of(s, model, device, size)->upper;
}

/* The most worthy set for a batch of at most `size` items. Returns the latest deadline of the
 * streams that were passed over because they have no job that lasts; 0 if there is none. */
static edge_ns gather(const struct edge_sched *s, uint32_t device, uint32_t model, uint32_t size,
                      edge_ns now, struct pick *pick)
{
    const struct lane *lane = &s->models[model].lane[LIVE];
    edge_ns takes = upper_of(s, model, device, size), ends = add_ns(now, takes);
    edge_ns soon = add_ns(ends, 2 * takes), passed = 0;
    uint64_t worths[EDGE_SCHED_BATCH_MAX];
    uint32_t found = 0;
    for (uint32_t i = 0; i < lane->count; i++) {
        uint32_t index = s->heaps[lane->base + i], job = lasting(s, index, ends);
        if (job == NONE) {
            edge_ns last = s->jobs[s->streams[index].tail].deadline;
            passed = last > passed ? last : passed;
            continue;
        }
        uint64_t w = worth(s, &s->streams[index]);
        if (s->jobs[job].deadline < soon)
            w += w / 2;
        if (s->jobs[job].items > size || (found == size && worths[found - 1] >= w))
            continue;
        uint32_t at = found < size ? found++ : found - 1;
        for (; at && worths[at - 1] < w; at--) {
            worths[at] = worths[at - 1];
            pick->streams[at] = pick->streams[at - 1];
        }
        worths[at] = w;
        pick->streams[at] = index;
    }
    pick->model = model;
    pick->ends = ends;
    pick->count = 0;
    pick->score = INT64_MIN;
    uint64_t value = 0;
    uint32_t count = 0, items = 0;
    for (uint32_t i = 0; i < found; i++) {
        uint32_t stream = pick->streams[i], more = s->jobs[lasting(s, stream, ends)].items;
        if (items + more > size)
            continue;
        items += more;
        value += worths[i] * more;
        pick->streams[count++] = stream;
        edge_ns cost = upper_of(s, model, device, items) >> 10;
        int64_t score = (int64_t)value - (int64_t)(s->price * cost >> 11);
        if (score <= pick->score)
            continue;
        pick->score = score;
        pick->price = (value << 10) / (cost + 1);
        pick->count = count;
    }
    return passed;
}

bool edge_sched_pick_worthiest(struct edge_sched *s, uint32_t index, edge_ns now, edge_ns limit)
{
    struct pick best = {0}, pick;
    for (uint32_t m = 0; m < s->models_used; m++) {
        const struct model *model = &s->models[m];
        const struct lane *lane = &model->lane[LIVE];
        if (!lane->count || !runs_on(s, m, index))
            continue;
        uint32_t size = lane->items < model->batch_max ? lane->items : model->batch_max;
        while (size) {
            edge_ns passed = gather(s, index, m, size, now, &pick);
            if (pick.count && pick.ends <= limit && (!best.count || pick.score > best.score))
                best = pick;
            /* A smaller batch is of use only if it ends early enough for someone else. */
            edge_ns by = pick.ends <= limit ? passed : limit;
            do
                size--;
            while (size && add_ns(now, upper_of(s, m, index, size)) > by);
        }
    }
    if (!best.count)
        return false;
    /* Half of what a unit of device time has earned lately is what it costs. */
    s->price = best.price > s->price ? s->price + (best.price - s->price) / 32
                                     : s->price - (s->price - best.price) / 32;
    struct device *device = &s->devices[index];
    for (uint32_t i = 0; i < best.count; i++) {
        uint32_t stream = best.streams[i], last = lasting(s, stream, best.ends);
        while (s->streams[stream].head != last)
            edge_sched_queue_drop(s, edge_sched_queue_pop(s, stream), EDGE_DROP_DEADLINE);
        edge_sched_start(s, index, edge_sched_queue_pop(s, stream));
    }
    device->model = best.model;
    return true;
}
