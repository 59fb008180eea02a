"""The process that reads one source: ``python -m edgesdk.capture.worker NAME``.

Started by :class:`~edgesdk.capture.supervisor.CaptureSupervisor` alone. The source, which may hold
a password, comes through standard input; NAME is there for whoever reads ``ps``.
"""

from __future__ import annotations

import ctypes
import math
import os
import random
import resource
import signal
import time
from typing import Any

import msgspec

from edgesdk.capture.backoff import Backoff
from edgesdk.capture.control import Control, Stopped, WorkerConfig
from edgesdk.capture.picture import Picture, Reader, Silent
from edgesdk.capture.publisher import Publisher, newest_sequence
from edgesdk.capture.source import Kind, Source
from edgesdk.capture.status import CameraState
from edgesdk.errors import CaptureError

CONFIG_BYTES_MAX = 1 << 20
SECOND = 1_000_000_000
_PR_SET_PDEATHSIG = 1
# A connection that lasted so long was a good one.
STABLE_SECONDS = 5.0
# One that was shorter, and gave frames all the same: a server that plays short files, or a camera
# at the edge of its radio. It is worth trying often, and not in a loop.
WORKED_WAIT_MAX = 1.0
# What a decoder may need besides the pictures themselves, and bytes a pixel for those that
# H.264 and H.265 may keep (16, of 1.5 bytes, twice over).
MEMORY_BASE = 1 << 29
MEMORY_PER_PIXEL = 48


def main() -> int:
    report = _keep_report_apart()
    config, rest = _read_config()
    control = Control(0, report, config, rest)
    _die_with(config.agent, control)
    control.start()
    _bound_memory(config.source)
    publisher = Publisher(config, control)
    try:
        if config.source.live:
            _reconnect_for_ever(config.source, control, publisher)
        else:
            _play(config, control, publisher)
    except Stopped:
        publisher.abandon()
    return 0


def _keep_report_apart() -> int:
    """Moves the status pipe off descriptor 1, which C libraries write messages to."""
    report = os.dup(1)
    os.dup2(2, 1)
    return report


def _read_config() -> tuple[WorkerConfig, bytes]:
    data = b""
    while b"\n" not in data:
        chunk = os.read(0, 65536)
        if not chunk or len(data) > CONFIG_BYTES_MAX:
            raise SystemExit("a capture worker is started by its supervisor, not by hand")
        data += chunk
    line, _, rest = data.partition(b"\n")
    return msgspec.json.decode(line, type=WorkerConfig), rest


def _die_with(agent: int, control: Control) -> None:
    # The end of standard input says the same, but not while a child of the agent holds it open.
    signal.signal(signal.SIGTERM, lambda *_: control.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if agent and os.getppid() != agent:
        raise SystemExit(0)


def _bound_memory(source: Source) -> None:
    """A last wall, should a decoder ask for more than ``max_pixels`` lets it."""
    # A dump of a crashed decoder takes a second to write, and has the password in it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if source.kind is not Kind.GST:
        limit = MEMORY_BASE + MEMORY_PER_PIXEL * source.max_pixels
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if most == resource.RLIM_INFINITY or limit < most:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _reader(source: Source, control: Control) -> Reader:
    if source.kind is Kind.SYNTHETIC:
        from edgesdk.capture.synthetic import SyntheticReader

        return SyntheticReader(source)
    if source.kind is Kind.HTTP:
        from edgesdk.capture.http_reader import HttpReader

        return HttpReader(source, control.sleep)
    if source.kind is Kind.GST:
        from edgesdk.capture.gst import open_pipeline

        return open_pipeline(source)
    from edgesdk.capture.container import ContainerReader

    return ContainerReader(source)


def _reconnect_for_ever(source: Source, control: Control, publisher: Publisher) -> None:
    backoff = Backoff(random.random)
    while True:
        before, began = publisher.frames, time.monotonic()
        reason = _connect_once(source, control, publisher)
        worked = publisher.frames > before
        if worked and time.monotonic() - began > STABLE_SECONDS:
            backoff.reset()
        wait = min(backoff.next(), WORKED_WAIT_MAX if worked else math.inf)
        control.set(
            state=CameraState.RECONNECTING,
            reason=f"{reason}; next try in {wait:.1f} s (failures in a row: {backoff.failures})",
            fps=0.0,
        )
        control.sleep(wait)


def _connect_once(source: Source, control: Control, publisher: Publisher) -> str:
    """Stream until the source fails; returns why it did."""
    reader: Reader | None = None
    errors = control.status.decode_errors
    try:
        control.progress()
        reader = _reader(source, control)
        control.set(codec=reader.codec)
        for picture in reader:
            publisher.publish(picture)
            control.count_errors(errors + reader.decode_errors)
    except Silent as error:
        control.stalled()
        return _words(source, error)
    except Exception as error:
        return _words(source, error)
    finally:
        if reader is not None:
            control.count_errors(errors + reader.decode_errors)
            reader.close()
        publisher.disconnect()
    return f"{source.redacted}: the server ended the stream"


def _play(config: WorkerConfig, control: Control, publisher: Publisher) -> None:
    """Play a file or scene to its end, once or for ever."""
    source = config.source
    skip = 0
    if config.resume:
        newest = newest_sequence(config.ring)
        publisher.resume(newest)
        skip = max(0, newest - config.base)
    offset = played = 0
    reader: Any = None
    try:
        while True:
            control.progress()
            reader = _reader(source, control)
            control.set(codec=reader.codec)
            last: int | None = None
            for picture in reader:
                last = _forwards(last, picture)
                picture.media_ns = last + offset
                played += 1
                if played > skip:
                    publisher.publish(picture)
                else:
                    control.check()
                    control.progress()
                control.count_errors(reader.decode_errors)
            reader.close()
            if not source.loop or last is None:
                break
            offset += last + _frame_ns(picture)
        publisher.end()
    except Exception as error:
        publisher.end()
        control.finish(state=CameraState.ENDED, failed=True, reason=_words(source, error))
        return
    control.finish(state=CameraState.ENDED, reason=reader.note or "end of file")


def _forwards(last: int | None, picture: Picture) -> int:
    """The picture's media time, which goes forwards whatever the file says."""
    media_ns = picture.media_ns
    if last is None:
        return media_ns or 0
    if media_ns is None or media_ns <= last:
        return last + _frame_ns(picture)
    return media_ns


def _frame_ns(picture: Picture) -> int:
    return round(SECOND / (picture.frame_rate or 25.0))


def _words(source: Source, error: Exception) -> str:
    text = source.conceal(str(error) or type(error).__name__)
    if isinstance(error, CaptureError):
        return text
    return f"{source.redacted}: {type(error).__name__}: {text}"
