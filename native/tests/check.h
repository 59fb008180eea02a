/* check.h - for tests: CHECK that ends the program, names that no other run has, soak counts. */
#ifndef EDGE_CHECK_H
#define EDGE_CHECK_H

#include <edgesdk/edgesdk.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define CHECK_EQ(got, wanted)                                                                      \
    do {                                                                                           \
        long long got_ = (long long)(got);                                                         \
        long long wanted_ = (long long)(wanted);                                                   \
        if (got_ != wanted_) {                                                                     \
            fprintf(stderr, "%s:%d: %s is %lld (%s), not %lld (%s)\n", __FILE__, __LINE__, #got,   \
                    got_, edge_strerror((int)got_), wanted_, edge_strerror((int)wanted_));         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define SKIPPED 77

static inline const char *unique_name(char buffer[64], const char *what)
{
    snprintf(buffer, 64, "test.%s.%d", what, (int)getpid());
    return buffer;
}

/* `full` with EDGE_SOAK=1, a share of it otherwise. */
static inline int soak_count(int full, int share)
{
    const char *soak = getenv("EDGE_SOAK");
    return soak != NULL && strcmp(soak, "1") == 0 ? full : full / share;
}

/* How long to let threads race: EDGE_STRESS_MS, or a moment. */
static inline uint64_t stress_milliseconds(void)
{
    const char *given = getenv("EDGE_STRESS_MS");
    return given != NULL ? strtoull(given, NULL, 10) : 400;
}

static inline uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* xorshift64*: deterministic by seed. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

#endif
