/* What a ring does with segments, users and processes that mean it ill. */
#include "../src/ring_layout.h"
#include "ring_frames.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char ring_name[64];
static char ring_path[128];
static const edge_ring_config config = {.slot_bytes = 4096, .slots = 4};

static int open_code(uint32_t flags)
{
    edge_ring_reader *reader;
    int error = edge_ring_open(&reader, ring_name, flags, NULL, 0);
    if (error == 0) {
        edge_ring_reader_close(reader);
    }
    return error;
}

static int create_code(void)
{
    edge_ring_writer *writer;
    int error = edge_ring_create(&writer, ring_name, &config);
    if (error == 0) {
        edge_ring_writer_close(writer, 0);
    }
    return error;
}

/* A ring whose writer is gone, with a frame in it. */
static void leave_a_ring(void)
{
    edge_ring_writer *writer;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    publish_painted(writer, 4096, 1);
    edge_ring_writer_close(writer, 0);
}

static void scribble(uint64_t offset, const void *bytes, size_t n)
{
    int fd = open(ring_path, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(pwrite(fd, bytes, n, (off_t)offset), n);
    close(fd);
}

struct lie {
    size_t offset;
    size_t size;
    uint64_t value;
    int error;
};
#define LIE(field, lie_value, code)                                                                \
    {                                                                                              \
        offsetof(struct ring_header, field), sizeof(((struct ring_header *)0)->field), lie_value,  \
            -(code)                                                                                \
    }

static void a_hostile_header_is_refused_by_readers_and_replaced_by_a_writer(void)
{
    const struct lie lies[] = {
        LIE(magic, 0, EDGE_E_MAGIC),
        LIE(magic, UINT64_C(0x4544474552494e47), EDGE_E_MAGIC),
        LIE(major, 0, EDGE_E_VERSION),
        LIE(major, RING_MAJOR + 1, EDGE_E_VERSION),
        LIE(header_bytes, 0, EDGE_E_HEADER),
        LIE(header_bytes, UINT32_MAX, EDGE_E_HEADER),
        LIE(kind, RING_KIND_RESULTS, EDGE_E_HEADER),
        LIE(segment_bytes, UINT64_MAX, EDGE_E_HEADER),
        LIE(segment_bytes, 0, EDGE_E_HEADER),
        LIE(segment_bytes, UINT64_C(1) << 30, EDGE_E_TRUNCATED),
        LIE(slots, 0, EDGE_E_HEADER),
        LIE(slots, 65, EDGE_E_HEADER),
        LIE(slots, UINT32_MAX, EDGE_E_HEADER),
        LIE(slots, 64, EDGE_E_HEADER),
        LIE(places, 33, EDGE_E_HEADER),
        LIE(max_holds, 0, EDGE_E_HEADER),
        LIE(max_holds, 4, EDGE_E_HEADER),
        LIE(max_begun, 3, EDGE_E_HEADER),
        LIE(slot_bytes, 0, EDGE_E_HEADER),
        LIE(slot_bytes, UINT64_MAX, EDGE_E_HEADER),
        LIE(slot_stride, 1, EDGE_E_HEADER),
        LIE(slot_stride, UINT64_C(1) << 62, EDGE_E_HEADER),
        LIE(slot_stride, UINT64_MAX & ~UINT64_C(4095), EDGE_E_HEADER),
        LIE(control_offset, 0, EDGE_E_HEADER),
        LIE(state_offset, 1, EDGE_E_HEADER),
        LIE(frames_offset, 0, EDGE_E_HEADER),
        LIE(frames_offset, UINT64_MAX - 4095, EDGE_E_HEADER),
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        leave_a_ring();
        scribble(lies[i].offset, &lies[i].value, lies[i].size);
        CHECK_EQ(open_code(0), lies[i].error);
        edge_ring_writer *writer;
        CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
        CHECK_EQ(edge_ring_epoch(writer), 1);
        publish_painted(writer, 4096, 1);
        CHECK_EQ(open_code(0), 0);
        edge_ring_writer_close(writer, 1);
    }
}

static void a_truncated_segment_is_refused(void)
{
    const off_t sizes[] = {0, 1, 127, 128, 4096, 12288, 20000};
    const int errors[] = {EDGE_E_MAGIC,     EDGE_E_TRUNCATED, EDGE_E_TRUNCATED, EDGE_E_TRUNCATED,
                          EDGE_E_TRUNCATED, EDGE_E_TRUNCATED, EDGE_E_TRUNCATED};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        leave_a_ring();
        CHECK_EQ(truncate(ring_path, sizes[i]), 0);
        CHECK_EQ(open_code(0), -errors[i]);
        CHECK_EQ(create_code(), 0);
        CHECK_EQ(edge_ring_unlink(ring_name), 0);
    }
}

static void random_state_under_a_true_header_crashes_nobody(int rounds)
{
    uint64_t random = 20261121;
    for (int i = 0; i < rounds; i++) {
        edge_ring_writer *writer;
        edge_ring_reader *reader;
        CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
        CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
        publish_painted(writer, 4096, 1);
        for (int k = 0; k < 20; k++) {
            uint64_t noise = next_random(&random) >> next_random(&random) % 64;
            scribble(RING_CONTROL_OFFSET + next_random(&random) % 12000, &noise, 8);
        }
        for (int k = 0; k < 10; k++) {
            edge_frame frames[4];
            edge_ring_info info;
            int n = edge_ring_take(reader, (enum edge_take)(k % 2), frames, 4);
            CHECK(n <= 4);
            for (int f = 0; f < n; f++) {
                CHECK(frames[f].bytes <= 4096);
                (void)((volatile unsigned char *)frames[f].data)[4095];
            }
            edge_ring_release(reader, frames, n > 0 ? (uint32_t)n : 0);
            edge_ring_get_info(reader, &info);
            edge_frame frame;
            if (edge_ring_begin(writer, 4096, &frame) == 0) {
                memset(frame.data, 1, 4096);
                CHECK_EQ(edge_ring_commit(writer, &frame), 0);
            }
        }
        edge_ring_reader_close(reader);
        edge_ring_writer_close(writer, 0);
        CHECK_EQ(create_code(), 0);
        CHECK_EQ(edge_ring_unlink(ring_name), 0);
    }
}

static void a_head_beyond_all_counting_is_an_error_and_no_endless_loop(void)
{
    const uint64_t heads[] = {UINT64_MAX, UINT64_MAX - 2, UINT64_C(1) << 63, RING_SEQUENCE_MAX};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        edge_ring_writer *writer;
        edge_ring_reader *reader;
        edge_frame frame;
        CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
        CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
        publish_painted(writer, 4096, 1);
        scribble(RING_STATE_OFFSET + offsetof(struct ring_state, head), &heads[i], 8);
        CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), -EBADMSG);
        CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_LATEST, &frame, 1), -EBADMSG);
        CHECK_EQ(open_code(0), -EDGE_E_HEADER);
        /* The writer's own count is not in the segment, so the next frame mends it. */
        publish_painted(writer, 4096, 2);
        CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_LATEST, &frame, 1), 1);
        CHECK_EQ(frame.sequence, 2);
        edge_ring_reader_close(reader);
        edge_ring_writer_close(writer, 1);
    }
}

static void a_bad_descriptor_is_passed_and_not_in_the_way_of_the_next_frame(void)
{
    const uint64_t no_slot = UINT64_C(1) << 6 | 63;
    const uint64_t much = 4097;
    for (int mode = 0; mode < 4; mode++) {
        edge_ring_writer *writer;
        edge_ring_reader *reader;
        edge_frame frame;
        CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
        CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
        CHECK_EQ(edge_ring_begin(writer, 4096, &frame), 0);
        CHECK_EQ(edge_ring_commit(writer, &frame), 0);
        if (mode / 2 == 0) {
            scribble(RING_STATE_OFFSET + offsetof(struct ring_state, trail) + 8, &no_slot, 8);
        } else {
            scribble(RING_STATE_OFFSET + offsetof(struct ring_state, slot) +
                         frame.slot * sizeof(struct ring_slot) + offsetof(struct ring_slot, bytes),
                     &much, 8);
        }
        CHECK_EQ(edge_ring_take(reader, (enum edge_take)(mode % 2), &frame, 1), -EBADMSG);
        CHECK_EQ(edge_ring_take(reader, (enum edge_take)(mode % 2), &frame, 1), 0);
        publish_painted(writer, 4096, 2);
        CHECK_EQ(edge_ring_take(reader, (enum edge_take)(mode % 2), &frame, 1), 1);
        CHECK_EQ(frame.sequence, 2);
        edge_ring_reader_close(reader);
        edge_ring_writer_close(writer, 1);
    }
}

static void what_a_writer_killed_in_a_move_left_is_removed_by_the_next(void)
{
    char next[128];
    snprintf(next, sizeof next, "/dev/shm/edgesdk.next.%s", ring_name);
    for (int by_unlink = 0; by_unlink < 2; by_unlink++) {
        leave_a_ring();
        close(open(next, O_CREAT | O_RDWR, 0600));
        CHECK_EQ(access(next, F_OK), 0);
        CHECK_EQ(by_unlink ? edge_ring_unlink(ring_name) : create_code(), 0);
        CHECK_EQ(access(next, F_OK), -1);
    }
    edge_ring_unlink(ring_name);
}

static void a_continued_ring_gets_the_permissions_asked_for_now(void)
{
    edge_ring_config shared = config;
    shared.mode = 0660;
    leave_a_ring();
    edge_ring_writer *writer;
    struct stat status;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &shared), 0);
    CHECK_EQ(edge_ring_epoch(writer), 2);
    CHECK_EQ(stat(ring_path, &status), 0);
    CHECK_EQ(status.st_mode & 07777, 0660);
    edge_ring_writer_close(writer, 1);
}

static void what_is_no_file_of_ours_is_not_opened(void)
{
    CHECK_EQ(mkfifo(ring_path, 0600), 0);
    CHECK_EQ(open_code(0), -EDGE_E_MAGIC);
    CHECK_EQ(unlink(ring_path), 0);
    leave_a_ring();
    char elsewhere[160];
    snprintf(elsewhere, sizeof elsewhere, "%s.moved", ring_path);
    CHECK_EQ(rename(ring_path, elsewhere), 0);
    CHECK_EQ(symlink(elsewhere, ring_path), 0);
    CHECK_EQ(open_code(0), -EDGE_E_OWNER);
    CHECK_EQ(create_code(), -EDGE_E_OWNER);
    CHECK_EQ(unlink(ring_path), 0);
    CHECK_EQ(rename(elsewhere, ring_path), 0);
    CHECK_EQ(chmod(ring_path, 0666), 0);
    CHECK_EQ(open_code(0), -EDGE_E_OWNER);
    CHECK_EQ(chmod(ring_path, 0600), 0);
    CHECK_EQ(edge_ring_unlink(ring_name), 0);
}

#define NOBODY 65534

static int as_nobody(int (*call)(void))
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_EQ(setgroups(0, NULL), 0);
        CHECK_EQ(setgid(NOBODY), 0);
        CHECK_EQ(setuid(NOBODY), 0);
        _exit(-call() & 0xff);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int open_plainly(void)
{
    return open_code(0);
}

static int move_code(void)
{
    edge_ring_writer *writer;
    edge_frame frame;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    int error = edge_ring_begin(writer, 5000, &frame);
    edge_ring_writer_close(writer, 1);
    return error;
}

static void another_users_segment_is_a_named_error(void)
{
    if (geteuid() != 0) {
        printf("not root: other users are not tried\n");
        return;
    }
    leave_a_ring();
    CHECK_EQ(as_nobody(open_plainly), EACCES);
    CHECK_EQ(as_nobody(create_code), EACCES);
    CHECK_EQ(edge_ring_unlink(ring_name), 0);
    /* The other way round: root could open it, and would die if its owner truncated it. */
    CHECK_EQ(as_nobody(create_code), 0);
    CHECK_EQ(open_code(0), -EDGE_E_OWNER);
    CHECK_EQ(create_code(), -EDGE_E_OWNER);
    CHECK_EQ(open_code(EDGE_RING_ANY_USER), 0);
    CHECK_EQ(unlink(ring_path), 0);
    /* Somebody keeps the name by which a ring moves. */
    char next[128];
    snprintf(next, sizeof next, "/dev/shm/edgesdk.next.%s", ring_name);
    close(open(next, O_CREAT | O_RDWR, 0600));
    CHECK_EQ(as_nobody(move_code), EDGE_E_OWNER & 0xff);
    CHECK_EQ(unlink(next), 0);
    CHECK_EQ(as_nobody(move_code), 0);
    /* A group that shares it. */
    edge_ring_writer *writer;
    edge_ring_config shared = config;
    shared.mode = 0660;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &shared), 0);
    CHECK_EQ(chown(ring_path, 0, NOBODY), 0);
    CHECK_EQ(as_nobody(open_plainly), 0);
    edge_ring_writer_close(writer, 1);
}

static void the_33rd_reader_is_refused_until_one_leaves(void)
{
    edge_ring_writer *writer;
    edge_ring_reader *readers[33];
    edge_frame frames[32];
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    for (int i = 0; i < 32; i++) {
        CHECK_EQ(edge_ring_open(&readers[i], ring_name, 0, NULL, 0), 0);
    }
    CHECK_EQ(edge_ring_open(&readers[32], ring_name, 0, NULL, 0), -EDGE_E_READERS);
    publish_painted(writer, 4096, 1);
    for (int i = 0; i < 32; i++) {
        CHECK_EQ(edge_ring_take(readers[i], EDGE_TAKE_NEXT, &frames[i], 1), 1);
    }
    edge_ring_reader_close(readers[7]);
    CHECK_EQ(edge_ring_open(&readers[7], ring_name, 0, NULL, 0), 0);
    for (int i = 0; i < 100; i++) {
        publish_painted(writer, 4096, 2);
    }
    CHECK(painted(&frames[31]));
    CHECK_EQ(frames[31].sequence, 1);
    for (int i = 0; i < 32; i++) {
        edge_ring_reader_close(readers[i]);
    }
    edge_ring_writer_close(writer, 1);
}

static void handles_do_not_survive_fork(void)
{
    edge_ring_writer *writer;
    edge_ring_reader *reader;
    edge_bell *bell;
    edge_frame frame;
    edge_frame begun;
    CHECK_EQ(edge_bell_create(&bell, ring_name, 0), 0);
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, bell, 0), 0);
    publish_painted(writer, 4096, 1);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    CHECK_EQ(edge_ring_begin(writer, 4096, &begun), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        uint32_t tag;
        edge_ring_info info;
        CHECK_EQ(edge_ring_begin(writer, 4096, &frame), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_commit(writer, &begun), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_abort(writer, &begun), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_end(writer), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_wait_taken(writer, 0), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_wait(reader, 0), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_retain(reader, &frame), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_release(reader, &frame, 1), -EDGE_E_FORKED);
        CHECK_EQ(edge_ring_get_info(reader, &info), -EDGE_E_FORKED);
        CHECK_EQ(edge_bell_ring(bell, 0), -EDGE_E_FORKED);
        CHECK_EQ(edge_bell_wait(bell, 0, &tag, 1), -EDGE_E_FORKED);
        edge_ring_reader_close(reader);
        edge_ring_writer_close(writer, 1);
        edge_bell_close(bell);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* Nothing that the child did, closing included, reached the parent's ring. */
    CHECK_EQ(edge_ring_commit(writer, &begun), 0);
    CHECK(painted(&frame));
    CHECK_EQ(edge_ring_release(reader, &frame, 1), 0);
    CHECK_EQ(create_code(), -EDGE_E_WRITER);
    CHECK_EQ(open_code(0), 0);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
    edge_bell_close(bell);
}

static void what_a_forked_child_keeps_alive_goes_with_it(void)
{
    edge_ring_writer *writer;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    publish_painted(writer, 4096, 1);
    int ready[2];
    int leave[2];
    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(pipe(leave), 0);
    pid_t parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        edge_ring_reader *reader;
        edge_frame frame;
        close(leave[1]);
        CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
        CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), -EDGE_E_FORKED);
            char byte = 1;
            CHECK_EQ(write(ready[1], &byte, 1), 1);
            CHECK_EQ(read(leave[0], &byte, 1), 0);
            _exit(0);
        }
        pause();
    }
    char byte;
    close(ready[1]);
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_EQ(kill(parent, SIGKILL), 0);
    int status;
    CHECK_EQ(waitpid(parent, &status, 0), parent);
    /* The child has the dead parent's lock: its hold stays, and starves nobody. */
    edge_ring_reader *reader;
    edge_ring_info info;
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
    for (int i = 0; i < 100; i++) {
        publish_painted(writer, 4096, 2);
    }
    CHECK_EQ(edge_ring_get_info(reader, &info), 0);
    CHECK_EQ(info.readers, 2);
    close(leave[1]);
    /* Its end of the pipe closes as it exits. */
    CHECK_EQ(read(ready[0], &byte, 1), 0);
    uint64_t begin = now_ns();
    do {
        publish_painted(writer, 4096, 3);
        CHECK_EQ(edge_ring_get_info(reader, &info), 0);
        CHECK(now_ns() - begin < UINT64_C(1000000000));
    } while (info.readers != 1);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

static void frames_cannot_be_written_through_a_readers_mapping(void)
{
    edge_ring_writer *writer;
    edge_ring_reader *reader;
    edge_frame frame;
    CHECK_EQ(edge_ring_create(&writer, ring_name, &config), 0);
    CHECK_EQ(edge_ring_open(&reader, ring_name, 0, NULL, 0), 0);
    publish_painted(writer, 4096, 1);
    CHECK_EQ(edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1), 1);
    /* The kernel checks a buffer that read() is to fill: EFAULT instead of a signal. */
    int zero = open("/dev/zero", O_RDONLY);
    CHECK_EQ(read(zero, frame.data, 1), -1);
    CHECK_EQ(errno, EFAULT);
    close(zero);
    edge_ring_reader_close(reader);
    edge_ring_writer_close(writer, 1);
}

int main(void)
{
    unique_name(ring_name, "hostile");
    snprintf(ring_path, sizeof ring_path, "/dev/shm/edgesdk.ring.%s", ring_name);
    a_hostile_header_is_refused_by_readers_and_replaced_by_a_writer();
    a_truncated_segment_is_refused();
    random_state_under_a_true_header_crashes_nobody(soak_count(2000, 20));
    a_head_beyond_all_counting_is_an_error_and_no_endless_loop();
    a_bad_descriptor_is_passed_and_not_in_the_way_of_the_next_frame();
    what_a_writer_killed_in_a_move_left_is_removed_by_the_next();
    a_continued_ring_gets_the_permissions_asked_for_now();
    what_is_no_file_of_ours_is_not_opened();
    another_users_segment_is_a_named_error();
    the_33rd_reader_is_refused_until_one_leaves();
    handles_do_not_survive_fork();
    what_a_forked_child_keeps_alive_goes_with_it();
    frames_cannot_be_written_through_a_readers_mapping();
    return 0;
}
