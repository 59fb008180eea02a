from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LIVE = "synthetic:?width=128&height=96&fps=60&seed=3"
FAST = "synthetic:?width=128&height=96&fps=50&frames={}&seed=3&pace=fast"
Command = Callable[..., Any]


def whole_lines(path: Path) -> int:
    """Lines of a results file that is being written; the last one may be a part."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_json_is_one_document_on_standard_output_and_nothing_else(
    edgesdk: Command, application: Path, tmp_path: Path
) -> None:
    arguments = (f"{application}:bright", "--camera", f"cam={FAST.format(30)}", "--json")
    out, errors = (process := edgesdk("run", *arguments)).communicate(timeout=60)
    assert process.returncode == 0, errors
    document = json.loads(out)
    assert out.count("\n") == 1
    frames = document["applications"]["bright"]["cameras"]["cam"]["frames"]
    assert frames["captured"] == frames["passed"] == frames["ok"] == 30
    assert document["inferences"] == {"cells": 30}
    assert document["cameras"]["cam"]["state"] == "ended"
    assert document["applications"]["bright"]["cameras"]["cam"]["outputs"]["bright"]["total"] >= 1


def test_people_get_a_summary(edgesdk: Command, application: Path) -> None:
    process = edgesdk("run", f"{application}:bright", "--camera", f"cam={FAST.format(30)}")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "bright on cam: 30 frames captured" in out
    assert "ok 30, late 0, dropped 0, failed 0" in out
    assert "inferences: cells 30" in out


def test_two_applications_and_a_file_of_results(
    edgesdk: Command, application: Path, tmp_path: Path, records: Any
) -> None:
    process = edgesdk(
        *("run", f"{application}:bright", f"{application}:other"),
        *("--camera", f"a={FAST.format(20)}", "--camera", f"b={FAST.format(20)}"),
        *("--out", "results.jsonl", "--json"),
    )
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert json.loads(out)["inferences"] == {"cells": 40}
    found = records(tmp_path / "results.jsonl")
    assert len({(r["app"], r["camera"], r["sequence"]) for r in found}) == len(found) == 80


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_run_within_two_seconds_with_everything_counted(
    edgesdk: Command,
    application: Path,
    tmp_path: Path,
    records: Any,
    wait_for: Any,
    in_shared_memory: Any,
    number: int,
) -> None:
    results = tmp_path / "out.jsonl"
    process = edgesdk(
        "run", f"{application}:bright", "--camera", f"cam={LIVE}", "--out", results, "--json"
    )
    wait_for(lambda: whole_lines(results) > 20, "the first results")
    process.send_signal(number)
    asked = time.monotonic()
    out, errors = process.communicate(timeout=10)
    took = time.monotonic() - asked
    assert process.returncode == 0, errors
    assert took < 2.0
    frames = json.loads(out)["applications"]["bright"]["cameras"]["cam"]["frames"]
    ended = frames["ok"] + frames["late"] + frames["dropped"] + frames["failed"]
    assert frames["captured"] == frames["passed"] == ended
    lost = json.loads(out)["applications"]["bright"]["cameras"]["cam"]["dropped_by_reason"]
    assert len(records(results)) == frames["passed"] - lost.get("overrun", 0)
    assert in_shared_memory(process.pid) == []


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.6])
def test_ctrl_c_while_it_starts_is_no_error(
    edgesdk: Command, application: Path, in_shared_memory: Any, seconds: float
) -> None:
    process = edgesdk("run", f"{application}:bright", "--camera", f"cam={LIVE}")
    started = Path(f"/proc/{process.pid}/cmdline")
    # Python itself has no handler yet in its first moments; the test begins after them.
    while b"edgesdk" not in started.read_bytes() or b"typer" not in _loaded(process.pid):
        assert process.poll() is None
    time.sleep(seconds)  # not a wait for an event: the moment is what is tested
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert time.monotonic() - asked < 2.0
    assert "Traceback" not in errors
    assert in_shared_memory(process.pid) == []


def test_ctrl_c_ends_a_start_that_heeds_nothing(
    edgesdk: Command, tmp_path: Path, in_shared_memory: Any, wait_for: Any
) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "stuck.py").write_text(
        f"import pathlib, threading\npathlib.Path({str(begun)!r}).touch()\n"
        "threading.Event().wait(60)\n"
    )
    process = edgesdk("run", "stuck.py:app", "--camera", f"cam={LIVE}", "--json")
    wait_for(begun.exists, "the application's file to be run", 30)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    out, errors = process.communicate(timeout=10)
    assert time.monotonic() - asked < 2.0
    assert process.returncode == 0, errors
    assert json.loads(out)["applications"] == {}
    assert errors == ""
    assert in_shared_memory(process.pid) == []


def test_credentials_are_not_in_the_process_list(
    edgesdk: Command, application: Path, wait_for: Any
) -> None:
    secret = "http://jane:sekret@127.0.0.1:1/?token=sekret"
    process = edgesdk("run", f"{application}:bright", "--camera", f"cam={secret}", "--json")
    shown = Path(f"/proc/{process.pid}/cmdline")
    concealed = b"cam=http://***@127.0.0.1:1/?token=***\0--json\0"
    wait_for(lambda: concealed in shown.read_bytes(), "the command line to be concealed")
    assert b"sekret" not in shown.read_bytes()
    wait_for(lambda: b"onnxruntime" in Path(f"/proc/{process.pid}/maps").read_bytes(), "a start")
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "sekret" not in out + errors


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", ">/dev/full"])
@pytest.mark.parametrize("words", ["models list --json", "run x.py:x --json", "bogus --json"])
def test_closed_or_full_standard_streams_leave_no_traceback(
    tmp_path: Path, words: str, closed: str
) -> None:
    program = "from edgesdk.cli.entry import main; main()"
    line = f'"{sys.executable}" -c "{program}" {words} {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "a bug in edgesdk" not in done.stderr
    expected = {"models": 0, "run": 2, "bogus": 2}[words.split()[0]]
    assert done.returncode == (1 if closed == ">/dev/full" and not expected else expected)


@pytest.mark.parametrize("words", [[], ["models", "list"]])
def test_ctrl_c_during_the_first_imports_leaves_no_traceback(words: list[str]) -> None:
    # The finder interrupts at a moment that a signal hits by chance only.
    program = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "from edgesdk.cli.entry import main\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_file_that_is_no_video_is_an_error_of_its_source(
    edgesdk: Command, application: Path
) -> None:
    camera = f"cam={application}"
    process = edgesdk("run", f"{application}:bright", "--camera", camera, "--json")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"error: camera cam gave no frame: {application}: not a video" in errors
    assert json.loads(out)["cameras"]["cam"]["state"] == "ended"


def _loaded(pid: int) -> bytes:
    # A module in C that the command loads after it has set its handlers.
    maps = Path(f"/proc/{pid}/maps").read_bytes()
    return b"typer" if b"msgspec" in maps or b"_native" in maps or b"_json" in maps else b""


def test_kill_9_and_a_restart_leave_whole_lines_and_every_frame_once(
    edgesdk: Command,
    application: Path,
    tmp_path: Path,
    records: Any,
    wait_for: Any,
    in_shared_memory: Any,
) -> None:
    results = tmp_path / "out.jsonl"
    line = ("run", f"{application}:bright", "--camera", f"cam={LIVE}", "--out", results)
    killed = edgesdk(*line)
    wait_for(lambda: whole_lines(results) > 30, "the first results")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    wait_for(lambda: not any(".ring." in n for n in in_shared_memory(killed.pid)), "clean-up")
    before = whole_lines(results)
    again = edgesdk(*line, "--frames", "40", "--json")
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    found = records(results)  # every line is one document
    keys = [(r["incarnation"], r["sequence"]) for r in found]
    assert len(set(keys)) == len(keys)
    assert {r["incarnation"] for r in found} == {1, 2}
    first = sorted(r["sequence"] for r in found if r["incarnation"] == 1)
    assert first == list(range(first[0], first[0] + len(first)))
    assert len(first) >= before
    assert in_shared_memory(again.pid) == in_shared_memory(killed.pid) == []


def test_entries_open_at_a_kill_become_failures_of_the_restart(
    edgesdk: Command, cards: Any, tmp_path: Path, records: Any, wait_for: Any
) -> None:
    (tmp_path / "stuck.py").write_text(
        "import time\n"
        "import edgesdk as edge\n"
        # Stateful, since only those see frames in order.
        "@edge.operator(version=1, state=dict)\n"
        "def hangs(\n"
        "    state: dict, found: edge.Detections, info: edge.FrameInfo\n"
        ") -> edge.Measurement:\n"
        "    if info.sequence > 5:\n"
        "        time.sleep(60)\n"
        "    return edge.Measurement('n', {'n': 1})\n"
        "@edge.app(deadline='60s')\n"
        "def stuck(camera: edge.Camera):\n"
        f"    return {{'n': camera.detect({cards.cells!r}).apply(hangs)}}\n"
    )
    results = tmp_path / "out.jsonl"
    line = ("run", "stuck.py:stuck", "--out", results, "--camera")
    killed = edgesdk(*line, f"cam={FAST.format(100)}")
    wait_for(lambda: whole_lines(results) >= 5, "the first results")
    journal = tmp_path / "state" / "edgesdk" / "ledger"
    wait_for(lambda: any(journal.glob("*.open")), "the journal")
    wait_for(lambda: _open_slots(journal) == 4, "four open frames")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    again = edgesdk(*line, f"cam={FAST.format(2)}")
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    failed = [r for r in records(results) if r["state"] == "failed"]
    assert [r["sequence"] for r in failed] == [6, 7, 8, 9]
    assert all("restart" in r["reason"] for r in failed)
    assert all(r["incarnation"] == 1 and r["outputs"] is None for r in failed)


def _open_slots(journal: Path) -> int:
    data = next(journal.glob("*.open")).read_bytes()
    return sum(data[at : at + 4] != b"\0\0\0\0" for at in range(4096, len(data), 64))


def test_camera_that_hangs_or_sends_garbage_stops_no_other(
    edgesdk: Command, application: Path, tmp_path: Path
) -> None:
    (tmp_path / "garbage.mp4").write_bytes(os.urandom(200_000))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        process = edgesdk(
            *("run", f"{application}:bright", "--json", "--duration", "4"),
            *("--camera", "good=synthetic:?width=128&height=96&fps=30&frames=60&seed=1"),
            *("--camera", "garbage=garbage.mp4"),
            *("--camera", f"silent=http://user:secret@127.0.0.1:{port}/stream"),
            *("--camera", "absent=ring:nobody-writes-this"),
        )
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    document = json.loads(out)
    good = document["applications"]["bright"]["cameras"]["good"]["frames"]
    assert good["captured"] == 60
    assert good["ok"] >= 55
    assert document["cameras"]["garbage"]["state"] == "ended"
    assert document["cameras"]["garbage"]["reason"]
    assert document["cameras"]["silent"]["state"] != "streaming"
    assert "secret" not in out + errors


MISTAKES = {
    "no application": (("run", "--camera", "a=synthetic:"), 2, "no application"),
    "no camera": (("run", "{app}:bright"), 2, "--camera NAME=URI"),
    "camera without name": (("run", "{app}:bright", "--camera", "rtsp://u:p@h/x"), 2, "NAME=URI"),
    "two of one name": (
        ("run", "{app}:bright", "--camera", "a=synthetic:", "--camera", "a=synthetic:"),
        2,
        "two cameras",
    ),
    "no such file": (("run", "{app}:bright", "--camera", "a=nowhere.mp4"), 5, "nowhere.mp4"),
    "no such application": (("run", "{app}:nobody", "--camera", "a=synthetic:"), 2, "nobody"),
    "no such module": (("run", "nowhere.py:x", "--camera", "a=synthetic:"), 2, "nowhere.py"),
    "negative duration": (
        ("run", "{app}:bright", "--camera", "a=synthetic:", "--duration", "-1"),
        2,
        "--duration",
    ),
    "results nowhere": (
        ("run", "{app}:bright", "--camera", "a=synthetic:", "--out", "no/such/dir/out.jsonl"),
        7,
        "no/such/dir",
    ),
    "web beyond loopback": (
        ("run", "{app}:bright", "--camera", "a=synthetic:", "--web", "0.0.0.0:80"),
        2,
        "loopback",
    ),
    "no such config": (("run", "--config", "nowhere.toml"), 2, "nowhere.toml"),
    "no such command": (("rum",), 2, "There are: demo, run, agent"),
    "no number": (("run", "--duration", "soon"), 2, "'--duration'"),
    "its value": (("run", "--duration=soon"), 2, "it is 'soon'"),
    "no such option": (("run", "--camra", "a=b"), 2, "--camra"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_line_with_its_own_exit_code_and_a_document(
    edgesdk: Command, application: Path, name: str
) -> None:
    arguments, code, words = MISTAKES[name]
    process = edgesdk(*(a.format(app=application) for a in arguments), "--json")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    document = json.loads(out)
    assert document["error"]["exit_code"] == code
    assert words in document["error"]["message"]
    assert "u:p" not in out + errors


def test_each_mistake_of_a_configuration_is_a_line(edgesdk: Command, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("[node]\nthreads = 0\n[cameras.door]\nslot = 4\n")
    process = edgesdk("run", "--config", str(tmp_path / "node.toml"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    lines = errors.splitlines()
    assert len(lines) > 2
    assert all(line.startswith(f"error: {tmp_path / 'node.toml'}:") for line in lines)


def test_help_is_quick_and_loads_nothing_heavy(edgesdk: Command) -> None:
    process = edgesdk("--help")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    for command in ("demo", "run", "models", "graph", "doctor", "bench"):
        assert command in out
    out, _ = (process := edgesdk("--version")).communicate(timeout=20)
    assert (process.returncode, out.split()[0]) == (0, "edgesdk")


def test_results_that_a_full_disk_refused_are_an_error_at_the_end(
    edgesdk: Command, application: Path
) -> None:
    process = edgesdk(
        *("run", f"{application}:bright", "--camera", f"cam={FAST.format(20)}"),
        *("--out", "/dev/full", "--json"),
    )
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "error: 20 results are not in /dev/full" in errors
    frames = json.loads(out)["applications"]["bright"]["cameras"]["cam"]["frames"]
    assert frames["ok"] == 20


def test_operator_that_hangs_does_not_hold_up_the_end(
    edgesdk: Command, cards: Any, tmp_path: Path, wait_for: Any
) -> None:
    (tmp_path / "stuck.py").write_text(
        "import pathlib, time\n"
        "import edgesdk as edge\n"
        "@edge.operator(version=1)\n"
        "def hangs(found: edge.Detections) -> edge.Measurement:\n"
        f"    pathlib.Path({str(tmp_path / 'hanging')!r}).touch()\n"
        "    time.sleep(60)\n"
        "    return edge.Measurement('n', {'n': 1})\n"
        "@edge.app(deadline='1s')\n"
        "def stuck(camera: edge.Camera):\n"
        f"    return {{'n': camera.detect({cards.cells!r}).apply(hangs)}}\n"
    )
    process = edgesdk("run", "stuck.py:stuck", "--camera", f"cam={LIVE}", "--json")
    wait_for((tmp_path / "hanging").exists, "the operator's call")
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    out, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert time.monotonic() - asked < 2.0
    frames = json.loads(out)["applications"]["stuck"]["cameras"]["cam"]["frames"]
    assert frames["passed"] == frames["dropped"] > 0


def test_second_ctrl_c_ends_at_once(
    edgesdk: Command, application: Path, tmp_path: Path, wait_for: Any
) -> None:
    results = tmp_path / "out.jsonl"
    process = edgesdk("run", f"{application}:bright", "--camera", f"cam={LIVE}", "--out", results)
    wait_for(lambda: whole_lines(results) > 3, "the first results")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert all(json.loads(line) for line in results.read_bytes().split(b"\n")[:-1])
