"""Where a run's results go, and what an earlier run of the same results left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesdk.config import Config
from edgesdk.graph.plan import Plan
from edgesdk.runtime.delivery import Deliverer
from edgesdk.runtime.journal import Journal, open_journal
from edgesdk.runtime.paths import state_directory
from edgesdk.runtime.recovery import key_of, read_tail
from edgesdk.runtime.results import orphan_record
from edgesdk.sinks import SinkSet
from edgesdk.store.outbox import Limits

__all__ = ["History", "open_history"]


@dataclass(frozen=True, eq=False)
class History:
    """*sinks* are the numbers of the plan's; *incarnations* has the last one of each camera that
    is in the files; *journal* is None where results go nowhere that outlives the process."""

    deliverer: Deliverer
    sinks: tuple[int, ...] = ()
    journal: Journal | None = None
    incarnations: dict[str, int] = field(default_factory=dict)

    def close(self, timeout: float) -> None:
        """Flushes and closes the sinks; the journal stays if a record did not arrive."""
        self.deliverer.close(timeout)
        if self.journal is not None:
            self.journal.close(clean=not self.deliverer.pending())


def open_history(
    config: Config,
    plan: Plan,
    *,
    node: str,
    out: Path | None,
    on_result: Callable[[dict[str, Any]], object] | None,
    standing: bool = False,
) -> History:
    """Opens all sinks of *plan* and *out*, and tells them of the frames that an earlier process
    left open. A *standing* node's may change under way, so there is one journal for all. Raises
    SinkError."""
    state = state_directory(config.node)
    limits = Limits(records=config.outbox.records, bytes=config.outbox.megabytes << 20)
    deliverer = Deliverer(SinkSet(state, limits))
    try:
        sinks = deliverer.declare(plan)
        deliverer.begin(())
        if out is not None:
            deliverer.add("jsonl", {"path": out})
        if on_result is not None:
            deliverer.add("callback", {"function": on_result})
        if not standing and not deliverer.has_durable():
            return History(deliverer, sinks)
        files = deliverer.files()
        name = "node" if standing else None
        journal = open_journal(state / "ledger", list(plan.outputs), files, name)
    except BaseException:
        deliverer.close(0.1)
        raise
    written = read_tail(files)
    incarnations = dict(written.incarnations)
    for camera, number in journal.incarnations.items():
        incarnations[camera] = max(number, incarnations.get(camera, 0))
    for orphan in journal.orphans:
        record = orphan_record(orphan.app, orphan.camera, orphan.entry, node)
        if key_of(record) not in written.keys:
            deliverer.tell(record)
    return History(deliverer, sinks, journal, incarnations)
