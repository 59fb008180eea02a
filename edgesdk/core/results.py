"""What the agent tells a camera's firmware it saw: the ring ``NAME.results``.

The C side is ``native/include/edgesdk/results.h``. Records are of fixed size and copied; the agent
writes, the firmware's app (or :class:`ResultReader`) reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk.core._native import ffi, lib
from edgesdk.core.codes import check, timeout_ns
from edgesdk.values import Detections

__all__ = ["Result", "ResultReader", "ResultWriter"]

_STATES = {
    "ok": lib.EDGE_RESULT_OK,
    "late": lib.EDGE_RESULT_LATE,
    "dropped": lib.EDGE_RESULT_DROPPED,
    "failed": lib.EDGE_RESULT_FAILED,
}
_STATE_NAMES = {number: name for name, number in _STATES.items()}


@dataclass(frozen=True, eq=False)
class Result:
    """What became of one frame for one application.

    *count* is how many things were seen; *detections* has the first 64 of them.
    """

    sequence: int
    epoch: int
    capture_mono_ns: int
    state: str
    count: int
    detections: Detections
    measure: tuple[int, int]
    application: str
    camera: str


class ResultWriter:
    """The one writer of ``NAME.results``; RingBusy if another process is. One thread at a time."""

    def __init__(self, name: str, *, records: int = 32, mode: int = 0o600) -> None:
        self.name = name
        out = ffi.new("edge_results_writer **")
        check(lib.edge_results_create(out, name.encode(), records, mode), f"results of {name!r}")
        self._writer: Any = out[0]
        self._record = ffi.new("edge_result *")

    def publish(
        self,
        sequence: int,
        capture_mono_ns: int,
        state: str = "ok",
        detections: Detections | None = None,
        *,
        epoch: int = 0,
        measure: tuple[int, int] = (0, 0),
        application: str = "",
        camera: str = "",
    ) -> None:
        """Publishes one record; never waits. *sequence*, *epoch* and time are the frame's.

        Of more than 64 detections the first 64 go with it, and all are counted. *measure* are two
        numbers of the application's own, such as people now and in total.
        """
        if self._writer is None:
            raise ValueError(f"results of {self.name!r} are closed")
        found = detections if detections is not None else Detections.empty()
        record = self._record
        record.frame_sequence = sequence
        record.frame_epoch = epoch
        record.capture_mono_ns = capture_mono_ns
        record.state = _STATES[state]
        record.count = len(found)
        record.items_count = min(len(found), lib.EDGE_RESULT_ITEMS)
        record.measure[0], record.measure[1] = measure
        record.application = _text(application)
        record.camera = _text(camera)
        for i in range(record.items_count):
            item = record.items[i]
            item.x1, item.y1, item.x2, item.y2 = found.boxes[i].tolist()
            item.score = float(found.scores[i])
            item.label_id = int(found.label_ids[i])
            item.label = _text(found.labels[i])
            item.track_id = 0 if found.track_ids is None else max(0, int(found.track_ids[i]))
        check(lib.edge_results_publish(self._writer, record), f"results of {self.name!r}")

    def close(self, unlink: bool = True) -> None:
        """Closes the ring of results, and removes its name if *unlink*; idempotent."""
        if self._writer is not None:
            lib.edge_results_writer_close(self._writer, unlink)
            self._writer = None

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class ResultReader:
    """A reader of ``NAME.results``. RingMissing: nobody writes it yet. One thread at a time."""

    def __init__(self, name: str, *, any_user: bool = False) -> None:
        self.name = name
        out = ffi.new("edge_results_reader **")
        flags = lib.EDGE_RING_ANY_USER if any_user else 0
        check(lib.edge_results_open(out, name.encode(), flags), f"results of {name!r}")
        self._reader: Any = out[0]
        self._records = ffi.new("edge_result[]", 16)

    def take(self) -> list[Result]:
        """The unseen records, oldest first, 16 at most; never waits. RingStale: open it again."""
        got = lib.edge_results_take(self._open(), self._records, len(self._records))
        if got == -lib.EDGE_E_ENDED:
            return []
        n = check(got, f"results of {self.name!r}")
        return [_result(self._records[i]) for i in range(n)]

    def wait(self, timeout: float) -> bool:
        """Waits at most *timeout* seconds for a record. RingStale as :meth:`take`."""
        code = lib.edge_results_wait(self._open(), timeout_ns(timeout))
        return code != -lib.EDGE_E_ENDED and bool(check(code, f"results of {self.name!r}"))

    @property
    def lost(self) -> int:
        """Records overwritten before this reader took them."""
        return int(lib.edge_results_lost(self._open()))

    def close(self) -> None:
        """Idempotent; records that were taken stay."""
        if self._reader is not None:
            lib.edge_results_reader_close(self._reader)
            self._reader = None

    def __enter__(self) -> ResultReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> Any:
        if self._reader is None:
            raise ValueError(f"results of {self.name!r} are closed")
        return self._reader


def _text(text: str) -> bytes:
    """At most 31 bytes of UTF-8, cut between characters."""
    return text.encode()[: lib.EDGE_RESULT_TEXT - 1].decode(errors="ignore").encode()


def _result(record: Any) -> Result:
    items = [record.items[i] for i in range(record.items_count)]
    detections = Detections(
        boxes=np.array([(i.x1, i.y1, i.x2, i.y2) for i in items], np.float32).reshape(-1, 4),
        scores=np.array([i.score for i in items], np.float32),
        label_ids=np.array([i.label_id for i in items], np.int32),
        labels=tuple(ffi.string(i.label).decode(errors="replace") for i in items),
        track_ids=np.array([i.track_id for i in items], np.int64),
    )
    return Result(
        sequence=record.frame_sequence,
        epoch=record.frame_epoch,
        capture_mono_ns=record.capture_mono_ns,
        state=_STATE_NAMES.get(record.state, "failed"),
        count=record.count,
        detections=detections,
        measure=(record.measure[0], record.measure[1]),
        application=ffi.string(record.application).decode(errors="replace"),
        camera=ffi.string(record.camera).decode(errors="replace"),
    )
