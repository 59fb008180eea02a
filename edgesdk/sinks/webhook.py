"""Records posted to an HTTP server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from edgesdk.errors import UsageError
from edgesdk.records import ResultRecord
from edgesdk.redaction import credentials, redact_url
from edgesdk.sinks.sink import THREAD_NAME, Delivery, ReceiverAway, Sink
from edgesdk.store.disk_outbox import DiskOutbox
from edgesdk.store.outbox import Entry, Limits

if TYPE_CHECKING:
    import httpx

__all__ = ["WebhookSink"]

_CONNECT_S = 5.0
_ANSWER_S = 10.0
_POST_S = 30.0
_LONGEST_RETRY_AFTER_S = 300.0
_TRY_AGAIN = (408, 425, 429)


class WebhookSink(Sink):
    """Posts records to *url*, up to *batch* at a time: ``{"schema": 1, "records": [...]}``.

    A 2xx answer is an acknowledgement. A 4xx other than 408, 425 and 429 refuses for good: a
    batch is halved until the record it is about is found, which is discarded and counted.
    Anything else is tried again, after ``Retry-After`` if the server names it. Redirections are
    not followed. A user and password in *url* become basic authentication; *headers* are sent
    along, and never shown. Records wait in the file *outbox*. Raises UsageError for a URL that
    cannot mean anything, SinkError where the outbox is in use.
    """

    def __init__(
        self,
        url: str,
        *,
        outbox: Path,
        batch: int = 32,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        receiver = _HttpServer(url, batch, dict(headers or {}))
        super().__init__(
            name or f"webhook:{receiver.target}",
            receiver,
            DiskOutbox(outbox, limits or Limits()),
        )


class _HttpServer:
    kind = "webhook"
    batch_bytes = 1 << 20
    longest_pause_s = 30.0

    def __init__(self, url: str, batch: int, headers: dict[str, str]) -> None:
        self.target = redact_url(url)
        self.secrets = credentials(url) | frozenset(headers.values())
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
            valid = valid and parts.port != 0
        except ValueError:
            valid = False
        if not valid or parts.hostname is None:
            raise UsageError(f"webhook {self.target!r}: expected http://host/path or https")
        if not 1 <= batch <= 1000:
            raise UsageError(f"webhook {self.target!r}: batch = {batch}: expected 1 to 1000")
        self.batch_records = batch
        # Not in the URL, which libraries log.
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._headers = {**headers, "Content-Type": "application/json"}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._task: asyncio.Task[Delivery] | None = None
        self._aborted = False

    def open(self) -> None:
        pass

    def route(self, record: Mapping[str, Any] | ResultRecord) -> str:
        return ""

    def deliver(self, entries: Sequence[Entry]) -> Delivery:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        with self._lock:
            if self._aborted:
                raise ReceiverAway("closing")
            self._task = task = self._loop.create_task(self._deliver(entries))
        try:
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise ReceiverAway("closing") from None
        finally:
            with self._lock:
                self._task = None

    def abort(self) -> None:
        with self._lock:
            self._aborted = True
            if self._task is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def close(self) -> None:
        if self._loop is None:
            return
        if self._client is not None:
            self._loop.run_until_complete(self._client.aclose())
        self._loop.close()
        self._loop = self._client = None

    async def _deliver(self, entries: Sequence[Entry]) -> Delivery:
        """Post *entries*, in halves where the whole is refused, until one of them is away."""
        delivery = Delivery()
        waiting = [list(entries)]
        while waiting:
            batch = waiting.pop()
            try:
                refusal = await self._post(batch)
            except ReceiverAway as away:
                delivery.away = away
                return delivery
            if refusal is None:
                delivery.done += [entry.sequence for entry in batch]
            elif len(batch) == 1:
                delivery.refused[batch[0].sequence] = f"{refusal} (record {batch[0].id})"
            else:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
        return delivery

    async def _post(self, entries: Sequence[Entry]) -> str | None:
        """None if acknowledged, the reason if refused; raises ReceiverAway otherwise."""
        import httpx

        body = b'{"schema":1,"records":[' + b",".join(e.payload for e in entries) + b"]}"
        try:
            status, headers = await asyncio.wait_for(self._request(body), _POST_S)
        except (httpx.HTTPError, asyncio.TimeoutError) as error:
            raise ReceiverAway(str(error) or type(error).__name__) from None
        if 200 <= status < 300:
            return None
        text = f"the server answers {status} {httpx.codes.get_reason_phrase(status)}".rstrip()
        if 400 <= status < 500 and status not in _TRY_AGAIN:
            return text
        if 300 <= status < 400:
            text += f", to {headers.get('Location', 'nowhere')}; give the sink that address"
        raise ReceiverAway(text, _retry_after(headers.get("Retry-After", "")))

    async def _request(self, body: bytes) -> tuple[int, httpx.Headers]:
        import httpx

        if self._client is None:
            logging.getLogger("httpx").addFilter(_not_of_a_sink)
            timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S)
            self._client = httpx.AsyncClient(
                timeout=timeout,
                headers=self._headers,
                auth=(self._user, self._password) if self._user or self._password else None,
            )
        # Only the head of the answer is read: its body may be without end.
        async with self._client.stream("POST", self._url, content=body) as answer:
            return answer.status_code, answer.headers


def _not_of_a_sink(record: logging.LogRecord) -> bool:
    """httpx logs the whole URL of each request, and with it the tokens in its query."""
    return not (record.threadName or "").startswith(THREAD_NAME)


def _retry_after(value: str) -> float:
    return min(float(value), _LONGEST_RETRY_AFTER_S) if value.isascii() and value.isdigit() else 0.0
