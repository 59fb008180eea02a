#include "sched_state.h"

/* Tracks the mean and an upper quantile (63 of 64) of what a batch takes. The quantile moves by a
 * step of the current spread: up by 63/64 of it when the batch took longer, down by 1/64 when it
 * did not, so that it rests where one batch in 64 takes longer. */
static void track(struct cost *c, edge_ns took)
{
    /* One hiccup must not make the scheduler refuse work for minutes; a real change comes again. */
    if (took > 4 * c->mean)
        took = 4 * c->mean;
    edge_ns off = took > c->mean ? took - c->mean : c->mean - took;
    uint32_t rate = c->samples < 7 ? c->samples + 1 : 8;
    c->mean = took > c->mean ? c->mean + off / rate : c->mean - off / rate;
    c->spread =
        off > c->spread ? c->spread + (off - c->spread) / 8 : c->spread - (c->spread - off) / 8;
    edge_ns step = c->spread;
    if (c->upper > c->mean && (c->upper - c->mean) / 2 > step)
        step = (c->upper - c->mean) / 2;
    if (took > c->upper)
        c->upper += step - step / 64;
    else if (c->upper - took < step / 64)
        c->upper = took;
    else
        c->upper -= step / 64;
    if (c->samples == 0)
        c->upper = c->mean;
    if (c->upper < c->mean)
        c->upper = c->mean;
    c->samples++;
}

/* a * b / c where all are at most COST_MAX, without 128-bit arithmetic: exact if b is a multiple of
 * c, else to one part in 4 million. */
static edge_ns scale(edge_ns a, edge_ns b, edge_ns c)
{
    edge_ns whole = a * (b / c), rest = b % c;
    for (; rest >> 23; c >>= 1)
        rest >>= 1;
    return whole + a * rest / c;
}

/* A size that never ran is assumed to scale like the last size beside it that did. */
static void infer(struct cost *c, uint32_t from, uint32_t size)
{
    edge_ns mean = scale(c[size].first, c[from].mean, c[from].first);
    edge_ns upper = scale(c[size].first, c[from].upper, c[from].first);
    c[size].mean = mean ? mean : 1;
    c[size].upper = upper > c[size].mean ? upper : c[size].mean;
}

void edge_sched_learn(struct edge_sched *s, uint32_t model, uint32_t device, uint32_t items,
                      edge_ns took)
{
    struct cost *c = cost_of(s, model, device, 1);
    uint32_t ran = items - 1;
    edge_ns each = took / items;
    uint64_t *lately = &s->models[model].item_ns;
    *lately = each > *lately ? *lately + (each - *lately) / 16 : *lately - (*lately - each) / 16;
    track(&c[ran], took < 1 ? 1 : took > COST_MAX ? COST_MAX : took);
    for (uint32_t b = ran + 1; b < s->models[model].batch_max && !c[b].samples; b++)
        infer(c, ran, b);
    for (uint32_t b = ran; b-- > 0 && !c[b].samples;)
        infer(c, ran, b);
    /* A larger batch never counts as quicker; the newest news wins. */
    for (uint32_t b = 0; b < s->models[model].batch_max; b++) {
        if (b < ran ? c[b].upper > c[ran].upper : c[b].upper < c[ran].upper)
            c[b].upper = c[ran].upper;
        if (c[b].mean > c[b].upper)
            c[b].mean = c[b].upper;
    }
}

/* A job came with all the time that its stream was admitted with, and by the estimate not even an
 * idle device would end it in time. If the estimate is wrong, no batch would ever run to correct
 * it: let it come down. */
void edge_sched_relax(struct edge_sched *s, uint32_t model)
{
    for (uint32_t d = 0; d < s->config.devices; d++) {
        struct cost *c = cost_of(s, model, d, 1);
        for (uint32_t b = 0; b < s->models[model].batch_max; b++)
            if (c[b].upper > c[b].mean)
                c[b].upper -= (c[b].upper - c[b].mean) / 8 + 1;
            else if (c[b].samples)
                c[b].upper = c[b].mean -= c[b].mean / 32;
        for (uint32_t b = 1; b < s->models[model].batch_max; b++)
            if (c[b].upper < c[b - 1].upper)
                c[b].upper = c[b - 1].upper;
    }
}

edge_ns edge_sched_least(const struct edge_sched *s, uint32_t model, uint32_t items)
{
    edge_ns least = NEVER;
    for (uint32_t d = 0; d < s->config.devices; d++)
        if (runs_on(s, model, d) && cost_of(s, model, d, items)->upper < least)
            least = cost_of(s, model, d, items)->upper;
    return least;
}

edge_ns edge_sched_cost(const struct edge_sched *s, edge_sched_model model, uint32_t device,
                        uint32_t items, edge_ns *upper)
{
    if (!s || !edge_sched_has_model(s, model.id) || device >= s->config.devices || items < 1 ||
        items > s->models[model.id].batch_max || !runs_on(s, model.id, device))
        return 0;
    const struct cost *c = cost_of(s, model.id, device, items);
    if (upper)
        *upper = c->upper;
    return c->mean;
}
