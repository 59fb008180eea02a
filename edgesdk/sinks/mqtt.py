"""Records published to an MQTT 3.1.1 broker with QoS 1."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from edgesdk.errors import SinkError, UsageError
from edgesdk.records import ResultRecord
from edgesdk.redaction import credentials, redact
from edgesdk.sinks.sink import Delivery, ReceiverAway, Sink
from edgesdk.store.disk_outbox import DiskOutbox
from edgesdk.store.outbox import Entry, Limits

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["MqttSink"]

_CONNECT_S = 5.0
_ACKNOWLEDGE_S = 10.0
_KEEPALIVE_S = 30
_STRIKES = 8
_TOPIC_BYTES = 65535
_WILDCARDS = "+#\x00"


class MqttSink(Sink):
    """Publishes each record, as JSON, to *topic* at the broker ``mqtt://[user:password@]host[:port]``.

    ``mqtts://`` is TLS, verified with the system's authorities or those in the file *authorities*.
    ``{app}`` and ``{camera}`` in *topic* are the record's. A record leaves the outbox in
    the file *outbox* when the broker has acknowledged it (PUBACK). One that makes the broker hang
    up eight times in a row, alone, is discarded and counted. Raises UsageError for a URL or topic
    that cannot mean anything, SinkError where the outbox is in use.
    """

    def __init__(
        self,
        url: str,
        topic: str = "edgesdk/{app}/{camera}",
        *,
        outbox: Path,
        name: str | None = None,
        limits: Limits | None = None,
        authorities: str | Path | None = None,
    ) -> None:
        receiver = _Broker(url, topic, authorities)
        super().__init__(
            name or f"mqtt:{receiver.target}",
            receiver,
            DiskOutbox(outbox, limits or Limits()),
        )


class _Broker:
    kind = "mqtt"
    batch_bytes = 4 << 20
    longest_pause_s = 30.0

    def __init__(self, url: str, topic: str, authorities: str | Path | None) -> None:
        self.target = f"{redact(url)} {topic}"
        self.secrets = credentials(url)
        self.batch_records = 64
        try:
            parts = urlsplit(url)
            self._port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
            self._host = parts.hostname or ""
        except ValueError:
            self._host = ""
        if not self._host or parts.scheme not in ("mqtt", "mqtts"):
            raise UsageError(
                f"MQTT sink {redact(url)!r}: expected mqtt://[user:password@]host[:port], or mqtts"
            )
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._tls = parts.scheme == "mqtts"
        self._authorities = authorities
        if (
            not topic
            or any(c in topic for c in _WILDCARDS)
            or len(topic.encode(errors="replace")) > _TOPIC_BYTES // 2
        ):
            raise UsageError(
                f"MQTT sink: topic {topic!r}: expected a topic to publish to, without + and #"
            )
        self._topic = topic
        self._client: Client | None = None
        self._changed = threading.Condition()
        self._acknowledged: set[int] = set()
        self._connected = False
        self._gone: str | None = None
        self._aborted = False
        self._strikes = 0
        self._struck: int | None = None

    def open(self) -> None:
        try:
            import paho.mqtt.client  # noqa: F401
        except ImportError:
            raise SinkError(
                "the MQTT sink needs the package paho-mqtt: pip install 'edgesdk[mqtt]'"
            ) from None

    def route(self, record: Mapping[str, Any] | ResultRecord) -> str:
        if isinstance(record, ResultRecord):
            app, camera = record.app, record.camera
        else:
            app, camera = str(record["app"]), str(record["camera"])
        return self._topic.replace("{app}", _level(app)).replace("{camera}", _level(camera))

    def deliver(self, entries: Sequence[Entry]) -> Delivery:
        client = self._connect()
        with self._changed:
            self._acknowledged.clear()
        published = {
            client.publish(entry.route, entry.payload, qos=1).mid: entry.sequence
            for entry in entries
        }
        with self._changed:
            self._changed.wait_for(
                lambda: self._acknowledged >= published.keys() or self._gone or self._aborted,
                _ACKNOWLEDGE_S,
            )
            done = [published[mid] for mid in self._acknowledged & published.keys()]
            gone = self._gone
        if len(done) == len(entries):
            self._struck = None
            self.batch_records = 64
            return Delivery(done=done)
        away = ReceiverAway(gone or f"no acknowledgement from the broker in {_ACKNOWLEDGE_S:.0f} s")
        delivery = self._strike(entries, done, away)
        self.close()
        return delivery

    def _strike(self, entries: Sequence[Entry], done: list[int], away: ReceiverAway) -> Delivery:
        """A record that the broker answers by hanging up must not hold up the others for ever."""
        if done or self._aborted or self._gone is None:
            self._struck = None
            return Delivery(done=done, away=away)
        first = entries[0]
        self._strikes = self._strikes + 1 if self._struck == first.sequence else 1
        self._struck = first.sequence
        self.batch_records = 1
        if len(entries) == 1 and self._strikes > _STRIKES:
            self._struck = None
            reason = f"the broker hangs up on record {first.id} ({len(first.payload)} bytes)"
            return Delivery(refused={first.sequence: reason})
        return Delivery(away=away)

    def abort(self) -> None:
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError, ValueError):
                client.disconnect()
            client.loop_stop()

    def _connect(self) -> Client:
        if self._client is not None and self._gone is None:
            return self._client
        self.close()
        client = self._new_client()
        with self._changed:
            self._connected, self._gone = False, None
        try:
            client.connect(self._host, self._port, _KEEPALIVE_S)
        except OSError as error:
            raise ReceiverAway(f"cannot reach the broker: {error}") from None
        client.loop_start()
        self._client = client
        deadline = time.monotonic() + _CONNECT_S
        with self._changed:
            self._changed.wait_for(
                lambda: self._connected or self._gone or self._aborted,
                deadline - time.monotonic(),
            )
            if self._connected and self._gone is None:
                return client
            gone = self._gone or "no answer from the broker"
        self.close()
        raise ReceiverAway(gone)

    def _new_client(self) -> Client:
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"edgesdk-{secrets.token_hex(6)}",
            protocol=MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(64)
        if self._user is not None:
            client.username_pw_set(self._user, self._password)
        if self._tls:
            client.tls_set(None if self._authorities is None else str(self._authorities))

        def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
            with self._changed:
                if reason.is_failure:
                    self._gone = f"the broker refuses the connection: {reason}"
                else:
                    self._connected = True
                self._changed.notify_all()

        def on_disconnect(_client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
            with self._changed:
                self._gone = self._gone or f"the broker hung up: {reason}"
                self._changed.notify_all()

        def on_publish(_client: Any, _data: Any, mid: int, _reason: Any, _more: Any) -> None:
            with self._changed:
                self._acknowledged.add(mid)
                self._changed.notify_all()

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        return client


def _level(name: str) -> str:
    """*name* as one level of a topic."""
    return "".join("_" if c in "+#/\x00" else c for c in name)
