"""Receivers that are real: an HTTP server and an MQTT broker that come and go."""

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgesdk.records import CaptureTime, ResultRecord


def make_record(sequence: int, **changes: object) -> ResultRecord:
    fields = {
        "app": "people",
        "camera": "door",
        "incarnation": 1,
        "sequence": sequence,
        "state": "ok",
        "captured": CaptureTime(utc_ns=1_790_000_000_000_000_000 + sequence, mono_ns=sequence),
        "width": 640,
        "height": 480,
        "outputs": {"people": {"type": "count", "now": 1, "total": 3}},
    }
    return ResultRecord(**(fields | changes))


@pytest.fixture
def record() -> Callable[..., ResultRecord]:
    return make_record


def wait_until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        threading.Event().wait(0.01)


@pytest.fixture
def eventually() -> Callable[..., None]:
    return wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HttpReceiver:
    """Collects what is posted. *answer* decides the status and headers for a list of records."""

    def __init__(self) -> None:
        self.port = free_port()
        self.records: list[dict] = []
        self.posts = 0
        self.authorizations: set[str | None] = set()
        self.answer: Callable[[list[dict]], tuple[int, dict[str, str]]] = lambda records: (200, {})
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def sequences(self) -> list[int]:
        return [record["sequence"] for record in self.records]

    def start(self) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.posts += 1
                receiver.authorizations.add(self.headers["Authorization"])
                status, headers = receiver.answer(body["records"])
                if 200 <= status < 300:
                    receiver.records += body["records"]
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    made = HttpReceiver()
    made.start()
    yield made
    made.stop()


BROKER = """
import asyncio, json, sys
from amqtt.broker import Broker
from amqtt.plugins.base import BasePlugin

class Recorder(BasePlugin):
    async def on_broker_message_received(self, *, client_id, message):
        with open(sys.argv[3], "a") as file:
            print(json.dumps([message.topic, json.loads(message.data)]), file=file)

async def serve():
    password_file = sys.argv[2]
    auth = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    if password_file:
        auth = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": password_file}}
    config = {
        "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}},
        "plugins": {**auth, "__main__.Recorder": {}},
    }
    broker = Broker(config)
    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


class BrokerProcess:
    """amqtt in a process of its own, which notes what it is sent; killed when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.password_file = ""
        self._log = folder / "broker.log"
        self._notes = folder / "broker.jsonl"
        self._process: subprocess.Popen[str] | None = None

    @property
    def messages(self) -> list[tuple[str, dict]]:
        """Topic and payload of each, over all of the broker's lives."""
        if not self._notes.exists():
            return []
        whole, _, _ = self._notes.read_text().rpartition("\n")
        return [tuple(json.loads(line)) for line in whole.splitlines()]

    @property
    def sequences(self) -> list[int]:
        return [message["sequence"] for _, message in self.messages]

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", BROKER, str(self.port), self.password_file, self._notes],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self._log.read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    made = BrokerProcess(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("capability: mounting a small tmpfs needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"capability: no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
