"""The sinks of a node, opened from what graphs declare: one for each place records go to."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from edgesdk.errors import UsageError
from edgesdk.records import SinkStats
from edgesdk.redaction import redact, redact_url
from edgesdk.sinks.sink import Sink, close_all
from edgesdk.store.outbox import Limits

__all__ = ["SinkSet"]

_PASSWORD = re.compile(r"^(\w+://)([^/:@]*):[^/]*@")


class SinkSet:
    """Opens sinks by kind and parameters; equal ones are the same sink. Thread-safe.

    Outboxes lie in the folder ``outbox`` of *state*, one file for each place; a password may
    change over a restart. *limits* bound each outbox.
    """

    def __init__(self, state: Path, limits: Limits | None = None) -> None:
        self._outboxes = state / "outbox"
        self._limits = limits or Limits()
        self._sinks: dict[object, Sink] = {}
        self._lock = threading.Lock()

    def open(self, kind: str, params: Mapping[str, Any]) -> Sink:
        """The started sink of *kind* (jsonl, callback, mqtt, webhook).

        params: ``path``; ``function``; ``url`` and ``topic``; ``url`` and perhaps ``batch`` and
        ``headers``. Raises SinkError or UsageError where it can never work.
        """
        with self._lock:
            key = _key(kind, params)
            if key not in self._sinks:
                sink = self._new(kind, params)
                try:
                    sink.start()
                except BaseException:
                    sink.close(0.1)
                    raise
                self._sinks[key] = sink
            return self._sinks[key]

    def opened(self) -> list[Sink]:
        with self._lock:
            return list(self._sinks.values())

    def stats(self) -> dict[str, SinkStats]:
        """By name; names are unique within the set."""
        with self._lock:
            return {sink.name: sink.stats() for sink in self._sinks.values()}

    def close_some(self, sinks: Iterable[Sink], timeout: float) -> None:
        """As :meth:`close`, but *sinks* only: equal ones that are opened later are new."""
        leaving = set(sinks)
        with self._lock:
            close_all(leaving, timeout)
            self._sinks = {key: sink for key, sink in self._sinks.items() if sink not in leaving}

    def close(self, timeout: float = 1.5) -> None:
        """Deliver what can be delivered within *timeout* seconds, and stop; the rest is kept."""
        with self._lock:
            close_all(self._sinks.values(), timeout)

    def _new(self, kind: str, params: Mapping[str, Any]) -> Sink:
        if kind == "jsonl":
            from edgesdk.sinks.jsonl import JsonLinesSink

            path = Path(params["path"])
            return JsonLinesSink(path, name=self._name(f"jsonl:{path}"), limits=self._limits)
        if kind == "callback":
            from edgesdk.sinks.callback import CallbackSink

            function = cast(Callable[[dict[str, Any]], object], params["function"])
            called = getattr(function, "__qualname__", type(function).__name__)
            return CallbackSink(function, name=self._name(f"callback:{called}"))
        if kind == "mqtt":
            from edgesdk.sinks.mqtt import MqttSink

            return MqttSink(
                params["url"],
                params["topic"],
                outbox=self._outbox("mqtt", params["url"], params["topic"]),
                name=self._name(f"mqtt:{redact(params['url'])}/{params['topic']}"),
                limits=self._limits,
            )
        if kind == "webhook":
            from edgesdk.sinks.webhook import WebhookSink

            return WebhookSink(
                outbox=self._outbox("webhook", params["url"]),
                name=self._name(f"webhook:{redact_url(params['url'])}"),
                limits=self._limits,
                **params,
            )
        raise UsageError(f"sink {kind!r}: expected jsonl, callback, mqtt or webhook")

    def _name(self, wanted: str) -> str:
        taken = {sink.name for sink in self._sinks.values()}
        names = (wanted if n == 1 else f"{wanted}#{n}" for n in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def _outbox(self, kind: str, url: str, *more: str) -> Path:
        """One file for each place; the password is no part of it, and may change."""
        place = "\n".join((kind, _PASSWORD.sub(r"\1\2@", url), *more))
        return self._outboxes / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.sqlite"


def _key(kind: str, params: Mapping[str, Any]) -> object:
    if kind == "jsonl":
        return kind, os.path.realpath(params["path"])
    if kind == "callback":
        return kind, params["function"]
    return kind, tuple(sorted((name, repr(value)) for name, value in params.items()))
