#include "futex.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of linux/futex.h, which a musl toolchain need not have. */
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

#define SECOND UINT64_C(1000000000)

struct time64 {
    int64_t seconds;
    int64_t nanoseconds;
};

/* The segment is shared between processes, so never FUTEX_PRIVATE_FLAG. */
static long futex(const edge_word *word, int operation, uint32_t value, const struct time64 *time)
{
#if defined(SYS_futex_time64)
    long result = syscall(SYS_futex_time64, word, operation, value, time, NULL, 0);
    if (result >= 0 || errno != ENOSYS) {
        return result;
    }
    /* A kernel before 5.1 on a 32-bit machine. */
    struct {
        int32_t seconds;
        int32_t nanoseconds;
    } small;
    if (time != NULL) {
        small.seconds = time->seconds > INT32_MAX ? INT32_MAX : (int32_t)time->seconds;
        small.nanoseconds = (int32_t)time->nanoseconds;
    }
    return syscall(SYS_futex, word, operation, value, time != NULL ? &small : NULL, NULL, 0);
#else
    _Static_assert(sizeof(long) == 8, "a 32-bit machine needs futex_time64");
    return syscall(SYS_futex, word, operation, value, time, NULL, 0);
#endif
}

int futex_sleep(const edge_word *word, uint32_t expected, edge_ns timeout)
{
    struct time64 time = {
        .seconds = (int64_t)(timeout / SECOND),
        .nanoseconds = (int64_t)(timeout % SECOND),
    };
    long result = futex(word, FUTEX_WAIT, expected, timeout == UINT64_MAX ? NULL : &time);
    return result < 0 && errno == EINTR;
}

void futex_wake_all(edge_word *word)
{
    futex(word, FUTEX_WAKE, INT_MAX, NULL);
}

static edge_ns read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

edge_ns clock_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

edge_ns clock_coarse(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}
