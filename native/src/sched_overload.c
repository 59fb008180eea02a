#include "sched_state.h"

/* What to run when not everything can end in time: the batch that is worth the most for the device
 * time it takes. Waiting longest for full batches would serve most, so the price of device time is
 * put low (below); worth is what keeps it fair: a stream's debt, its application's boost, and
 * whether the job could wait for the next batch. Jobs that would not outlast the batch are passed
 * over: an urgent head must not force small batches on everyone ("window" choice, Nexus, SOSP'19;
 * largest debt first, Hou, Borkar and Kumar, INFOCOM'09). Constants from benchmarks/
 * scheduler_policies.py. */

#define WORTH_BASE (4 * ONE)
#define HUNGRY (5 * ONE) /* without service for so many of the jobs it was owed */

struct pick {
    uint32_t streams[EDGE_SCHED_BATCH_MAX];
    uint32_t count, items, model;
    uint64_t value, price;
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

/* The most worthy set for a batch of at most `size` items. */
static void gather(const struct edge_sched *s, uint32_t device, uint32_t model, uint32_t size,
                   edge_ns now, struct pick *pick)
{
    const struct lane *lane = &s->models[model].lane[LIVE];
    edge_ns takes = cost_of(s, model, device, size)->upper;
    edge_ns ends = add_ns(now, takes), soon = add_ns(ends, 2 * takes);
    uint64_t worths[EDGE_SCHED_BATCH_MAX];
    uint32_t found = 0;
    for (uint32_t i = 0; i < lane->count; i++) {
        uint32_t index = s->heaps[lane->base + i], job = lasting(s, index, ends);
        if (job == NONE || s->jobs[job].items > size)
            continue;
        uint64_t w = worth(s, &s->streams[index]);
        if (s->jobs[job].deadline < soon)
            w += w / 2;
        if (found == size && worths[found - 1] >= w)
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
    pick->count = pick->items = 0;
    pick->value = 0;
    for (uint32_t i = 0; i < found; i++) {
        uint32_t stream = pick->streams[i], items = s->jobs[lasting(s, stream, ends)].items;
        if (pick->items + items > size)
            continue;
        pick->items += items;
        pick->value += worths[i] * items;
        pick->streams[pick->count++] = stream;
    }
    edge_ns cost = pick->count ? cost_of(s, model, device, pick->items)->upper : takes;
    pick->score = (int64_t)pick->value - (int64_t)(s->price * (cost >> 10) >> 11);
    pick->price = (pick->value << 10) / ((cost >> 10) + 1);
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
        for (; size; size--) {
            gather(s, index, m, size, now, &pick);
            if (pick.count && pick.ends <= limit && (!best.count || pick.score > best.score))
                best = pick;
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
