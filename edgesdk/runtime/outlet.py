"""Where the results of one application on one camera come out, in sequence order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgesdk.records import Provenance, ResultRecord, encode
from edgesdk.runtime.latency import Durations
from edgesdk.runtime.ledger import Channel, End, Entry, State
from edgesdk.runtime.results import record, stage_times
from edgesdk.runtime.sequencer import Sequencer
from edgesdk.runtime.task import Missing, Task, Wanted, worst
from edgesdk.snapshot import Histogram
from edgesdk.values import Detections, Measurement, plain

__all__ = ["Delivery", "Outlet"]


@dataclass(frozen=True, eq=False, slots=True)
class Delivery:
    """A record with the values it was made of (None where it has no outputs).

    *sinks* has the values for the sinks that streams of the application declare, by their number
    in the plan.
    """

    record: ResultRecord
    values: Mapping[str, Any] | None
    sinks: Mapping[int, Any]


class Outlet:
    """Closes ledger entries and hands their records on.

    *deliver* is called once a record, in sequence order but for those that missed their turn;
    it is given what to call, on the dispatcher, when the record needs no remembering any more.
    Owned by the dispatcher.
    """

    def __init__(
        self,
        channel: Channel,
        deadline_ns: int,
        deliver: Callable[[Delivery, Callable[[], None]], None],
    ) -> None:
        self.channel = channel
        self.deadline_ns = deadline_ns
        self.latency = Durations()
        self.histogram = Histogram()
        self.last_outputs: dict[str, Any] = {}
        self._deliver = deliver
        self._order: Sequencer[tuple[Entry, Delivery]] = Sequencer()

    def open(self, task: Task, deadline_ns: int) -> None:
        info = task.info
        self.channel.open(
            Entry(
                info.incarnation,
                info.sequence,
                info.capture_utc_ns,
                info.capture_mono_ns,
                info.width,
                info.height,
            )
        )
        self._order.expect(task.key, deadline_ns)

    def close(
        self, task: Task, wanted: Wanted, made_by: Sequence[Provenance], now_ns: int
    ) -> Delivery:
        """Ends *task* for this application; every stage it wants is settled."""
        wish = wanted.wish
        values = {index: task.values[index] for index in wish.operators}
        missing = [value for value in values.values() if isinstance(value, Missing)]
        found = {name: values[index] for name, index in wish.outputs.items()}
        took = now_ns - task.started_ns
        unsayable = None if missing else _unsayable(found)
        if missing:
            end, outputs = worst(missing), None
        elif unsayable is not None:
            end, outputs = End(State.FAILED, unsayable), None
        else:
            end = End(State.LATE if now_ns > wanted.deadline_ns else State.OK)
            outputs = found
            self.latency.add(took)
            self.histogram.observe(max(0, took) / 1e9)
        info = task.info
        made = record(
            self.channel.app,
            self.channel.camera,
            info,
            end,
            outputs,
            made_by,
            stage_times(task.times, took),
        )
        sinks = {number: values[index] for number, index in wish.sinks.items()}
        delivery = Delivery(made, outputs, sinks)
        if self.channel.close(info.incarnation, info.sequence, end):
            if delivery.record.outputs is not None:
                self.last_outputs = delivery.record.outputs
            entry = Entry(info.incarnation, info.sequence)
            if not self._order.settle(task.key, (entry, delivery)):
                self._hand_over(entry, delivery)
        return delivery

    def release(self, now_ns: int) -> None:
        """Hands on the records whose turn it is."""
        for released in self._order.ready(now_ns):
            if released.value is not None:
                self._hand_over(*released.value)

    def _hand_over(self, entry: Entry, delivery: Delivery) -> None:
        forget = partial(self.channel.delivered, entry.incarnation, entry.sequence)
        self._deliver(delivery, forget)


def _unsayable(outputs: Mapping[str, Any]) -> str | None:
    """Why *outputs* cannot become a record: what the user's own operators give may be anything."""
    for name, value in outputs.items():
        if not _has_json_form(_of_users(value)):
            kind = type(value).__name__
            what = "and what it holds" if hasattr(value, "to_json") else "which"
            return f"output {name!r} is a {kind}, {what} has no JSON form"
    return None


def _has_json_form(value: Any) -> bool:
    try:
        encode(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _of_users(value: Any) -> Any:
    """The part of *value* that the user's own code may have put there."""
    if isinstance(value, Measurement):
        return plain(value.fields)
    if isinstance(value, Detections):
        return plain(value.attributes)
    return None if hasattr(value, "to_json") else value
