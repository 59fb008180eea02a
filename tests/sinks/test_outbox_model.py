"""Whatever is done to an outbox on disk, it has what a list would have."""

import shutil
import tempfile
import time
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgesdk.store.disk_outbox import DiskOutbox
from edgesdk.store.outbox import Limits

LIMITS = Limits(records=6, bytes=100)


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.outbox = self.open()
        self.model: list[tuple[str, bytes]] = []
        self.number = 0
        self.discarded = 0

    def open(self) -> DiskOutbox:
        return DiskOutbox(self.folder / "box.sqlite", LIMITS)

    @rule(size=st.integers(0, 60))
    def put(self, size: int) -> None:
        self.number += 1
        self.outbox.put(str(self.number), "route", b"x" * size)
        self.model.append((str(self.number), b"x" * size))
        while len(self.model) > LIMITS.records or sum(len(p) for _, p in self.model) > LIMITS.bytes:
            self.model.pop(0)
            self.discarded += 1
        deadline = time.monotonic() + 10
        while self.outbox.counts().undurable:
            assert time.monotonic() < deadline

    @rule(picked=st.sets(st.integers(0, 6)))
    def remove(self, picked: set[int]) -> None:
        entries = self.outbox.peek(10, 1000)
        gone = {entries[i].sequence for i in picked if i < len(entries)}
        assert self.outbox.remove(gone) == len(gone)
        ids = {entry.id for entry in entries if entry.sequence in gone}
        self.model = [(id, payload) for id, payload in self.model if id not in ids]

    @rule()
    def reopen(self) -> None:
        self.outbox.close(10)
        self.outbox = self.open()
        self.discarded = 0

    @rule(records=st.integers(1, 7), size=st.integers(1, 120))
    def peek_some(self, records: int, size: int) -> None:
        expected = []
        for id, payload in self.model:
            if len(expected) == records or (
                expected and sum(len(p) for _, p in expected) + len(payload) > size
            ):
                break
            expected.append((id, payload))
        assert [(e.id, e.payload) for e in self.outbox.peek(records, size)] == expected

    @invariant()
    def it_has_what_the_list_has(self) -> None:
        assert [(e.id, e.payload) for e in self.outbox.peek(10, 1000)] == self.model
        counts = self.outbox.counts()
        assert (counts.pending, counts.discarded) == (len(self.model), self.discarded)
        assert counts.error is None

    def teardown(self) -> None:
        self.outbox.close(10)
        shutil.rmtree(self.folder)


TestOutboxAgainstAList = OutboxMachine.TestCase
TestOutboxAgainstAList.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, derandomize=True
)
