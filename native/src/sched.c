#include "sched_state.h"

#include <stdlib.h>
#include <string.h>

static uint32_t or_default(uint32_t value, uint32_t standard)
{
    return value ? value : standard;
}

static bool resolve(const edge_sched_config *given, edge_sched_config *c)
{
    *c = given ? *given : (edge_sched_config){0};
    c->devices = or_default(c->devices, 1);
    c->apps = or_default(c->apps, 64);
    c->models = or_default(c->models, 32);
    c->streams = or_default(c->streams, 1024);
    c->jobs = or_default(c->jobs, 8192);
    c->reservations = or_default(c->reservations, 256);
    c->archive_batch_ns = c->archive_batch_ns ? c->archive_batch_ns : 10000000;
    c->grace_ns = c->grace_ns ? c->grace_ns : 100000000;
    return c->devices <= EDGE_SCHED_DEVICES_MAX && c->apps <= 1 << 16 && c->models <= MODELS_MAX &&
           c->streams <= 1 << 20 && c->jobs <= 1 << 24 && c->reservations <= 1 << 16;
}

/* Lays the arrays of one scheduler out from `at`, or only measures if base is NULL. */
static size_t lay(struct edge_sched *s, const edge_sched_config *c, unsigned char *base, size_t at)
{
#define LAY(member, n)                                                                             \
    do {                                                                                           \
        at = (at + 7) & ~(size_t)7;                                                                \
        if (base)                                                                                  \
            s->member = (void *)(base + at);                                                       \
        at += (size_t)(n) * sizeof *s->member;                                                     \
    } while (0)
    LAY(jobs, c->jobs);
    LAY(streams, c->streams);
    LAY(heaps, c->streams);
    LAY(models, c->models);
    LAY(costs, (size_t)c->models * c->devices * EDGE_SCHED_BATCH_MAX);
    LAY(apps, c->apps);
    LAY(devices, c->devices);
    LAY(promises, c->reservations);
#undef LAY
    return (at + 7) & ~(size_t)7;
}

static size_t lay_both(const edge_sched_config *c, unsigned char *base)
{
    struct edge_sched *s = (void *)base, *copy = base ? (void *)(base + sizeof *s) : NULL;
    size_t at = lay(s, c, base, 2 * sizeof *s);
    at = lay(copy, c, base, at);
    if (base)
        s->copy = copy;
    return at;
}

size_t edge_sched_size(const edge_sched_config *config)
{
    edge_sched_config c;
    return resolve(config, &c) ? lay_both(&c, NULL) : 0;
}

int edge_sched_init(void *memory, size_t size, const edge_sched_config *config,
                    struct edge_sched **sched)
{
    edge_sched_config c;
    if (!memory || !sched || (uintptr_t)memory % 8 || !resolve(config, &c) ||
        size < lay_both(&c, NULL))
        return -EINVAL;
    struct edge_sched *s = memory;
    memset(memory, 0, lay_both(&c, NULL));
    lay_both(&c, memory);
    s->config = s->copy->config = c;
    s->job_free = s->stream_free = s->promise_free = NONE;
    s->drop_first = s->drop_last = NONE;
    for (uint32_t d = 0; d < c.devices; d++)
        s->devices[d] = (struct device){.first = NONE, .last = NONE};
    *sched = s;
    return 0;
}

int edge_sched_create(const edge_sched_config *config, struct edge_sched **sched)
{
    size_t size = edge_sched_size(config);
    if (!size || !sched)
        return -EINVAL;
    void *memory = malloc(size);
    if (!memory)
        return -ENOMEM;
    int error = edge_sched_init(memory, size, config, sched);
    if (error) {
        free(memory);
        return error;
    }
    return 0;
}

void edge_sched_destroy(struct edge_sched *sched)
{
    free(sched);
}

int edge_sched_add_app(struct edge_sched *s, const edge_sched_app_spec *spec, edge_sched_app *app)
{
    if (!s || !spec || !app || spec->weight < 1 || spec->weight > 1000000)
        return -EINVAL;
    uint32_t a = 0;
    while (a < s->apps_used && s->apps[a].weight)
        a++;
    if (a == s->config.apps)
        return -ENOSPC;
    s->apps[a] = (struct app){
        .weight = spec->weight, .kind = spec->archive ? ARCHIVE : LIVE, .keep = ONE, .boost = ONE};
    s->apps_used += a == s->apps_used;
    app->id = a;
    return 0;
}

int edge_sched_add_model(struct edge_sched *s, const edge_ns *cost, uint32_t batch_max,
                         uint32_t devices, edge_sched_model *model)
{
    if (!s || !cost || !model || batch_max < 1 || batch_max > EDGE_SCHED_BATCH_MAX)
        return -EINVAL;
    uint32_t all = (1u << s->config.devices) - 1;
    if (devices == 0)
        devices = all;
    if (devices & ~all || cost[0] == 0)
        return -EINVAL;
    for (uint32_t b = 0; b < batch_max; b++)
        if (cost[b] > COST_MAX || (b && cost[b] < cost[b - 1]))
            return -EINVAL;
    uint32_t m = 0, base = 0;
    while (m < s->models_used && s->models[m].devices)
        m++;
    if (m == s->config.models)
        return -ENOSPC;
    if (m) {
        const struct lane *last = &s->models[m - 1].lane[ARCHIVE];
        base = last->base + last->room;
    }
    s->models[m] = (struct model){
        .lane = {{.base = base}, {.base = base}},
        .batch_max = batch_max,
        .devices = devices,
        .item_ns = cost[0],
    };
    s->models_used += m == s->models_used;
    for (uint32_t d = 0; d < s->config.devices; d++)
        for (uint32_t b = 0; b < batch_max; b++)
            *cost_of(s, m, d, b + 1) =
                (struct cost){.first = cost[b], .mean = cost[b], .upper = cost[b]};
    model->id = m;
    return 0;
}

/* The shortest deadline of which a job on an otherwise idle node can be sure: nothing preempts a
 * one-item batch of another model, unless there is a second device. */
static edge_ns shortest(const struct edge_sched *s, uint32_t model)
{
    edge_ns blocking = 0;
    uint32_t devices = s->models[model].devices;
    if (!(devices & (devices - 1)))
        for (uint32_t m = 0; m < s->models_used; m++) {
            const struct model *other = &s->models[m];
            if (m == model || !(other->devices & devices) ||
                !(other->lane[LIVE].room + other->lane[ARCHIVE].room))
                continue;
            edge_ns least = edge_sched_least(s, m, 1);
            if (least > blocking)
                blocking = least;
        }
    return blocking + edge_sched_least(s, model, 1);
}

int edge_sched_add_stream(struct edge_sched *s, const edge_sched_stream_spec *spec,
                          edge_sched_stream *stream, edge_ns *needed)
{
    if (!s || !spec || !stream || !edge_sched_has_app(s, spec->app.id) ||
        !edge_sched_has_model(s, spec->model.id) || spec->depth < 1)
        return -EINVAL;
    edge_ns least = shortest(s, spec->model.id);
    if (spec->deadline < least) {
        if (needed)
            *needed = least;
        return -EDQUOT;
    }
    uint32_t index = s->stream_free;
    if (index != NONE)
        s->stream_free = s->streams[index].next_free;
    else if (s->streams_used < s->config.streams)
        index = s->streams_used++;
    else
        return -ENOSPC;
    struct stream *at = &s->streams[index];
    *at = (struct stream){.period = spec->period,
                          .deadline = spec->deadline,
                          .app = spec->app.id,
                          .model = spec->model.id,
                          .depth = spec->depth,
                          .generation = at->generation,
                          .head = NONE,
                          .tail = NONE,
                          .place = NONE,
                          .used = true};
    edge_sched_lane_grow(s, at->model, s->apps[at->app].kind);
    stream->id = at->generation << 20 | index;
    return 0;
}

int edge_sched_get_stats(const struct edge_sched *s, edge_sched_stats *stats)
{
    if (!s || !stats)
        return -EINVAL;
    *stats = s->stats;
    return 0;
}

int edge_sched_get_app_stats(const struct edge_sched *s, edge_sched_app app,
                             edge_sched_app_stats *stats)
{
    if (!s || !stats || !edge_sched_has_app(s, app.id))
        return -EINVAL;
    const struct app *a = &s->apps[app.id];
    *stats = (edge_sched_app_stats){.arrived = a->arrived,
                                    .done = a->done,
                                    .dropped = a->dropped,
                                    .busy_ns = a->busy_ns,
                                    .keep_ppm = (uint32_t)((uint64_t)a->keep * 1000000 / ONE)};
    return 0;
}
