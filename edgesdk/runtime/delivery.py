"""Results to their sinks, and back the news that they have arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
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

    def __init__(self, sinks: SinkSet) -> None:
        self._sinks = sinks
        self._everything: list[Sink] = []
        self._declared: dict[int, tuple[str, Sink]] = {}
        self._by_channel: dict[tuple[str, str], list[Sink]] = {}
        self._numbers: dict[tuple[str, str, str, Sink], int] = {}
        self._prepared = self._declared, self._by_channel
        self._next = 0
        self._put: dict[Sink, int] = {}
        self._awaited: deque[tuple[list[tuple[Sink, int]], Callable[[], None]]] = deque()

    def declare(self, plan: Plan) -> tuple[int, ...]:
        """Opens what the plan's sinks lack; gives their numbers, equal ones as before. They get
        nothing until :meth:`begin`. Any thread, one at a time. Raises SinkError or UsageError."""
        declared, numbers = dict(self._declared), []
        by_channel = {channel: list(sinks) for channel, sinks in self._by_channel.items()}
        for planned in plan.sinks:
            sink = self._sinks.open(planned.kind, planned.params)
            channel = planned.application, planned.camera
            key = (*channel, planned.output, sink)
            number = self._numbers.get(key, -1)
            if number < 0 or number in numbers:
                number, self._next = self._next, self._next + 1
                self._numbers[key] = number
            numbers.append(number)
            declared[number] = (planned.output, sink)
            if sink not in by_channel.setdefault(channel, []):
                by_channel[channel].append(sink)
        self._prepared = declared, by_channel
        return tuple(numbers)

    def retain(self, numbers: Sequence[int], everything: Sequence[Sink]) -> list[Sink]:
        """Forgets all sinks but those of *numbers* and *everything*; gives those that nobody has
        any more, for :meth:`release`. On the dispatcher, once no record is on its way to them."""
        before = self._in_use()
        kept = set(numbers)
        self._numbers = {key: n for key, n in self._numbers.items() if n in kept}
        self._declared = {n: found for n, found in self._declared.items() if n in kept}
        self._by_channel = {}
        for app, camera, _, sink in self._numbers:
            sinks = self._by_channel.setdefault((app, camera), [])
            if sink not in sinks:
                sinks.append(sink)
        self._everything = list(everything)
        return [sink for sink in before if sink not in self._in_use()]

    def release(self, sinks: Sequence[Sink], timeout: float) -> None:
        """Delivers what can be delivered in *timeout* seconds, and closes *sinks*. Any thread."""
        self._sinks.close_some(sinks, timeout)

    def forget(self, sinks: Sequence[Sink]) -> None:
        """Awaits nothing of *sinks*, which are closed. On the dispatcher."""
        for sink in sinks:
            self._put.pop(sink, None)
        self.acknowledge()

    @property
    def everything(self) -> list[Sink]:
        """The sinks for the records of all applications."""
        return list(self._everything)

    def sinks(self) -> list[Sink]:
        """All that are open, in use or not yet."""
        return self._sinks.opened()

    def begin(self, everything: Sequence[Sink]) -> None:
        """From here on what was declared gets its records, and *everything* those of all
        applications, beside those that did. On the dispatcher."""
        self._declared, self._by_channel = self._prepared
        self._everything += [sink for sink in everything if sink not in self._everything]

    def _in_use(self) -> list[Sink]:
        declared = (sink for _, sink in self._declared.values())
        return list(dict.fromkeys((*self._everything, *declared)))

    def open(self, kind: str, params: Mapping[str, Any]) -> Sink:
        """The sink of these parameters, that gets nothing yet. Raises SinkError."""
        return self._sinks.open(kind, params)

    def add(self, kind: str, params: Mapping[str, Any]) -> None:
        """A sink for the records of all applications."""
        self._everything.append(self.open(kind, params))

    def files(self) -> list[str]:
        """The paths of all JSON lines files."""
        return sorted({sink.target for sink in self._in_use() if sink.kind == "jsonl"})

    def has_durable(self) -> bool:
        """Whether records go anywhere that outlives the process."""
        return any(sink.kind != "callback" for sink in self._in_use())

    def deliver(self, delivery: Delivery, forget: Callable[[], None]) -> None:
        record = delivery.record
        for sink in self._everything:
            self._hand(sink, record)
        if delivery.values is None:
            for sink in self._by_channel.get((record.app, record.camera), ()):
                self._hand(sink, record)
        else:
            for number, value in delivery.sinks.items():
                found = self._declared.get(number)
                if found is not None:  # else its application was removed long ago
                    self._hand(found[1], _with_output(record, found[0], value))
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
        through: dict[Sink, int] = {}
        for sink in self._put:
            if sink.kind == "jsonl":
                stats = sink.stats()
                through[sink] = stats.delivered + stats.discarded
        while self._awaited and all(through.get(s, put) >= put for s, put in self._awaited[0][0]):
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
