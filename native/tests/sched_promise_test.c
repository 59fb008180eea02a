/* After any sequence of calls, with batches that end when estimated or earlier: what was promised
 * and came in time ends in time, and the counts add up at every step. */
#include "sched_world.h"

#include <string.h>

#define DEVICES 2
#define OPEN_MAX 16

struct promise {
    edge_sched_reservation reservation;
    edge_ns release, deadline;
};

struct world {
    edge_sched *sched;
    uint64_t seed, serial;
    edge_ns now;
    edge_sched_batch running[DEVICES]; /* count 0: idle */
    edge_ns began[DEVICES], ends[DEVICES], wake[DEVICES];
    struct promise open[OPEN_MAX];
    uint32_t opened;
    edge_sched_stream streams[6];
    edge_sched_model models[3];
    edge_ns due[1 << 16]; /* of promised jobs that came in time, by their number; else 0 */
    uint64_t kept, claimed;
};

static void settle(struct world *w)
{
    edge_sched_drop drops[8];
    int n;
    while ((n = edge_sched_drops(w->sched, drops, 8)) > 0)
        for (int i = 0; i < n; i++)
            CHECK(w->due[drops[i].job] == 0);
    edge_sched_stats s;
    CHECK(edge_sched_get_stats(w->sched, &s) == 0);
    CHECK(s.submitted == s.done + s.dropped[0] + s.queued + s.running);
    CHECK(s.dropped[0] == s.dropped[1] + s.dropped[2] + s.dropped[3] + s.dropped[4]);
    CHECK(s.submitted == w->serial);
    CHECK(s.reserved == w->opened);
    CHECK(s.broken == 0);
}

static void dispatch(struct world *w)
{
    for (uint32_t d = 0; d < DEVICES; d++) {
        if (w->running[d].count)
            continue;
        edge_sched_batch *b = &w->running[d];
        int n = edge_sched_next(w->sched, d, b, w->now);
        CHECK(n >= 0 && (uint32_t)n == b->count);
        w->wake[d] = n ? 0 : b->wait_until;
        if (!n)
            continue;
        w->began[d] = w->now;
        edge_ns most = b->ends - w->now;
        w->ends[d] = w->now + (draw(&w->seed, 2) ? most : 1 + draw(&w->seed, most));
    }
    settle(w);
}

static void pass(struct world *w, edge_ns until)
{
    for (;;) {
        edge_ns then = until + 1;
        for (uint32_t d = 0; d < DEVICES; d++) {
            edge_ns next = w->running[d].count ? w->ends[d] : w->wake[d];
            if (next > w->now && next < then)
                then = next;
        }
        if (then > until)
            break;
        w->now = then;
        for (uint32_t d = 0; d < DEVICES; d++) {
            edge_sched_batch *b = &w->running[d];
            if (!b->count || w->ends[d] != then)
                continue;
            CHECK(edge_sched_done(w->sched, b->id, then - w->began[d], 1, then) == 0);
            for (uint32_t i = 0; i < b->count; i++)
                if (w->due[b->jobs[i]]) {
                    CHECK(then <= w->due[b->jobs[i]]);
                    w->kept++;
                }
            b->count = 0;
        }
        dispatch(w);
    }
    w->now = until;
}

static void act(struct world *w)
{
    uint64_t kind = draw(&w->seed, 10);
    uint32_t which = (uint32_t)draw(&w->seed, 3);
    edge_ns slack = 1 + draw(&w->seed, 400);
    if (kind < 3) {
        edge_sched_job job = {w->streams[draw(&w->seed, 6)], 1, w->serial, w->now + slack};
        w->due[w->serial] = 0;
        if (edge_sched_submit(w->sched, &job, 1, w->now) >= 0)
            w->serial++;
    } else if (kind < 6) {
        struct promise p = {.release = w->now + draw(&w->seed, 200)};
        p.deadline = p.release + slack;
        uint32_t items = 1 + (uint32_t)draw(&w->seed, 4);
        if (w->opened < OPEN_MAX &&
            edge_sched_reserve(w->sched, w->models[which], items, p.release, p.deadline, w->now,
                               &p.reservation, NULL) == 0)
            w->open[w->opened++] = p;
    } else if (kind < 8 && w->opened) {
        uint32_t i = (uint32_t)draw(&w->seed, w->opened);
        struct promise p = w->open[i];
        edge_ns early = draw(&w->seed, 60), at = p.release > early ? p.release - early : 0;
        pass(w, at > w->now ? at : w->now);
        w->open[i] = w->open[--w->opened];
        w->due[w->serial] = w->now <= p.release ? p.deadline : 0;
        int claimed = edge_sched_claim(w->sched, p.reservation, w->serial++, w->now);
        CHECK(claimed == 1 || w->now > p.release);
        w->claimed += claimed == 1 && w->due[w->serial - 1];
    } else if (kind == 8 && w->opened) {
        struct promise p = w->open[--w->opened];
        CHECK(edge_sched_cancel(w->sched, p.reservation) == 0);
        CHECK(edge_sched_cancel(w->sched, p.reservation) < 0);
    } else
        pass(w, w->now + 1 + draw(&w->seed, 120));
    dispatch(w);
}

static uint64_t run(uint64_t seed)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.seed = seed;
    edge_sched_config config = {.devices = DEVICES, .jobs = 128, .reservations = OPEN_MAX + 1};
    CHECK(edge_sched_create(&config, &w.sched) == 0);
    edge_sched_app live, archive;
    CHECK(edge_sched_add_app(w.sched, &(edge_sched_app_spec){1, 0}, &live) == 0);
    CHECK(edge_sched_add_app(w.sched, &(edge_sched_app_spec){1, 1}, &archive) == 0);
    for (uint32_t m = 0; m < 3; m++) {
        edge_ns cost[4] = {10 + draw(&w.seed, 80)};
        for (int b = 1; b < 4; b++)
            cost[b] = cost[b - 1] + draw(&w.seed, 30);
        uint32_t devices = m == 2 ? 2 : 0;
        CHECK(edge_sched_add_model(w.sched, cost, 4, devices, &w.models[m]) == 0);
    }
    for (uint32_t i = 0; i < 6; i++) {
        edge_sched_stream_spec spec = {i == 5 ? archive : live, w.models[i % 3], 0, 1u << 30,
                                       1 + i % 3};
        CHECK(edge_sched_add_stream(w.sched, &spec, &w.streams[i], NULL) == 0);
    }
    for (int i = 0; i < 400; i++)
        act(&w);
    pass(&w, w.now + 10000);
    CHECK(w.kept == w.claimed);
    edge_sched_destroy(w.sched);
    return w.kept;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 300;
    uint64_t kept = 0;
    for (int i = 1; i <= rounds; i++)
        kept += run((uint64_t)i * 7919);
    printf("%d worlds, %llu promises kept\n", rounds, (unsigned long long)kept);
    return kept ? 0 : 1;
}
