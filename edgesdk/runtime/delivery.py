"""Results to their sinks, and back the news that they have arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edgesdk.graph.plan import Plan
from edgesdk.records import ResultRecord, SinkStats
from edgesdk.runtime.outlet import Delivery
from edgesdk.sinks import Sink, SinkSet

__all__ = ["Deliverer"]

# Records whose arrival is awaited; beyond it the oldest is forgotten as if it had arrived.
_AWAITED = 8192


class Deliverer:
    """Hands each record to the node's sinks and to those its application declares.

    A record's entry is forgotten (see :meth:`Channel.delivered`) once every file has it; other
    sinks keep what they were given on disk. Owned by the dispatcher.
    """

    def __init__(self, sinks: SinkSet, plan: Plan) -> None:
        self._sinks = sinks
        self._everything: list[Sink] = []
        self._declared: dict[int, tuple[str, Sink]] = {}
        self._by_channel: dict[tuple[str, str], list[Sink]] = {}
        self._put: dict[Sink, int] = {}
        self._awaited: deque[tuple[list[tuple[Sink, int]], Callable[[], None]]] = deque()
        for number, planned in enumerate(plan.sinks):
            sink = sinks.open(planned.kind, planned.params)
            self._declared[number] = (planned.output, sink)
            channel = self._by_channel.setdefault((planned.application, planned.camera), [])
            if sink not in channel:
                channel.append(sink)

    def add(self, kind: str, params: Mapping[str, Any]) -> None:
        """A sink for the records of all applications."""
        self._everything.append(self._sinks.open(kind, params))

    def files(self) -> list[str]:
        """The paths of all JSON lines files."""
        declared = (sink for _, sink in self._declared.values())
        return sorted({s.target for s in (*self._everything, *declared) if s.kind == "jsonl"})

    def has_durable(self) -> bool:
        """Whether records go anywhere that outlives the process."""
        declared = (sink for _, sink in self._declared.values())
        return any(sink.kind != "callback" for sink in (*self._everything, *declared))

    def deliver(self, delivery: Delivery, forget: Callable[[], None]) -> None:
        record = delivery.record
        for sink in self._everything:
            self._hand(sink, record)
        if delivery.values is None:
            for sink in self._by_channel.get((record.app, record.camera), ()):
                self._hand(sink, record)
        else:
            for number, value in delivery.sinks.items():
                output, sink = self._declared[number]
                self._hand(sink, _with_output(record, output, value))
        awaited = [(sink, put) for sink, put in self._put.items() if sink.kind == "jsonl"]
        if not awaited:
            forget()
            return
        self._awaited.append((awaited, forget))
        if len(self._awaited) > _AWAITED:
            self._awaited.popleft()[1]()

    def tell(self, record: ResultRecord) -> None:
        """A record that this run's ledger knows nothing of: what an earlier process left open."""
        for sink in {*self._everything, *self._by_channel.get((record.app, record.camera), ())}:
            self._hand(sink, record)

    def acknowledge(self) -> None:
        """Forgets the entries whose records are in their files by now."""
        if not self._awaited:
            return
        through = {}
        for sink in self._put:
            if sink.kind == "jsonl":
                stats = sink.stats()
                through[sink] = stats.delivered + stats.discarded
        while self._awaited and all(through[s] >= put for s, put in self._awaited[0][0]):
            self._awaited.popleft()[1]()

    def pending(self) -> int:
        return len(self._awaited)

    def stats(self) -> dict[str, SinkStats]:
        return self._sinks.stats()

    def close(self, timeout: float) -> None:
        """Delivers what can be delivered in *timeout* seconds, and closes the sinks."""
        self._sinks.close(timeout)
        self.acknowledge()

    def _hand(self, sink: Sink, record: ResultRecord) -> None:
        sink.put(record)
        self._put[sink] = self._put.get(sink, 0) + 1


def _with_output(record: ResultRecord, output: str, value: Any) -> ResultRecord:
    """*record* of one output alone, with an id of its own: a sink may be given several of them."""
    to_json = getattr(value, "to_json", None)
    shown = value if to_json is None else to_json()
    return msgspec.structs.replace(record, id=f"{record.id}/{output}", outputs={output: shown})
