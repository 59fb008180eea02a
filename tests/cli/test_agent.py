"""The agent as a service manager sees it: a process, its signals, and what it tells."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LIVE = "synthetic:?width=128&height=96&fps=40&seed={}"
SECRET = "s3cret-word"
Command = Callable[..., "subprocess.Popen[str]"]


class Notifications:
    """What systemd would hear on NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.heard: list[str] = []
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "900000"}

    def has(self, word: str, times: int = 1) -> bool:
        try:
            while True:
                self.heard += self._socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            return self.heard.count(word) >= times

    def close(self) -> None:
        self._socket.close()


class Agent:
    """``edgesdk agent`` in a folder with a file of a few words."""

    def __init__(self, start: Command, folder: Path, application: Path) -> None:
        self._start, self._folder, self._application = start, folder, application
        self.file = folder / "node.toml"
        self.out = folder / "out.jsonl"
        self.log = folder / "log"

    def write(self, cameras: dict[str, str], apps: dict[str, list[str]], more: str = "") -> None:
        lines = ['[node]\nname = "cam"\nstate = "state"', '[results]\nout = "out.jsonl"', more]
        for name, uri in cameras.items():
            lines += [f"[cameras.{name}]", f'uri = "{uri}"', "queue = 32"]
        for name, wanted in apps.items():
            lines += [
                f"[apps.{name}]",
                f'app = "{self._application}:{name}"',
                f"cameras = {wanted!r}",
            ]
        self.file.write_text("\n".join(lines) + "\n")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        os.environ.update(environment)
        try:
            return self._start("agent", "--config", self.file, "--json", *arguments)
        finally:
            for name in environment:
                del os.environ[name]

    def sequences(self, camera: str, app: str = "bright") -> list[int]:
        data = self.out.read_bytes() if self.out.exists() else b""
        records = [json.loads(line) for line in data.split(b"\n")[:-1]]
        return [r["sequence"] for r in records if (r["camera"], r["app"]) == (camera, app)]


@pytest.fixture
def agent(edgesdk: Command, tmp_path: Path, application: Path) -> Agent:
    return Agent(edgesdk, tmp_path, application)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Notifications]:
    found = Notifications(tmp_path / "notify")
    yield found
    found.close()


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[Any, str]:
    began = time.monotonic()
    process.send_signal(number)
    out, errors = process.communicate(timeout=10)
    assert time.monotonic() - began < 2.0
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return json.loads(out), errors


def test_begins_with_nothing_and_takes_over_what_the_file_says_later(
    agent: Agent, systemd: Notifications, wait_for: Any, in_shared_memory: Any
) -> None:
    agent.write({}, {})
    process = agent.start(**systemd.environment)
    wait_for(lambda: systemd.has("READY=1"), "the agent is ready")
    agent.write({"a": LIVE.format(1)}, {"bright": ["a"]})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: systemd.has("RELOADING=1"), "reloading")
    wait_for(lambda: systemd.has("READY=1", 2), "reloaded")
    wait_for(lambda: len(agent.sequences("a")) > 10, "results")
    assert any(line.startswith("MONOTONIC_USEC=") for line in systemd.heard)
    wait_for(lambda: systemd.has("WATCHDOG=1", 3), "signs of life")
    summary, errors = end(process)
    assert systemd.has("STOPPING=1")
    frames = summary["applications"]["bright"]["cameras"]["a"]["frames"]
    assert frames["captured"] == frames["passed"]
    assert frames["passed"] == sum(frames[k] for k in ("ok", "late", "dropped", "failed"))
    assert "cameras added: a" in errors
    assert in_shared_memory(process.pid) == []


def test_a_hangup_keeps_what_did_not_change_without_losing_a_frame(
    agent: Agent, wait_for: Any
) -> None:
    cameras = {"a": LIVE.format(1), "b": LIVE.format(2)}
    agent.write(cameras, {"bright": ["a"]})
    process = agent.start()
    wait_for(lambda: len(agent.sequences("a")) > 10, "results of a")
    agent.write(cameras, {"bright": ["a", "b"], "other": ["a"]})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(agent.sequences("b")) > 10, "results of b")
    wait_for(lambda: len(agent.sequences("a", "other")) > 10, "results of the other")
    agent.write(cameras, {"bright": ["a"]})
    process.send_signal(signal.SIGHUP)
    seen = len(agent.sequences("a"))
    wait_for(lambda: len(agent.sequences("a")) > seen + 40, "more results of a")
    summary, errors = end(process)
    found = agent.sequences("a")
    assert found == list(range(1, len(found) + 1))
    assert len(agent.sequences("b")) < len(found)
    assert "cameras removed: b" in errors
    assert summary["inferences"]["cells"] < 2 * len(found)


def test_a_mistake_at_a_hangup_is_told_and_what_ran_goes_on(agent: Agent, wait_for: Any) -> None:
    agent.write({"a": LIVE.format(1)}, {"bright": ["a"]})
    process = agent.start()
    wait_for(lambda: len(agent.sequences("a")) > 10, "results")
    uri = f"rtsp://me:{SECRET}@127.0.0.1:9/x?edge.timeout=never"
    agent.write({"a": LIVE.format(1), "b": uri}, {"bright": ["a", "gone"]}, more="nonsense = 1")
    process.send_signal(signal.SIGHUP)
    seen = len(agent.sequences("a"))
    wait_for(lambda: len(agent.sequences("a")) > seen + 40, "more results")
    _, errors = end(process)
    found = agent.sequences("a")
    assert found == list(range(1, len(found) + 1))
    assert "goes on" in errors
    assert f"{agent.file}:" in errors
    assert SECRET not in errors


def test_credentials_of_a_camera_are_in_no_log_and_no_title(agent: Agent, wait_for: Any) -> None:
    uri = f"rtsp://me:{SECRET}@127.0.0.1:9/x"
    port = _free_port()
    agent.write({"a": uri}, {"bright": ["a"]}, more=f'[web]\nlisten = "127.0.0.1:{port}"')
    process = agent.start("--verbose")
    wait_for(lambda: '"reconnecting"' in _get(port, "cameras"), "the camera is not there")
    assert SECRET not in _get(port, "cameras") + _get(port, "metrics")
    children = subprocess.run(
        ["ps", "-o", "args", "--ppid", str(process.pid)], capture_output=True, text=True
    ).stdout
    assert SECRET not in children
    summary, errors = end(process)
    assert SECRET not in errors + json.dumps(summary)
    assert "camera a: " in errors


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[node]\nthreads = 0\n", 2, "node.toml:2"),
        ('[cameras.a]\nuri = "gone.mp4"\n[apps.x]\napp = "bright.py:bright"\n', 5, "gone.mp4"),
        ('[cameras.a]\nuri = "synthetic:"\n[apps.x]\napp = "none.py:none"\n', 2, "none.py"),
        ('[node]\nbackends = ["nobody"]\n{}', 4, "nobody"),
    ],
)
def test_a_bad_file_at_the_start_has_its_exit_code(
    agent: Agent, text: str, code: int, said: str
) -> None:
    works = f'[cameras.a]\nuri = "{LIVE.format(1)}"\n[apps.x]\napp = "bright.py:bright"\n'
    agent.file.write_text(text.format(works))
    process = agent.start()
    out, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert said in errors
    assert json.loads(out)["error"]["exit_code"] == code


def test_a_missing_file_is_a_mistake_too(agent: Agent) -> None:
    process = agent.start()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "node.toml" in errors


def test_a_signal_during_the_load_of_a_model_ends_it_in_time(agent: Agent, wait_for: Any) -> None:
    agent.write({}, {})
    process = agent.start()
    # Importing somebody's file hangs: so would a compiler, or a registry that does not answer.
    begun = agent.file.parent / "begun"
    stuck = agent.file.parent / "stuck.py"
    stuck.write_text(
        f"import pathlib, threading\npathlib.Path({str(begun)!r}).touch()\n"
        "threading.Event().wait(60)\n"
    )
    wait_for(lambda: (agent.file.parent / "state" / "ledger").exists(), "the agent is up")
    agent.file.write_text(
        agent.file.read_text()
        + f'[cameras.a]\nuri = "{LIVE.format(1)}"\n[apps.x]\napp = "stuck.py:x"\n'
    )
    process.send_signal(signal.SIGHUP)
    wait_for(begun.exists, "the reload hangs")
    end(process)


def test_the_web_surface_moves_with_the_file(agent: Agent, wait_for: Any) -> None:
    first, second = _free_port(), _free_port()
    agent.write({}, {}, more=f'[web]\nlisten = "127.0.0.1:{first}"')
    process = agent.start()
    wait_for(lambda: _answers(first), "the web surface")
    agent.write(
        {"a": LIVE.format(1)}, {"bright": ["a"]}, more=f'[web]\nlisten = "127.0.0.1:{second}"'
    )
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: _answers(second), "the web surface elsewhere")
    wait_for(lambda: not _answers(first), "it left")
    assert "a" in json.loads(_get(second, "cameras"))["cameras"]
    end(process)


def test_after_a_kill_the_next_agent_accounts_for_what_was_open(
    agent: Agent, wait_for: Any
) -> None:
    agent.write({}, {})
    process = agent.start()
    wait_for(lambda: (agent.file.parent / "state" / "ledger").exists(), "the agent is up")
    agent.write({"a": LIVE.format(1)}, {"bright": ["a"]})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(agent.sequences("a")) > 10, "results of what came later")
    process.kill()
    process.communicate()
    before = len(agent.sequences("a"))
    process = agent.start()
    wait_for(lambda: len(agent.sequences("a")) > before + 10, "results of the next one")
    end(process)
    records = [json.loads(line) for line in agent.out.read_text().splitlines()]
    keys = [(r["app"], r["camera"], r["incarnation"], r["sequence"]) for r in records]
    assert len(keys) == len(set(keys))
    assert max(r["incarnation"] for r in records) == 2
    assert all("restart" in r["reason"] for r in records if r["state"] == "failed")


def _answers(port: int) -> bool:
    return "ready" in _get(port, "readyz")


def _get(port: int, what: str) -> str:
    """The answer of the web surface, or nothing where there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
