/* kill -9 of writers and readers at random points. EDGE_SOAK=1: 1,000 each; a tenth otherwise. */
#include "ring_frames.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define FRAME_BYTES 4096

static char ring_name[64];
static const edge_ring_config config = {.slot_bytes = FRAME_BYTES, .slots = 8};

static void kill_and_bury(pid_t child)
{
    int status;
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void pause_ns(uint64_t nanoseconds)
{
    struct timespec time = {.tv_nsec = (long)nanoseconds};
    nanosleep(&time, NULL);
}

/* A test that fails leaves no processes. */
static pid_t fork_bound(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return child;
}

static void publish_for_ever(uint64_t seed)
{
    edge_ring_writer *writer;
    /* The killed writer's lock goes with its process, which may take a moment. */
    int error;
    do {
        error = edge_ring_create(&writer, ring_name, &config);
    } while (error == -EDGE_E_WRITER);
    CHECK_EQ(error, 0);
    for (;;) {
        /* A size that now and then moves the ring to another segment. */
        uint64_t bytes = seed % 50 == 0 ? FRAME_BYTES * (1 + seed / 50 % 3) : FRAME_BYTES;
        publish_painted(writer, bytes, seed++);
    }
}

struct witness {
    edge_ring_reader *reader;
    uint64_t sequence;
    uint32_t epoch;
    uint64_t frames;
};

static void reattach(struct witness *witness)
{
    edge_ring_reader_close(witness->reader);
    witness->reader = NULL;
    uint64_t give_up = now_ns() + UINT64_C(5000000000);
    int error;
    do {
        error = edge_ring_open(&witness->reader, ring_name, 0, NULL, 0);
        CHECK(now_ns() < give_up);
    } while (error == -ENOENT);
    CHECK_EQ(error, 0);
    CHECK_EQ(edge_ring_skip(witness->reader, witness->sequence), 0);
}

static void look(struct witness *witness, enum edge_take mode)
{
    edge_frame frames[4];
    int n = edge_ring_take(witness->reader, mode, frames, 4);
    if (n == -ESTALE) {
        reattach(witness);
        return;
    }
    CHECK(n >= 0);
    for (int i = 0; i < n; i++) {
        CHECK(painted(&frames[i]));
        CHECK_EQ(*(uint64_t *)frames[i].data, frames[i].capture_mono_ns);
        CHECK(frames[i].sequence > witness->sequence);
        CHECK(frames[i].epoch >= witness->epoch);
        witness->sequence = frames[i].sequence;
        witness->epoch = frames[i].epoch;
        witness->frames++;
    }
    CHECK_EQ(edge_ring_release(witness->reader, frames, (uint32_t)n), 0);
}

static void killed_writers_leave_no_torn_frame_and_the_next_takes_over(int kills)
{
    struct witness next = {0};
    struct witness latest = {0};
    uint64_t random = 88172645463325252u;
    uint32_t epoch = 0;
    for (int i = 0; i < kills; i++) {
        pid_t child = fork_bound();
        if (child == 0) {
            publish_for_ever((uint64_t)i * 1000003);
        }
        if (next.reader == NULL) {
            reattach(&next);
            reattach(&latest);
        }
        /* Half are killed while they come to write, half once they do. */
        uint32_t before = next.epoch;
        uint64_t give_up = now_ns() + UINT64_C(10000000000);
        while (i % 2 == 0 && next.epoch == before) {
            look(&next, EDGE_TAKE_NEXT);
            CHECK(now_ns() < give_up);
        }
        uint64_t end = now_ns() + next_random(&random) % 2000000;
        while (now_ns() < end) {
            look(&next, EDGE_TAKE_NEXT);
            look(&latest, EDGE_TAKE_LATEST);
        }
        kill_and_bury(child);
        for (int k = 0; k < 4; k++) {
            look(&next, EDGE_TAKE_NEXT);
            look(&latest, EDGE_TAKE_LATEST);
        }
        edge_ring_info info;
        CHECK_EQ(edge_ring_get_info(next.reader, &info), 0);
        CHECK_EQ(info.writer, 0);
        CHECK(info.epoch >= epoch);
        epoch = info.epoch;
    }
    CHECK(next.epoch >= (uint32_t)kills / 2);
    CHECK(next.frames >= (uint64_t)kills / 2);
    printf("%d writers killed, epoch %u, %llu frames seen whole\n", kills, next.epoch,
           (unsigned long long)next.frames);
    edge_ring_reader_close(next.reader);
    edge_ring_reader_close(latest.reader);
    CHECK_EQ(edge_ring_unlink(ring_name), 0);
}

static void hold_for_ever(int ready)
{
    edge_ring_reader *reader;
    edge_frame frame;
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
    /* One of ten may find that the others hold all there is to hold. */
    int got = edge_ring_take(reader, EDGE_TAKE_LATEST, &frame, 1);
    CHECK(got == 1 || got == -EDGE_E_HOLDS);
    char byte = 1;
    CHECK_EQ(write(ready, &byte, 1), 1);
    for (;;) {
        /* Killed anywhere in here: between hold and check, with or without a hold, asleep. */
        edge_ring_wait(reader, 200000);
        edge_ring_release(reader, &frame, 1);
        while (edge_ring_take(reader, EDGE_TAKE_LATEST, &frame, 1) != 1) {
        }
    }
}

/* Nanoseconds until one reader can hold as many slots as there are for readers. */
static uint64_t until_every_slot_is_back(edge_ring_writer *writer)
{
    uint64_t begin = now_ns();
    edge_ring_reader *reader;
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
    edge_frame frames[8];
    int held = 0;
    while (held < 6) {
        publish_painted(writer, FRAME_BYTES, 5);
        int got = edge_ring_take(reader, EDGE_TAKE_NEXT, &frames[held], 1);
        CHECK(got >= 0 || got == -EDGE_E_HOLDS);
        held += got > 0;
        CHECK(now_ns() - begin < UINT64_C(1000000000));
    }
    edge_ring_reader_close(reader);
    return now_ns() - begin;
}

static void killed_readers_give_every_slot_back_within_a_second(int kills)
{
    edge_ring_writer *writer;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    publish_painted(writer, FRAME_BYTES, 1);
    uint64_t random = 987654321;
    uint64_t worst = 0;
    for (int killed = 0; killed < kills;) {
        pid_t child[10];
        for (int i = 0; i < 10; i++) {
            int ready[2];
            CHECK_EQ(pipe(ready), 0);
            child[i] = fork_bound();
            if (child[i] == 0) {
                close(ready[0]);
                hold_for_ever(ready[1]);
            }
            char byte;
            close(ready[1]);
            CHECK_EQ(read(ready[0], &byte, 1), 1);
            close(ready[0]);
            publish_painted(writer, FRAME_BYTES, (uint64_t)killed);
        }
        for (int i = 0; i < 10; i++, killed++) {
            publish_painted(writer, FRAME_BYTES, (uint64_t)killed);
            pause_ns(next_random(&random) % 300000);
            kill_and_bury(child[i]);
        }
        uint64_t took = until_every_slot_is_back(writer);
        worst = took > worst ? took : worst;
    }
    printf("%d readers killed, all slots back after %llu us at most\n", kills,
           (unsigned long long)worst / 1000);
    edge_ring_writer_close(writer, 1);
}

static int left_behind(void)
{
    int found = 0;
    DIR *directory = opendir("/dev/shm");
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        found += strstr(entry->d_name, ring_name) != NULL;
    }
    closedir(directory);
    return found;
}

static void an_owner_killed_and_restarted_leaves_nothing_behind(int kills)
{
    uint64_t random = 1234567;
    for (int i = 0; i < kills; i++) {
        pid_t child = fork_bound();
        if (child == 0) {
            publish_for_ever((uint64_t)i);
        }
        pause_ns(next_random(&random) % 1000000);
        kill_and_bury(child);
        /* The ring, and one just about to take its name; never more, however often. */
        CHECK(left_behind() <= 2);
    }
    edge_ring_writer *writer;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    edge_ring_writer_close(writer, 1);
    CHECK_EQ(left_behind(), 0);
}

static void two_would_be_writers_get_one_ring(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        pid_t child = fork_bound();
        edge_ring_writer *writer;
        int error = edge_ring_create(&writer, ring_name, &config);
        CHECK(error == 0 || error == -EDGE_E_WRITER);
        if (child == 0) {
            /* Lives until the parent has tried, too. */
            raise(SIGSTOP);
            _exit(error == 0 ? 0 : 1);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
        CHECK(WIFSTOPPED(status));
        kill(child, SIGCONT);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status));
        CHECK_EQ((error == 0) + (WEXITSTATUS(status) == 0), 1);
        if (error == 0) {
            edge_ring_writer_close(writer, 1);
        } else {
            CHECK_EQ(edge_ring_unlink(ring_name), 0);
        }
    }
}

int main(void)
{
    unique_name(ring_name, "kill");
    setvbuf(stdout, NULL, _IOLBF, 0);
    killed_writers_leave_no_torn_frame_and_the_next_takes_over(soak_count(1000, 10));
    killed_readers_give_every_slot_back_within_a_second(soak_count(1000, 10));
    an_owner_killed_and_restarted_leaves_nothing_behind(soak_count(100, 2));
    two_would_be_writers_get_one_ring(soak_count(200, 10));
    return 0;
}
