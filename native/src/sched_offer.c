#include "sched_state.h"

#include <string.h>

/* Ids are serial << 16 | index. */
static uint32_t find(const struct edge_sched *s, edge_sched_reservation reservation)
{
    uint32_t index = reservation.id & 0xffff;
    if (index >= s->promises_used || s->promises[index].serial != reservation.id >> 16 ||
        s->promises[index].state != PROMISE_RESERVED)
        return NONE;
    return index;
}

static void forget(struct edge_sched *s, uint32_t index)
{
    struct promise *p = &s->promises[index];
    edge_sched_plan_remove(s, index);
    edge_sched_job_free(s, p->job);
    p->state = PROMISE_FREE;
    p->next = s->promise_free;
    s->promise_free = index;
    s->stats.reserved--;
}

/* A promise and its job's slot, which is taken now so that a claim cannot fail for want of one.
 * In no sequence yet. */
static uint32_t make(struct edge_sched *s, uint32_t model, uint32_t items, edge_ns release,
                     edge_ns deadline)
{
    uint32_t index = s->promise_free;
    if (index == NONE && s->promises_used == s->config.reservations)
        return NONE;
    uint32_t job = edge_sched_job_take(s);
    if (job == NONE)
        return NONE;
    if (index == NONE)
        index = s->promises_used++;
    else
        s->promise_free = s->promises[index].next;
    s->jobs[job] =
        (struct job){.deadline = deadline, .stream = NONE, .next = NONE, .items = (uint8_t)items};
    s->promises[index] = (struct promise){.serial = ++s->promise_serial,
                                          .release = release,
                                          .deadline = deadline,
                                          .model = model,
                                          .items = (uint8_t)items,
                                          .job = job,
                                          .state = PROMISE_RESERVED};
    return index;
}

static void unmake(struct edge_sched *s, uint32_t index)
{
    edge_sched_job_free(s, s->promises[index].job);
    s->promises[index].state = PROMISE_FREE;
    s->promises[index].next = s->promise_free;
    s->promise_free = index;
}

static void arrive(struct edge_sched *s, uint32_t index, edge_ns now)
{
    struct promise *p = &s->promises[index];
    p->state = PROMISE_ARRIVED;
    if (p->release > now)
        p->release = now;
    s->jobs[p->job].state = JOB_QUEUED;
    s->stats.queued++;
    s->stats.reserved--;
}

static struct edge_sched *copy_of(const struct edge_sched *s)
{
    struct edge_sched *copy = s->copy, kept = *copy;
    *copy = *s;
    copy->jobs = kept.jobs;
    copy->streams = kept.streams;
    copy->heaps = kept.heaps;
    copy->models = kept.models;
    copy->apps = kept.apps;
    copy->devices = kept.devices;
    copy->promises = kept.promises;
    /* Nothing is learnt while running ahead: costs stay shared. */
    memcpy(copy->jobs, s->jobs, s->jobs_used * sizeof *s->jobs);
    memcpy(copy->streams, s->streams, s->streams_used * sizeof *s->streams);
    memcpy(copy->heaps, s->heaps, s->streams_used * sizeof *s->heaps);
    memcpy(copy->models, s->models, s->models_used * sizeof *s->models);
    memcpy(copy->apps, s->apps, s->apps_used * sizeof *s->apps);
    memcpy(copy->devices, s->devices, s->config.devices * sizeof *s->devices);
    memcpy(copy->promises, s->promises, s->promises_used * sizeof *s->promises);
    copy->ahead = true;
    return copy;
}

static void end_batch(struct edge_sched *s, struct device *d, edge_ns now)
{
    for (uint32_t i = 0; i < d->count; i++) {
        struct job *job = &s->jobs[d->jobs[i]];
        job->met = now <= job->deadline;
    }
    d->batch = 0;
}

/* Runs the policy until nothing is left, with upper estimates of cost, data of reservations coming
 * when they are due, and no other arrivals. Each job's `met` says whether it ended in time; *ends
 * is when `watched` did. */
static void run_ahead(struct edge_sched *s, edge_ns now, uint32_t watched, edge_ns *ends)
{
    edge_sched_batch batch;
    for (;;) {
        edge_ns then = NEVER;
        for (uint32_t i = 0; i < s->promises_used; i++) {
            struct promise *p = &s->promises[i];
            if (p->state != PROMISE_RESERVED || p->release < now)
                continue;
            if (p->release == now)
                arrive(s, i, now);
            else if (p->release < then)
                then = p->release;
        }
        for (uint32_t index = 0; index < s->config.devices; index++) {
            struct device *d = &s->devices[index];
            if (d->batch && d->ends <= now)
                end_batch(s, d, now);
            if (!d->batch && edge_sched_next(s, index, &batch, now) > 0)
                for (uint32_t i = 0; i < d->count; i++)
                    if (d->jobs[i] == watched)
                        *ends = d->ends;
            if (d->batch ? d->ends < then : false)
                then = d->ends;
            else if (!d->batch && batch.wait_until > now && batch.wait_until < then)
                then = batch.wait_until;
        }
        if (then == NEVER)
            return;
        now = then;
    }
}

/* Whether, with the promise that is in its sequence already, all goes as well for the others. */
static bool harms_nothing(struct edge_sched *s, uint32_t index, edge_ns now, edge_ns *ends)
{
    edge_ns release = s->promises[index].release;
    uint32_t job = s->promises[index].job;
    struct edge_sched *copy = copy_of(s);
    *ends = NEVER;
    /* Without it: its data never come, and it claims no place. */
    edge_sched_plan_remove(copy, index);
    copy->promises[index].state = PROMISE_FREE;
    run_ahead(copy, now, NONE, ends);
    for (uint32_t i = 0; i < s->jobs_used; i++)
        s->jobs[i].would = copy->jobs[i].met;
    copy = copy_of(s);
    if (release <= now)
        copy->promises[index].release = now;
    run_ahead(copy, now, job, ends);
    for (uint32_t i = 0; i < s->jobs_used; i++)
        if (s->jobs[i].would && !copy->jobs[i].met && i != job)
            return false;
    return copy->jobs[job].met;
}

static int offer(struct edge_sched *s, edge_sched_model model, uint32_t items, edge_ns release,
                 edge_ns deadline, edge_ns now, uint32_t *index, edge_ns *ends)
{
    if (!s || !edge_sched_has_model(s, model.id) || items < 1 ||
        items > s->models[model.id].batch_max || deadline > TIME_MAX || release > TIME_MAX)
        return -EINVAL;
    if (now > TIME_MAX)
        return -EOVERFLOW;
    edge_sched_expire(s, now);
    if (s->closed)
        return -EAGAIN;
    *index = make(s, model.id, items, release < now ? now : release, deadline);
    if (*index == NONE)
        return -ENOSPC;
    if (edge_sched_plan_insert(s, *index, now) != NONE) {
        if (harms_nothing(s, *index, now, ends))
            return 0;
        edge_sched_plan_remove(s, *index);
    }
    unmake(s, *index);
    return -EAGAIN;
}

int edge_sched_quote(struct edge_sched *s, edge_sched_model model, uint32_t items, edge_ns release,
                     edge_ns deadline, edge_ns now, edge_ns *ends)
{
    uint32_t index;
    edge_ns when;
    int error = offer(s, model, items, release, deadline, now, &index, &when);
    if (error)
        return error;
    edge_sched_plan_remove(s, index);
    unmake(s, index);
    if (ends)
        *ends = when;
    return 0;
}

int edge_sched_reserve(struct edge_sched *s, edge_sched_model model, uint32_t items,
                       edge_ns release, edge_ns deadline, edge_ns now,
                       edge_sched_reservation *reservation, edge_ns *ends)
{
    if (!reservation)
        return -EINVAL;
    uint32_t index;
    edge_ns when;
    int error = offer(s, model, items, release, deadline, now, &index, &when);
    if (error)
        return error;
    s->stats.reserved++;
    s->stats.reservations++;
    reservation->id = s->promises[index].serial << 16 | index;
    if (ends)
        *ends = when;
    return 0;
}

int edge_sched_claim(struct edge_sched *s, edge_sched_reservation reservation, uint64_t caller,
                     edge_ns now)
{
    if (!s)
        return -EINVAL;
    if (now > TIME_MAX)
        return -EOVERFLOW;
    edge_sched_expire(s, now);
    uint32_t index = find(s, reservation);
    if (index == NONE)
        return -ENOENT;
    struct promise *p = &s->promises[index];
    s->jobs[p->job].caller = caller;
    s->stats.submitted++;
    s->stats.claimed++;
    if (now <= p->release) {
        s->jobs[p->job].promised = true;
        arrive(s, index, now);
        return 1;
    }
    /* Its place may have been used. */
    edge_ns ends;
    edge_sched_plan_remove(s, index);
    p->release = now;
    if (edge_sched_plan_insert(s, index, now) != NONE) {
        if (harms_nothing(s, index, now, &ends)) {
            arrive(s, index, now);
            return 1;
        }
        edge_sched_plan_remove(s, index);
    }
    s->stats.reserved--;
    edge_sched_queue_drop(s, p->job, EDGE_DROP_DEADLINE);
    p->state = PROMISE_FREE;
    p->next = s->promise_free;
    s->promise_free = index;
    return 0;
}

int edge_sched_cancel(struct edge_sched *s, edge_sched_reservation reservation)
{
    uint32_t index = s ? find(s, reservation) : NONE;
    if (!s)
        return -EINVAL;
    if (index == NONE)
        return -ENOENT;
    forget(s, index);
    s->stats.cancelled++;
    return 0;
}

int edge_sched_expire(struct edge_sched *s, edge_ns now)
{
    if (!s)
        return -EINVAL;
    int count = 0;
    for (uint32_t i = 0; i < s->promises_used; i++)
        if (s->promises[i].state == PROMISE_RESERVED &&
            now > add_ns(s->promises[i].release, s->config.grace_ns)) {
            forget(s, i);
            count++;
        }
    s->stats.expired += (uint32_t)count;
    return count;
}

void edge_sched_promises_clear(struct edge_sched *s)
{
    for (uint32_t i = 0; i < s->promises_used; i++) {
        struct promise *p = &s->promises[i];
        if (p->state == PROMISE_RESERVED) {
            forget(s, i);
            s->stats.cancelled++;
        } else if (p->state == PROMISE_ARRIVED) {
            edge_sched_plan_remove(s, i);
            edge_sched_queue_drop(s, p->job, EDGE_DROP_SHUTDOWN);
            p->state = PROMISE_FREE;
            p->next = s->promise_free;
            s->promise_free = i;
        }
    }
}
