#include "sched_state.h"

#include <string.h>

static edge_ns head_deadline(const struct edge_sched *s, uint32_t stream)
{
    return s->jobs[s->streams[stream].head].deadline;
}

static bool before(const struct edge_sched *s, uint32_t a, uint32_t b)
{
    edge_ns da = head_deadline(s, a), db = head_deadline(s, b);
    return da < db || (da == db && a < b);
}

static void put(struct edge_sched *s, const struct lane *lane, uint32_t place, uint32_t stream)
{
    s->heaps[lane->base + place] = stream;
    s->streams[stream].place = place;
}

static void rise(struct edge_sched *s, const struct lane *lane, uint32_t place)
{
    uint32_t stream = s->heaps[lane->base + place];
    while (place) {
        uint32_t parent = (place - 1) / 4, other = s->heaps[lane->base + parent];
        if (!before(s, stream, other))
            break;
        put(s, lane, place, other);
        place = parent;
    }
    put(s, lane, place, stream);
}

static void sink(struct edge_sched *s, const struct lane *lane, uint32_t place)
{
    uint32_t stream = s->heaps[lane->base + place];
    for (;;) {
        uint32_t child = 4 * place + 1, least = child;
        if (child >= lane->count)
            break;
        for (uint32_t c = child + 1; c < child + 4 && c < lane->count; c++)
            if (before(s, s->heaps[lane->base + c], s->heaps[lane->base + least]))
                least = c;
        if (!before(s, s->heaps[lane->base + least], stream))
            break;
        put(s, lane, place, s->heaps[lane->base + least]);
        place = least;
    }
    put(s, lane, place, stream);
}

static struct lane *lane_of(struct edge_sched *s, const struct stream *stream)
{
    return &s->models[stream->model].lane[s->apps[stream->app].kind];
}

static void moved(struct edge_sched *s, uint32_t index)
{
    struct stream *stream = &s->streams[index];
    struct lane *lane = lane_of(s, stream);
    if (stream->head == NONE) {
        uint32_t place = stream->place, last = s->heaps[lane->base + --lane->count];
        stream->place = NONE;
        if (last == index)
            return;
        put(s, lane, place, last);
        rise(s, lane, place);
        sink(s, lane, s->streams[last].place);
    } else if (stream->place == NONE) {
        put(s, lane, lane->count++, index);
        rise(s, lane, stream->place);
    } else {
        rise(s, lane, stream->place);
        sink(s, lane, stream->place);
    }
}

/* The segments of the lanes lie in the order (model, kind); growing one moves those after it. */
static void shift(struct edge_sched *s, uint32_t model, enum kind kind, int by)
{
    struct lane *lane = &s->models[model].lane[kind];
    const struct model *last = &s->models[s->models_used - 1];
    uint32_t end = last->lane[ARCHIVE].base + last->lane[ARCHIVE].room;
    uint32_t from = lane->base + lane->room;
    if (by > 0)
        memmove(&s->heaps[from + 1], &s->heaps[from], (end - from) * sizeof *s->heaps);
    else
        memmove(&s->heaps[from - 1], &s->heaps[from], (end - from) * sizeof *s->heaps);
    lane->room += (uint32_t)by;
    for (uint32_t m = model; m < s->models_used; m++)
        for (int k = m == model ? kind + 1 : LIVE; k < KINDS; k++)
            s->models[m].lane[k].base += (uint32_t)by;
}

void edge_sched_lane_grow(struct edge_sched *s, uint32_t model, enum kind kind)
{
    shift(s, model, kind, 1);
}

void edge_sched_lane_shrink(struct edge_sched *s, uint32_t model, enum kind kind)
{
    shift(s, model, kind, -1);
}

uint32_t edge_sched_job_take(struct edge_sched *s)
{
    uint32_t job = s->job_free;
    if (job != NONE)
        s->job_free = s->jobs[job].next;
    else if (s->jobs_used < s->config.jobs)
        job = s->jobs_used++;
    s->jobs_held += job != NONE;
    return job;
}

void edge_sched_job_free(struct edge_sched *s, uint32_t job)
{
    s->jobs_held--;
    s->jobs[job].state = JOB_FREE;
    s->jobs[job].next = s->job_free;
    s->job_free = job;
}

/* The job is in no queue any more; its slot keeps the news until it is collected. */
void edge_sched_queue_drop(struct edge_sched *s, uint32_t job, uint32_t reason)
{
    struct job *j = &s->jobs[job];
    if (j->state == JOB_QUEUED)
        s->stats.queued--;
    j->state = JOB_DROPPED;
    j->reason = (uint8_t)reason;
    j->next = NONE;
    if (s->drop_last == NONE)
        s->drop_first = job;
    else
        s->jobs[s->drop_last].next = job;
    s->drop_last = job;
    s->stats.dropped[0]++;
    s->stats.dropped[reason]++;
    if (j->stream != NONE) {
        s->apps[s->streams[j->stream].app].dropped++;
        s->window_lost++;
    }
}

uint32_t edge_sched_queue_pop(struct edge_sched *s, uint32_t index)
{
    struct stream *stream = &s->streams[index];
    uint32_t job = stream->head;
    stream->head = s->jobs[job].next;
    if (stream->head == NONE)
        stream->tail = NONE;
    stream->length--;
    lane_of(s, stream)->items -= s->jobs[job].items;
    moved(s, index);
    return job;
}

static void push(struct edge_sched *s, uint32_t index, uint32_t job)
{
    struct stream *stream = &s->streams[index];
    if (stream->length == stream->depth)
        edge_sched_queue_drop(s, edge_sched_queue_pop(s, index), EDGE_DROP_QUEUE);
    s->jobs[job].state = JOB_QUEUED;
    s->stats.queued++;
    lane_of(s, stream)->items += s->jobs[job].items;
    stream->length++;
    if (stream->tail != NONE) {
        s->jobs[stream->tail].next = job;
        stream->tail = job;
        return;
    }
    stream->head = stream->tail = job;
    moved(s, index);
}

static struct stream *find(struct edge_sched *s, edge_sched_stream handle)
{
    uint32_t index = handle.id & 0xfffff;
    if (index >= s->streams_used || !s->streams[index].used ||
        s->streams[index].generation != handle.id >> 20)
        return NULL;
    return &s->streams[index];
}

int edge_sched_submit(struct edge_sched *s, const edge_sched_job *jobs, uint32_t n, edge_ns now)
{
    if (!s || (!jobs && n) || n > INT32_MAX)
        return -EINVAL;
    if (now > TIME_MAX)
        return -EOVERFLOW;
    if (n > s->config.jobs - s->jobs_held)
        return -ENOSPC;
    for (uint32_t i = 0; i < n; i++) {
        const struct stream *stream = find(s, jobs[i].stream);
        if (!stream || jobs[i].items < 1 || jobs[i].items > s->models[stream->model].batch_max)
            return -EINVAL;
    }
    int queued = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct stream *stream = find(s, jobs[i].stream);
        uint32_t index = (uint32_t)(stream - s->streams);
        uint32_t job = edge_sched_job_take(s);
        s->jobs[job] = (struct job){.caller = jobs[i].job,
                                    .deadline = jobs[i].deadline,
                                    .stream = index,
                                    .next = NONE,
                                    .items = (uint8_t)jobs[i].items};
        s->stats.submitted++;
        s->apps[stream->app].arrived++;
        if (s->closed) {
            edge_sched_queue_drop(s, job, EDGE_DROP_SHUTDOWN);
            continue;
        }
        edge_ns left = jobs[i].deadline > now ? jobs[i].deadline - now : 0;
        if (left >= stream->deadline && left < edge_sched_least(s, stream->model, jobs[i].items))
            edge_sched_relax(s, stream->model);
        edge_sched_share_arrived(s, stream, jobs[i].items, now);
        if (!edge_sched_share_admits(s, stream)) {
            edge_sched_queue_drop(s, job, EDGE_DROP_THINNED);
            continue;
        }
        push(s, index, job);
        queued++;
    }
    return queued;
}

int edge_sched_drops(struct edge_sched *s, edge_sched_drop *drops, uint32_t n)
{
    if (!s || (!drops && n))
        return -EINVAL;
    uint32_t count = 0;
    while (count < n && s->drop_first != NONE) {
        uint32_t job = s->drop_first;
        drops[count++] = (edge_sched_drop){s->jobs[job].caller, s->jobs[job].reason};
        s->drop_first = s->jobs[job].next;
        if (s->drop_first == NONE)
            s->drop_last = NONE;
        edge_sched_job_free(s, job);
    }
    return (int)count;
}

static void flush(struct edge_sched *s, uint32_t index)
{
    while (s->streams[index].head != NONE)
        edge_sched_queue_drop(s, edge_sched_queue_pop(s, index), EDGE_DROP_SHUTDOWN);
}

/* A removed stream's place is free once its running jobs have ended. */
void edge_sched_stream_rest(struct edge_sched *s, uint32_t index)
{
    struct stream *stream = &s->streams[index];
    if (stream->used || stream->running)
        return;
    stream->generation = (stream->generation + 1) & 0xfff;
    stream->next_free = s->stream_free;
    s->stream_free = index;
}

int edge_sched_remove_stream(struct edge_sched *s, edge_sched_stream handle)
{
    struct stream *stream = s ? find(s, handle) : NULL;
    if (!stream)
        return -EINVAL;
    uint32_t index = (uint32_t)(stream - s->streams);
    flush(s, index);
    edge_sched_lane_shrink(s, stream->model, s->apps[stream->app].kind);
    stream->used = false;
    edge_sched_stream_rest(s, index);
    return 0;
}

int edge_sched_shutdown(struct edge_sched *s)
{
    if (!s)
        return -EINVAL;
    s->closed = true;
    for (uint32_t i = 0; i < s->streams_used; i++)
        flush(s, i);
    edge_sched_promises_clear(s);
    return 0;
}
