#include "sched_state.h"

/* Promised jobs have a certificate: for each device a fixed sequence of planned batches in which
 * every one, started as soon as the device is free and its data are due, ends by its deadlines.
 * With the order fixed, a batch that ends early can only make the later ones earlier, so the
 * anomalies of non-preemptive EDF cannot break a promise. What is not promised may start only if
 * the device is free again by the latest instant at which the sequence still holds. */

/* A reservation whose data are overdue is owed nothing until they come. */
static bool is_void(const struct promise *p, edge_ns now)
{
    return p->state == PROMISE_TAKEN || (p->state == PROMISE_RESERVED && now > p->release);
}

edge_ns edge_sched_plan_latest(const struct edge_sched *s, uint32_t device, edge_ns now)
{
    edge_ns latest = NEVER, due = NEVER;
    for (uint32_t i = s->devices[device].last; i != NONE; i = s->promises[i].prev) {
        const struct promise *p = &s->promises[i];
        if (!is_void(p, now) && p->deadline < due)
            due = p->deadline;
        if (p->joined || due == NEVER)
            continue;
        if (latest < due)
            due = latest;
        latest = due > p->cost ? due - p->cost : 0;
        due = NEVER;
    }
    return latest;
}

static edge_ns free_at(const struct edge_sched *s, uint32_t device, edge_ns now)
{
    const struct device *d = &s->devices[device];
    return d->batch && d->ends > now ? d->ends : now;
}

/* Walks the sequence from the front. In a batch of several, the others cannot start before it is
 * known that a reservation's data did not come: the instant after its release. */
static bool holds(const struct edge_sched *s, uint32_t device, edge_ns now)
{
    edge_ns at = free_at(s, device, now);
    for (uint32_t i = s->devices[device].first; i != NONE;) {
        edge_ns release = 0, due = NEVER, cost = s->promises[i].cost;
        uint32_t next = s->promises[i].next;
        bool several = next != NONE && s->promises[next].joined;
        do {
            const struct promise *p = &s->promises[i];
            if (!is_void(p, now)) {
                edge_ns known = p->release + (several && p->state == PROMISE_RESERVED);
                if (known > release)
                    release = known;
                if (p->deadline < due)
                    due = p->deadline;
            }
            i = p->next;
        } while (i != NONE && s->promises[i].joined);
        if (due == NEVER)
            continue;
        at = add_ns(at > release ? at : release, cost);
        if (at > due)
            return false;
    }
    return true;
}

static void link_before(struct edge_sched *s, uint32_t device, uint32_t promise, uint32_t next)
{
    struct device *d = &s->devices[device];
    struct promise *p = &s->promises[promise];
    p->device = device;
    p->next = next;
    p->prev = next == NONE ? d->last : s->promises[next].prev;
    *(p->prev == NONE ? &d->first : &s->promises[p->prev].next) = promise;
    *(next == NONE ? &d->last : &s->promises[next].prev) = promise;
}

static void unlink(struct edge_sched *s, uint32_t promise)
{
    struct promise *p = &s->promises[promise];
    struct device *d = &s->devices[p->device];
    *(p->prev == NONE ? &d->first : &s->promises[p->prev].next) = p->next;
    *(p->next == NONE ? &d->last : &s->promises[p->next].prev) = p->prev;
}

void edge_sched_plan_remove(struct edge_sched *s, uint32_t promise)
{
    struct promise *p = &s->promises[promise];
    if (!p->joined && p->next != NONE && s->promises[p->next].joined) {
        s->promises[p->next].joined = false;
        s->promises[p->next].cost = p->cost;
    }
    unlink(s, promise);
}

static uint32_t batch_end(const struct edge_sched *s, uint32_t first, uint32_t *items)
{
    uint32_t i = first;
    *items = 0;
    do {
        *items += s->promises[i].items;
        i = s->promises[i].next;
    } while (i != NONE && s->promises[i].joined);
    return i;
}

/* Adds the promise to a planned batch of its model. */
static bool join(struct edge_sched *s, uint32_t device, uint32_t promise, edge_ns now)
{
    struct promise *p = &s->promises[promise];
    uint32_t next, items;
    for (uint32_t i = s->devices[device].first; i != NONE; i = next) {
        struct promise *first = &s->promises[i];
        next = batch_end(s, i, &items);
        if (first->model != p->model || items + p->items > s->models[p->model].batch_max)
            continue;
        edge_ns before = first->cost, grown = cost_of(s, p->model, device, items + p->items)->upper;
        first->cost = grown > before ? grown : before;
        p->joined = true;
        link_before(s, device, promise, next);
        if (holds(s, device, now))
            return true;
        unlink(s, promise);
        first->cost = before;
    }
    return false;
}

static bool insert_alone(struct edge_sched *s, uint32_t device, uint32_t promise, edge_ns now)
{
    struct promise *p = &s->promises[promise];
    p->joined = false;
    p->cost = p->alone;
    uint32_t place = s->devices[device].first, items;
    while (place != NONE && s->promises[place].deadline <= p->deadline)
        place = batch_end(s, place, &items);
    link_before(s, device, promise, place);
    if (holds(s, device, now))
        return true;
    unlink(s, promise);
    for (uint32_t i = s->devices[device].first;; i = batch_end(s, i, &items)) {
        if (i != place) {
            link_before(s, device, promise, i);
            if (holds(s, device, now))
                return true;
            unlink(s, promise);
        }
        if (i == NONE)
            return false;
    }
}

/* Finds a place in some device's sequence with which everything in it holds: in a planned batch of
 * the same model, else in order of deadline, else anywhere. Returns the device, or NONE. */
uint32_t edge_sched_plan_insert(struct edge_sched *s, uint32_t promise, edge_ns now)
{
    struct promise *p = &s->promises[promise];
    for (int alone = 0; alone < 2; alone++)
        for (uint32_t d = 0; d < s->config.devices; d++) {
            if (!runs_on(s, p->model, d))
                continue;
            p->alone = cost_of(s, p->model, d, p->items)->upper;
            if (alone ? insert_alone(s, d, promise, now) : join(s, d, promise, now))
                return d;
        }
    return NONE;
}

/* Takes the arrived members of the planned batch of `promise` as what runs on `device` now, if
 * everything else that is promised still holds then. */
static bool take(struct edge_sched *s, uint32_t device, uint32_t promise, edge_ns now)
{
    uint32_t first = promise, items, taken = 0;
    while (s->promises[first].joined)
        first = s->promises[first].prev;
    uint32_t end = batch_end(s, first, &items);
    edge_ns due = NEVER;
    for (uint32_t i = first; i != end; i = s->promises[i].next) {
        struct promise *p = &s->promises[i];
        if (p->state != PROMISE_ARRIVED)
            continue;
        p->state = PROMISE_TAKEN;
        taken += p->items;
        if (p->deadline < due)
            due = p->deadline;
    }
    edge_ns takes = cost_of(s, s->promises[promise].model, device, taken)->upper;
    if (s->promises[promise].device == device && s->promises[first].cost < takes)
        takes = s->promises[first].cost;
    edge_ns ends = add_ns(now, takes);
    if (ends <= due && ends <= edge_sched_plan_latest(s, device, now)) {
        s->devices[device].planned = takes;
        s->devices[device].planned_items = taken;
        return true;
    }
    for (uint32_t i = first; i != end; i = s->promises[i].next)
        if (s->promises[i].state == PROMISE_TAKEN)
            s->promises[i].state = PROMISE_ARRIVED;
    return false;
}

static void release(struct edge_sched *s, uint32_t promise)
{
    edge_sched_plan_remove(s, promise);
    s->promises[promise].state = PROMISE_FREE;
    s->promises[promise].next = s->promise_free;
    s->promise_free = promise;
}

/* A batch that took longer than it may has broken the sequence: takes the most urgent of the
 * arrived that can still make it, alone, for nothing would start otherwise. */
static uint32_t take_broken(struct edge_sched *s, uint32_t device, edge_ns now)
{
    uint32_t best = NONE;
    edge_ns takes = 0;
    for (uint32_t i = 0; i < s->promises_used; i++) {
        const struct promise *p = &s->promises[i];
        if (p->state != PROMISE_ARRIVED || !runs_on(s, p->model, device) ||
            (best != NONE && p->deadline >= s->promises[best].deadline))
            continue;
        edge_ns least = edge_sched_least(s, p->model, p->items);
        edge_ns alone = least < p->alone ? least : p->alone;
        if (add_ns(now, alone) > p->deadline)
            continue;
        best = i;
        takes = cost_of(s, p->model, device, p->items)->upper;
    }
    if (best != NONE) {
        s->promises[best].state = PROMISE_TAKEN;
        s->devices[device].planned = takes;
        s->devices[device].planned_items = s->promises[best].items;
    }
    return best;
}

/* Starts what was taken, and with it other promised jobs of the model that have come. */
static void start_taken(struct edge_sched *s, uint32_t device, uint32_t model, edge_ns now,
                        bool broken)
{
    struct device *d = &s->devices[device];
    edge_ns due = NEVER;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < s->promises_used; i++) {
            struct promise *p = &s->promises[i];
            if (pass && p->state == PROMISE_ARRIVED && p->model == model &&
                d->items + p->items <= s->models[model].batch_max) {
                edge_ns ends = add_ns(now, cost_of(s, model, device, d->items + p->items)->upper);
                p->state = PROMISE_TAKEN;
                if (ends > due || ends > p->deadline ||
                    (!broken && ends > edge_sched_plan_latest(s, device, now)))
                    p->state = PROMISE_ARRIVED;
            }
            if (p->state != PROMISE_TAKEN)
                continue;
            if (p->deadline < due)
                due = p->deadline;
            edge_sched_start(s, device, p->job);
            release(s, i);
        }
    d->model = model;
}

/* Starts the arrived promise with the earliest deadline, if that is not after `before`; else, the
 * first planned batch of the device, which can always start once its data have come. */
bool edge_sched_plan_start(struct edge_sched *s, uint32_t device, edge_ns now, edge_ns before)
{
    uint32_t best = NONE;
    for (uint32_t i = 0; i < s->promises_used; i++) {
        const struct promise *p = &s->promises[i];
        if (p->state == PROMISE_ARRIVED && runs_on(s, p->model, device) && p->deadline <= before &&
            (best == NONE || p->deadline < s->promises[best].deadline))
            best = i;
    }
    if (best == NONE)
        return false;
    uint32_t start = best;
    bool broken = false;
    if (!take(s, device, best, now)) {
        start = s->devices[device].first;
        while (start != NONE && is_void(&s->promises[start], now))
            start = s->promises[start].next;
        if (start == NONE || s->promises[start].state != PROMISE_ARRIVED ||
            !take(s, device, start, now)) {
            if (holds(s, device, now))
                return false;
            broken = true;
            start = take_broken(s, device, now);
            if (start == NONE)
                return false;
        }
    }
    start_taken(s, device, s->promises[start].model, now, broken);
    return true;
}

void edge_sched_plan_drop_hopeless(struct edge_sched *s, edge_ns now)
{
    for (uint32_t i = 0; i < s->promises_used; i++) {
        struct promise *p = &s->promises[i];
        edge_ns least = edge_sched_least(s, p->model, p->items);
        if (p->state != PROMISE_ARRIVED ||
            add_ns(now, least < p->alone ? least : p->alone) <= p->deadline)
            continue;
        s->stats.broken++;
        edge_sched_queue_drop(s, p->job, EDGE_DROP_DEADLINE);
        release(s, i);
    }
}

/* When the next reservation of the device becomes void if its data do not come. */
edge_ns edge_sched_plan_wait(const struct edge_sched *s, uint32_t device, edge_ns now)
{
    edge_ns wait = NEVER;
    for (uint32_t i = s->devices[device].first; i != NONE; i = s->promises[i].next) {
        const struct promise *p = &s->promises[i];
        if (p->state == PROMISE_RESERVED && now <= p->release && p->release < wait)
            wait = p->release;
    }
    return wait == NEVER ? 0 : wait + 1;
}
