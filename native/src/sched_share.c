#include "sched_state.h"

bool edge_sched_share_admits(struct edge_sched *s, struct stream *stream)
{
    (void)s;
    (void)stream;
    return true;
}

void edge_sched_share_arrived(struct edge_sched *s, struct stream *stream, uint32_t items,
                              edge_ns now)
{
    (void)s;
    (void)stream;
    (void)items;
    (void)now;
}

void edge_sched_share_served(struct edge_sched *s, struct stream *stream)
{
    (void)s;
    (void)stream;
}
