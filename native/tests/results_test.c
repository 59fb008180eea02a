/* Results go back from the agent to the firmware. */
#include "../src/ring_layout.h"
#include "check.h"

#include <edgesdk/results.h>

#include <errno.h>
#include <sys/wait.h>

static char name[64];

static edge_result record(uint64_t sequence, uint32_t items)
{
    edge_result result = {
        .frame_sequence = sequence,
        .frame_epoch = 2,
        .capture_mono_ns = sequence * 10,
        .count = items,
        .items_count = items,
        .measure = {3, -4},
        .application = "people",
    };
    for (uint32_t i = 0; i < items; i++) {
        result.items[i] = (edge_detection){
            .x1 = (float)i, .x2 = 9, .score = 0.5f, .track_id = i, .label = "person"};
    }
    return result;
}

static void records_arrive_as_they_were_published(void)
{
    edge_results_writer *writer;
    edge_results_reader *reader;
    edge_result got[4];
    CHECK_EQ(edge_results_open(&reader, name, 0), -ENOENT);
    CHECK_EQ(edge_results_create(&writer, name, 0, 0), 0);
    CHECK_EQ(edge_results_open(&reader, name, 0), 0);
    CHECK_EQ(edge_results_take(reader, got, 4), 0);
    for (uint32_t items = 0; items <= 64; items += 32) {
        edge_result sent = record(items + 1, items);
        CHECK_EQ(edge_results_publish(writer, &sent), 0);
    }
    CHECK_EQ(edge_results_wait(reader, UINT64_MAX), 1);
    CHECK_EQ(edge_results_take(reader, got, 4), 3);
    for (uint32_t i = 0; i < 3; i++) {
        edge_result sent = record(i * 32 + 1, i * 32);
        CHECK(memcmp(&sent, &got[i], sizeof sent) == 0);
    }
    edge_result bad = record(1, 1);
    bad.items_count = 65;
    CHECK_EQ(edge_results_publish(writer, &bad), -EINVAL);
    edge_results_writer_close(writer, 1);
    CHECK_EQ(edge_results_take(reader, got, 4), -ESTALE);
    edge_results_reader_close(reader);
}

static void a_slow_firmware_loses_the_oldest_and_can_tell(void)
{
    edge_results_writer *writer;
    edge_results_reader *reader;
    edge_result got[64];
    CHECK_EQ(edge_results_create(&writer, name, 8, 0), 0);
    CHECK_EQ(edge_results_open(&reader, name, 0), 0);
    for (uint64_t i = 1; i <= 20; i++) {
        edge_result sent = record(i, 1);
        CHECK_EQ(edge_results_publish(writer, &sent), 0);
    }
    int n = edge_results_take(reader, got, 64);
    CHECK(n > 4);
    CHECK_EQ(got[n - 1].frame_sequence, 20);
    CHECK_EQ(edge_results_lost(reader), 20 - n);
    edge_results_reader_close(reader);
    edge_results_writer_close(writer, 1);
}

static void the_agent_may_die_and_come_back(void)
{
    edge_results_reader *reader;
    edge_result got;
    for (int life = 0; life < 3; life++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            edge_results_writer *writer;
            edge_result sent = record((uint64_t)life + 1, 1);
            CHECK_EQ(edge_results_create(&writer, name, 0, 0), 0);
            CHECK_EQ(edge_results_publish(writer, &sent), 0);
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
        if (life == 0) {
            CHECK_EQ(edge_results_open(&reader, name, 0), 0);
        }
        CHECK_EQ(edge_results_take(reader, &got, 1), 1);
        CHECK_EQ(got.frame_sequence, life + 1);
    }
    edge_results_reader_close(reader);
    char ring[80];
    snprintf(ring, sizeof ring, "%s.results", name);
    CHECK_EQ(edge_ring_unlink(ring), 0);
}

static void a_frame_ring_is_no_results_ring(void)
{
    edge_ring_writer *writer;
    edge_results_reader *reader;
    char ring[80];
    snprintf(ring, sizeof ring, "%s.results", name);
    edge_ring_config config = {.slot_bytes = 100};
    CHECK_EQ(edge_ring_create(&writer, ring, &config), 0);
    CHECK_EQ(edge_results_open(&reader, name, 0), -EDGE_E_HEADER);
    edge_ring_writer_close(writer, 1);
}

static void a_record_that_makes_no_sense_is_refused(void)
{
    edge_result out;
    edge_result sent = record(1, 2);
    CHECK_EQ(result_unpack(&out, &sent, 111), -EBADMSG);
    CHECK_EQ(result_unpack(&out, &sent, 112 + 64), -EBADMSG);
    CHECK_EQ(out.items_count, 0);
    CHECK_EQ(result_unpack(&out, &sent, sizeof sent + 1), -EBADMSG);
    memset(sent.application, 'a', sizeof sent.application);
    memset(sent.items[0].label, 'b', sizeof sent.items[0].label);
    CHECK_EQ(result_unpack(&out, &sent, 112 + 128), 0);
    CHECK_EQ(strlen(out.application), 31);
    CHECK_EQ(strlen(out.items[0].label), 31);
}

int main(void)
{
    unique_name(name, "results");
    records_arrive_as_they_were_published();
    a_slow_firmware_loses_the_oldest_and_can_tell();
    the_agent_may_die_and_come_back();
    a_frame_ring_is_no_results_ring();
    a_record_that_makes_no_sense_is_refused();
    return 0;
}
