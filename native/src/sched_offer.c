#include "sched_state.h"

void edge_sched_plan_clear(struct edge_sched *s)
{
    (void)s;
}

edge_ns edge_sched_plan_latest(const struct edge_sched *s, uint32_t device, edge_ns now)
{
    (void)s;
    (void)device;
    (void)now;
    return NEVER;
}

int edge_sched_quote(struct edge_sched *s, edge_sched_model model, uint32_t items, edge_ns release,
                     edge_ns deadline, edge_ns now, edge_ns *ends)
{
    (void)s, (void)model, (void)items, (void)release, (void)deadline, (void)now, (void)ends;
    return -EAGAIN;
}

int edge_sched_reserve(struct edge_sched *s, edge_sched_model model, uint32_t items,
                       edge_ns release, edge_ns deadline, edge_ns now,
                       edge_sched_reservation *reservation, edge_ns *ends)
{
    (void)reservation;
    return edge_sched_quote(s, model, items, release, deadline, now, ends);
}

int edge_sched_claim(struct edge_sched *s, edge_sched_reservation reservation, uint64_t job,
                     edge_ns now)
{
    (void)s, (void)reservation, (void)job, (void)now;
    return -ENOENT;
}

int edge_sched_cancel(struct edge_sched *s, edge_sched_reservation reservation)
{
    (void)s, (void)reservation;
    return -ENOENT;
}

int edge_sched_expire(struct edge_sched *s, edge_ns now)
{
    (void)s, (void)now;
    return 0;
}
