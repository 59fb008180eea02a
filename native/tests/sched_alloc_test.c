/* After create the scheduler allocates nothing: counted by standing in for the allocator. */
#include "sched_world.h"

#include <errno.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static uint64_t allocations;

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTS 1
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}
void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}
void free(void *memory)
{
    __libc_free(memory);
}
#endif

#define STREAMS 1000
#define MODELS 20

static void work(edge_sched *sched)
{
    static edge_sched_stream streams[STREAMS];
    edge_sched_model models[MODELS];
    edge_sched_app apps[2];
    for (uint32_t a = 0; a < 2; a++)
        CHECK(edge_sched_add_app(sched, &(edge_sched_app_spec){1, a}, &apps[a]) == 0);
    edge_ns cost[8];
    for (uint32_t b = 0; b < 8; b++)
        cost[b] = 4000000 + 1500000 * b;
    for (uint32_t m = 0; m < MODELS; m++)
        CHECK(edge_sched_add_model(sched, cost, 8, 0, &models[m]) == 0);
    for (uint32_t i = 0; i < STREAMS; i++) {
        edge_sched_stream_spec spec = {apps[i % 10 == 0], models[i % MODELS], 0, 1000000000, 2};
        CHECK(edge_sched_add_stream(sched, &spec, &streams[i], NULL) == 0);
    }
    uint64_t seed = 1;
    edge_ns now = 0;
    edge_sched_batch batch;
    edge_sched_drop drops[64];
    edge_sched_reservation reservation;
    for (uint64_t step = 0; step < 20000; step++) {
        uint32_t stream = (uint32_t)draw(&seed, STREAMS);
        edge_sched_job job = {streams[stream], 1, step, now + 20000000 + draw(&seed, 500000000)};
        CHECK(edge_sched_submit(sched, &job, 1, now) >= 0);
        if (step % 100 == 0 && edge_sched_reserve(sched, models[step % MODELS], 1, now,
                                                  now + 50000000, now, &reservation, NULL) == 0)
            CHECK(edge_sched_claim(sched, reservation, step, now) == 1);
        if (step % 4 == 0) {
            if (edge_sched_next(sched, 0, &batch, now) > 0)
                CHECK(edge_sched_done(sched, batch.id, cost[batch.items - 1], 1, now) == 0);
            while (edge_sched_drops(sched, drops, 64) > 0)
                ;
        }
        now += 2000000;
        if (step % 1000 == 999) {
            edge_sched_stream_spec spec = {apps[0], models[step % MODELS], 0, 1000000000, 2};
            CHECK(edge_sched_remove_stream(sched, streams[stream]) == 0);
            CHECK(edge_sched_add_stream(sched, &spec, &streams[stream], NULL) == 0);
        }
    }
    edge_sched_stats s;
    CHECK(edge_sched_get_stats(sched, &s) == 0);
    CHECK(s.done && s.dropped[0] && s.claimed);
}

int main(void)
{
    edge_sched_config config = {.streams = STREAMS};
    edge_sched *sched;
    uint64_t before = allocations;
    CHECK(edge_sched_create(&config, &sched) == 0);
    uint64_t once = allocations;
    work(sched);
    CHECK(allocations == once);
    edge_sched_destroy(sched);

    size_t size = edge_sched_size(&config);
    char *memory = malloc(size);
    CHECK(memory);
    uint64_t mine = allocations;
    CHECK(edge_sched_init(memory, size - 1, &config, &sched) == -EINVAL);
    CHECK(edge_sched_init(memory + 4, size, &config, &sched) == -EINVAL);
    CHECK(edge_sched_init(memory, size, &config, &sched) == 0);
    work(sched);
    CHECK(allocations == mine);
    free(memory);
    printf("%zu bytes for %u streams\n", size, STREAMS);
#ifdef COUNTS
    CHECK(once == before + 1);
    return 0;
#else
    printf("skipped: this C library or sanitizer does not let a test stand in for malloc\n");
    return before == once ? 77 : 1;
#endif
}
