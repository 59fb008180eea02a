#include "sched_state.h"

/* Fair shares under overload. Each live stream has a debt: a job that arrives adds the part that
 * its application is owed (keep), a job that is served takes 1 away. While everything can be
 * served, keep is 1. Otherwise the device time that live work really got, in which the efficiency
 * of the batches is contained, is divided among the applications by weighted max-min. */

/* What is promised beyond what was served: too much favours those that fill batches well, too
 * little makes the batches small, and they then stay so. */
#define MARGIN 10
#define WINDOW_NS 250000000
#define WINDOW_JOBS 64
#define DEBT_MAX (16 * ONE)

static void divide(struct edge_sched *s)
{
    uint64_t left = 0, weights = 0;
    for (uint32_t a = 0; a < s->apps_used; a++)
        if (s->apps[a].kind == LIVE) {
            left += s->apps[a].served_ns;
            s->apps[a].keep = 0;
            weights += s->apps[a].asked_ns ? s->apps[a].weight : 0;
        }
    left += left / MARGIN;
    for (bool again = true; again && weights;) {
        again = false;
        uint64_t each = left / weights;
        for (uint32_t a = 0; a < s->apps_used; a++) {
            struct app *app = &s->apps[a];
            if (app->kind == ARCHIVE || app->keep || !app->asked_ns ||
                app->asked_ns > each * app->weight)
                continue;
            app->keep = ONE;
            left -= app->asked_ns;
            weights -= app->weight;
            again = true;
        }
    }
    for (uint32_t a = 0; a < s->apps_used; a++) {
        struct app *app = &s->apps[a];
        if (app->kind == LIVE && !app->keep)
            app->keep = app->asked_ns
                            ? (uint32_t)(left / weights * app->weight / (app->asked_ns / ONE + 1))
                            : ONE;
    }
}

/* What the streams' debts leave uneven between the applications is evened by the worth of their
 * jobs: an application that gets less of what it is owed than the others gains worth. */
static void boost(struct edge_sched *s)
{
    uint64_t owed = 0, served = 0;
    for (uint32_t a = 0; a < s->apps_used; a++) {
        owed += s->apps[a].asked_ns / ONE * s->apps[a].keep;
        served += s->apps[a].served_ns;
    }
    if (owed < 1000 || served < 1000)
        return;
    int64_t mean = (int64_t)(served / (owed / 1000));
    for (uint32_t a = 0; a < s->apps_used; a++) {
        struct app *app = &s->apps[a];
        uint64_t due = app->asked_ns / ONE * app->keep;
        if (app->kind == ARCHIVE || due < 1000)
            continue;
        int64_t lack = mean - (int64_t)(app->served_ns / (due / 1000));
        int64_t value = app->boost + (int64_t)app->boost * lack / 4000;
        app->boost = value < ONE / 8 ? ONE / 8 : value > 8 * ONE ? 8 * ONE : (uint32_t)value;
    }
}

static void turn(struct edge_sched *s, edge_ns now)
{
    if (now - s->window_began < WINDOW_NS || s->window_arrived < WINDOW_JOBS)
        return;
    s->overloaded = s->window_lost > s->window_arrived / 32;
    if (s->overloaded) {
        divide(s);
        boost(s);
    }
    for (uint32_t a = 0; a < s->apps_used; a++) {
        if (!s->overloaded)
            s->apps[a].keep = s->apps[a].boost = ONE;
        s->apps[a].asked_ns -= s->apps[a].asked_ns / 4;
        s->apps[a].served_ns -= s->apps[a].served_ns / 4;
    }
    s->window_began = now;
    s->window_arrived = s->window_lost = 0;
}

void edge_sched_share_arrived(struct edge_sched *s, struct stream *stream, uint32_t items,
                              edge_ns now)
{
    struct app *app = &s->apps[stream->app];
    if (app->kind == ARCHIVE)
        return;
    s->window_arrived++;
    app->asked_ns += items * s->models[stream->model].item_ns;
    stream->debt += (int32_t)app->keep;
    if (stream->debt > DEBT_MAX)
        stream->debt = DEBT_MAX;
    stream->hunger += (int32_t)app->keep;
    if (stream->hunger > DEBT_MAX)
        stream->hunger = DEBT_MAX;
    turn(s, now);
}

bool edge_sched_share_admits(struct edge_sched *s, struct stream *stream)
{
    return s->apps[stream->app].keep == ONE || stream->debt > -ONE;
}

void edge_sched_share_served(struct edge_sched *s, struct stream *stream, uint32_t items)
{
    struct app *app = &s->apps[stream->app];
    if (app->kind == ARCHIVE)
        return;
    app->served_ns += items * s->models[stream->model].item_ns;
    stream->debt -= ONE;
    stream->hunger = 0;
    if (stream->debt < -2 * ONE)
        stream->debt = -2 * ONE;
}
