/* Same calls, same clock: the same trace to the byte on every machine. The golden trace was printed
 * by this program on x86-64:  sched_trace_test --print > tests/sched_trace_golden.h
 *
 * The load is three live applications and an archive on two devices, sometimes too much, with
 * costs that vary, and offers of other nodes. */
#include "sched_world.h"

#include <stdbool.h>
#include <string.h>

#define STREAMS 40
#define MODELS 5
#define DEVICES 2
#define LINES 200
#define STEPS 40000

static const char *const golden[] = {
#include "sched_trace_golden.h"
};

static uint64_t hash = UINT64_C(14695981039346656037);
static uint32_t lines;
static bool print;

/* Only the first lines are kept in words; a hash stands for all. */
static void trace(const char *line)
{
    for (const char *c = line; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    if (lines >= LINES)
        return;
    if (print)
        printf("\"%s\",\n", line);
    else if (strcmp(line, golden[lines])) {
        fprintf(stderr, "line %u: %s\nexpected %s\n", lines, line, golden[lines]);
        exit(1);
    }
    lines++;
}

static void trace_batch(const edge_sched_batch *b, edge_ns now)
{
    char line[512];
    int at = snprintf(line, sizeof line, "%llu d%u m%u x%u ends %llu:", (unsigned long long)now,
                      b->device, b->model.id, b->items, (unsigned long long)b->ends);
    for (uint32_t i = 0; i < b->count; i++)
        at +=
            snprintf(line + at, sizeof line - (size_t)at, " %llu", (unsigned long long)b->jobs[i]);
    trace(line);
}

static void trace_drops(edge_sched *sched)
{
    edge_sched_drop drops[16];
    int n;
    while ((n = edge_sched_drops(sched, drops, 16)) > 0)
        for (int i = 0; i < n; i++) {
            char line[64];
            snprintf(line, sizeof line, "drop %llu %u", (unsigned long long)drops[i].job,
                     drops[i].reason);
            trace(line);
        }
}

static void build(edge_sched *sched, uint64_t *seed, edge_sched_stream *streams,
                  edge_sched_model *models)
{
    edge_sched_app apps[4];
    for (uint32_t a = 0; a < 4; a++) {
        edge_sched_app_spec spec = {a == 2 ? 2 : 1, a == 3};
        CHECK(edge_sched_add_app(sched, &spec, &apps[a]) == 0);
    }
    for (uint32_t m = 0; m < MODELS; m++) {
        edge_ns cost[8], fixed = 2000000 + draw(seed, 3000000), each = 500000 + draw(seed, 1500000);
        for (uint32_t b = 0; b < 8; b++)
            cost[b] = fixed + each * (b + 1);
        CHECK(edge_sched_add_model(sched, cost, 8, m == 4 ? 1 : 0, &models[m]) == 0);
    }
    for (uint32_t i = 0; i < STREAMS; i++) {
        edge_sched_stream_spec spec = {apps[i % 8 == 7 ? 3 : i % 3], models[i % MODELS], 0,
                                       i % 8 == 7 ? (edge_ns)1 << 40 : 100000000, 1 + i % 4};
        CHECK(edge_sched_add_stream(sched, &spec, &streams[i], NULL) == 0);
    }
}

static void run(void)
{
    uint64_t seed = 20191027, serial = 0;
    edge_sched *sched;
    edge_sched_config config = {.devices = DEVICES, .jobs = 512, .reservations = 8};
    edge_sched_stream streams[STREAMS];
    edge_sched_model models[MODELS];
    CHECK(edge_sched_create(&config, &sched) == 0);
    build(sched, &seed, streams, models);
    edge_sched_batch running[DEVICES] = {{0}};
    edge_ns began[DEVICES], ends[DEVICES], now = 0;
    edge_sched_reservation open[4];
    uint32_t opened = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        now += draw(&seed, step % 10000 < 5000 ? 1500000 : 6000000);
        for (uint32_t d = 0; d < DEVICES; d++)
            if (running[d].count && ends[d] <= now) {
                CHECK(edge_sched_done(sched, running[d].id, ends[d] - began[d], 1, now) == 0);
                running[d].count = 0;
            }
        edge_sched_job jobs[3];
        for (int i = 0; i < 3; i++) {
            uint32_t stream = (uint32_t)draw(&seed, STREAMS);
            jobs[i] = (edge_sched_job){streams[stream], 1 + (uint32_t)draw(&seed, 2), serial++,
                                       now + 20000000 + draw(&seed, 200000000)};
        }
        CHECK(edge_sched_submit(sched, jobs, 3, now) >= 0);
        if (step % 7 == 0 && opened < 4 &&
            edge_sched_reserve(sched, models[step % MODELS], 2, now + draw(&seed, 20000000),
                               now + 60000000, now, &open[opened], NULL) == 0)
            opened++;
        if (step % 5 == 0 && opened && edge_sched_claim(sched, open[--opened], serial, now) >= 0)
            serial++;
        for (uint32_t d = 0; d < DEVICES; d++) {
            if (running[d].count || edge_sched_next(sched, d, &running[d], now) <= 0)
                continue;
            began[d] = now;
            ends[d] = now + 1 + (running[d].ends - now) * (70 + draw(&seed, 33)) / 100;
            trace_batch(&running[d], now);
        }
        trace_drops(sched);
    }
    edge_sched_stats s;
    CHECK(edge_sched_get_stats(sched, &s) == 0);
    CHECK(s.submitted == s.done + s.dropped[0] + s.queued + s.running);
    CHECK(s.claimed && s.dropped[EDGE_DROP_THINNED] && s.dropped[EDGE_DROP_DEADLINE] &&
          s.dropped[EDGE_DROP_QUEUE]);
    edge_sched_destroy(sched);
}

int main(int argc, char **argv)
{
    print = argc > 1 && !strcmp(argv[1], "--print");
    if (print)
        printf("/* clang-format off */\n");
    run();
    char line[32];
    snprintf(line, sizeof line, "hash %016llx", (unsigned long long)hash);
    if (print)
        printf("\"%s\",\n", line);
    else if (strcmp(line, golden[LINES])) {
        fprintf(stderr, "%s, expected %s\n", line, golden[LINES]);
        return 1;
    }
    return 0;
}
