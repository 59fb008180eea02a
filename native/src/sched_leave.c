#include "sched_state.h"

/* What leaves a scheduler that lives for long. A free place among the models has no devices, one
 * among the applications no weight: loops over them find nothing there. */

int edge_sched_remove_model(struct edge_sched *s, edge_sched_model model)
{
    if (!s || !edge_sched_has_model(s, model.id))
        return -EINVAL;
    for (uint32_t d = 0; d < s->config.devices; d++)
        if (s->devices[d].batch && s->devices[d].model == model.id)
            return -EBUSY;
    for (uint32_t i = 0; i < s->streams_used; i++)
        if (s->streams[i].model == model.id && (s->streams[i].used || s->streams[i].running))
            return -EBUSY;
    for (uint32_t i = 0; i < s->promises_used; i++)
        if (s->promises[i].model == model.id && s->promises[i].state != PROMISE_FREE)
            return -EBUSY;
    s->models[model.id].devices = 0;
    return 0;
}

int edge_sched_remove_app(struct edge_sched *s, edge_sched_app app)
{
    if (!s || !edge_sched_has_app(s, app.id))
        return -EINVAL;
    for (uint32_t i = 0; i < s->streams_used; i++)
        if (s->streams[i].app == app.id && (s->streams[i].used || s->streams[i].running))
            return -EBUSY;
    s->apps[app.id] = (struct app){.keep = ONE, .boost = ONE};
    return 0;
}

int edge_sched_set_weight(struct edge_sched *s, edge_sched_app app, uint32_t weight)
{
    if (!s || !edge_sched_has_app(s, app.id) || weight < 1 || weight > 1000000)
        return -EINVAL;
    s->apps[app.id].weight = weight;
    return 0;
}
