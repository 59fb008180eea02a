"""Where results go: JSON lines, a function, an MQTT broker, a web server.

Each sink has a bounded outbox and a thread; see :class:`edgesdk.sinks.sink.Sink`. The libraries
behind MQTT and HTTP are imported when such a sink is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgesdk.sinks.sink import Sink

if TYPE_CHECKING:
    from edgesdk.sinks.callback import CallbackSink
    from edgesdk.sinks.jsonl import JsonLinesSink
    from edgesdk.sinks.mqtt import MqttSink
    from edgesdk.sinks.open import SinkSet
    from edgesdk.sinks.webhook import WebhookSink

__all__ = ["CallbackSink", "JsonLinesSink", "MqttSink", "Sink", "SinkSet", "WebhookSink"]

_PLACES = {
    "CallbackSink": "callback",
    "JsonLinesSink": "jsonl",
    "MqttSink": "mqtt",
    "SinkSet": "open",
    "WebhookSink": "webhook",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
