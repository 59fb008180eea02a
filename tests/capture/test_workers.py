"""Processes: what dies, what takes its place, what is left behind, and what others can see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgesdk.capture import CaptureSupervisor, parse_source, supervisor
from edgesdk.capture.synthetic import read_index
from edgesdk.core.ring import Frame, RingMissing, RingReader, RingWriter
from edgesdk.errors import UsageError

from .conftest import Cameras, Server

FRAMES = 40


def index_of(frame: Frame) -> int:
    return read_index(frame.pixels())


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSEGV])
def test_a_dead_worker_costs_its_camera_a_second_and_no_other_a_frame(
    blow: signal.Signals, cameras: Cameras
) -> None:
    other = cameras.add("synthetic:?fps=50", slots=32)
    name = cameras.add("synthetic:?fps=50")
    cameras.read(name, count=5)
    reader = cameras.open(other)
    pid = cameras.wait_state(name, "streaming").pid
    died = time.monotonic()
    os.kill(pid, blow)
    again = cameras.wait(name, lambda s: s.state.value == "streaming", since=died)
    assert time.monotonic() - died < 1.5
    assert again.pid != pid
    assert again.restarts == 1
    reason = cameras.wait_state(name, "reconnecting", since=died).reason or ""
    assert blow.name in reason
    sequences = []
    while time.monotonic() < died + 1.0:
        reader.wait(0.1)
        for frame in reader.take():
            cameras.supervisor.acknowledge(other, frame.sequence)
            sequences.append(frame.sequence)
    reader.close()
    assert len(sequences) > 30
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_a_worker_imports_nothing_from_the_working_directory(
    cameras: Cameras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a checkout of edgesdk, whose folder edgesdk/ has no native module.
    (tmp_path / "edgesdk").mkdir()
    (tmp_path / "edgesdk" / "__init__.py").touch()
    (tmp_path / "numpy.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    name = cameras.add("synthetic:?fps=50")
    assert len(cameras.read(name, count=2)) == 2


def test_a_fast_file_goes_on_behind_the_frame_at_which_its_worker_died(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast")
    killed = []

    def visit(frame: Frame) -> tuple[int, int]:
        if frame.sequence == 15:
            killed.append(cameras.supervisor.status(name).pid)
            os.kill(killed[0], signal.SIGKILL)
        return index_of(frame), frame.sequence

    seen = cameras.read(name, visit=visit)
    assert [index for index, _ in seen] == list(range(FRAMES))
    assert [sequence for _, sequence in seen] == list(range(1, FRAMES + 1))
    assert cameras.wait_state(name, "ended").frames == FRAMES


def test_a_file_that_kills_its_decoder_at_the_same_frame_is_given_up(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast")
    pid = cameras.wait_state(name, "streaming").pid
    for _ in range(4):
        # Nothing is acknowledged, so each of them is still at the first frame.
        os.kill(pid, signal.SIGSEGV)
        status = cameras.wait(
            name,
            lambda s, last=pid: s.pid not in (0, last) or s.state.value == "ended",
            since=time.monotonic(),
        )
        if status.state.value == "ended":
            break
        pid = status.pid
    status = cameras.wait_state(name, "ended")
    assert status.failed
    assert "SIGSEGV" in (status.reason or "")
    assert "given up" in (status.reason or "")


def test_a_worker_that_hangs_is_killed_and_replaced(
    cameras: Cameras, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SILENT_WORKER", 1.5)
    name = cameras.add("synthetic:?fps=50")
    cameras.read(name, count=3)
    frozen = time.monotonic()
    os.kill(cameras.supervisor.status(name).pid, signal.SIGSTOP)
    status = cameras.wait_state(name, "reconnecting", since=frozen)
    assert "silent" in (status.reason or "")
    assert cameras.wait_state(name, "streaming", since=time.monotonic()).restarts > 0


def test_all_workers_stop_within_a_second_even_those_that_wait(
    camera_server: Server, videos: dict[str, Path]
) -> None:
    camera_server.start()
    group = CaptureSupervisor()
    silent = f"http://127.0.0.1:{camera_server.port}/silence"
    sources = ["synthetic:", silent, f"{videos['h264']}?pace=fast", str(videos["h265"]), silent]
    for number, uri in enumerate(sources):
        group.add(f"c{number}", parse_source(uri), ring=f"test-{os.getpid()}-stop-{number}")
    deadline = time.monotonic() + 10
    while not all(group.status(f"c{n}").pid for n in range(len(sources))):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    pids = [group.status(f"c{number}").pid for number in range(len(sources))]
    began = time.monotonic()
    group.close()
    assert time.monotonic() - began < 1.0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not [name for name in os.listdir("/dev/shm") if f"test-{os.getpid()}-stop" in name]


def test_closing_twice_and_removing_an_unknown_camera_are_no_riddles() -> None:
    group = CaptureSupervisor()
    with pytest.raises(UsageError, match="'nobody' is not known"):
        group.remove("nobody")
    group.close()
    group.close()
    with pytest.raises(UsageError, match="closed"):
        group.add("door", parse_source("synthetic:"), ring="test-closed")


def test_a_removed_camera_is_gone_and_its_name_free(cameras: Cameras) -> None:
    name = cameras.add("synthetic:")
    pid = cameras.wait_state(name, "streaming").pid
    began = time.monotonic()
    cameras.supervisor.remove(name)
    assert time.monotonic() - began < 1.0
    assert not psutil.pid_exists(pid)
    with pytest.raises(RingMissing):
        RingReader(name)
    with pytest.raises(UsageError, match="not known"):
        cameras.supervisor.status(name)
    cameras.supervisor.add(name, parse_source("synthetic:"), ring=name)
    assert cameras.read(name, count=2) == [1, 2]


AGENT = """
import sys, time
from edgesdk.capture import CaptureSupervisor, parse_source
group = CaptureSupervisor()
for number, uri in enumerate(sys.argv[2:]):
    group.add(f"c{number}", parse_source(uri), ring=f"{sys.argv[1]}-{number}")
while not all(group.status(f"c{n}").frames for n in range(len(sys.argv) - 2)):
    time.sleep(0.01)
import json
print(json.dumps([group.status(f"c{n}").pid for n in range(len(sys.argv) - 2)]), flush=True)
time.sleep(60)
"""


def test_workers_die_with_a_killed_agent_and_the_next_one_finds_no_old_frames(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    ring = f"test-{os.getpid()}-agent"
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, ring, "synthetic:", f"{videos['h264']}?pace=fast"],
        stdout=subprocess.PIPE,
    )
    assert agent.stdout is not None
    pids = json.loads(agent.stdout.readline())
    processes = [psutil.Process(pid) for pid in pids]
    agent.kill()
    agent.wait()
    agent.stdout.close()
    _, alive = psutil.wait_procs(processes, timeout=2.0)
    assert alive == []
    # As after a power cut of both: a ring with frames of a life that nobody remembers.
    old = RingWriter(f"{ring}-0", slot_bytes=100)
    old.close(unlink=False)
    cameras.supervisor.add("again", parse_source("synthetic:?seed=1"), ring=f"{ring}-0")
    assert cameras.read("again", count=3) == [1, 2, 3]


def test_a_ring_that_another_process_writes_is_not_taken_away(cameras: Cameras) -> None:
    name = f"test-{os.getpid()}-taken"
    with RingWriter(name, slot_bytes=100):
        cameras.supervisor.add(name, parse_source("synthetic:"), ring=name)
        status = cameras.wait_state(name, "ended")
        assert status.failed
        assert name in (status.reason or "")


def test_no_process_shows_a_password(camera_server: Server, cameras: Cameras) -> None:
    camera_server.start("--user", "admin", "--password", "s3cret-word")
    name = cameras.add(f"http://admin:s3cret-word@127.0.0.1:{camera_server.port}/stream")
    cameras.read(name, count=2)
    pid = cameras.wait_state(name, "streaming").pid
    for what in ("cmdline", "environ", "comm"):
        assert b"s3cret-word" not in Path(f"/proc/{pid}/{what}").read_bytes()
    shown = subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout
    line = next(line for line in shown.splitlines() if line.split()[0] == str(pid))
    assert name in line, "whoever reads ps shall see whose worker it is"
    assert "s3cret-word" not in line


def test_no_log_shows_a_password(
    camera_server: Server, cameras: Cameras, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    camera_server.start()
    for scheme, path in (("http", "missing"), ("rtsp", "stream"), ("rtsps", "x"), ("https", "y")):
        uri = f"{scheme}://admin:s3cret-word@127.0.0.1:{camera_server.port}/{path}"
        name = cameras.add(f"{uri}?token=t0ken-word&edge.timeout=500ms")
        cameras.wait_state(name, "reconnecting")
    assert "reconnecting" in caplog.text
    for secret in ("s3cret-word", "t0ken-word", "admin"):
        assert secret not in caplog.text
        assert secret not in repr(cameras.history)


def test_a_callback_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def raises(*_: object) -> None:
        raise RuntimeError("the user's mistake")

    ring = f"test-{os.getpid()}-raises"
    with CaptureSupervisor(on_state=raises) as group:
        group.add("door", parse_source("synthetic:?frames=3&fps=100"), ring=ring)
        deadline = time.monotonic() + 10
        while group.status("door").state.value != "ended":
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)
    assert "the user's mistake" in caplog.text


def test_a_worker_is_small_and_stays_so(
    cameras: Cameras, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_video(tmp_path / "hd.mp4", "libx264", width=1280, height=720, frames=30)
    name = cameras.add(f"{path}?loop=1&pace=fast")
    cameras.read(name, count=40)
    small = private_kilobytes(cameras.supervisor.status(name).pid)
    assert small < 70 * 1024
    cameras.read(name, count=300)
    assert private_kilobytes(cameras.supervisor.status(name).pid) < small + 4 * 1024


def private_kilobytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    return fields["Pss"] - fields["Pss_Shmem"]


def test_cameras_that_hang_send_garbage_or_change_size_cost_a_good_one_no_frame(
    camera_server: Server, cameras: Cameras, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    camera_server.start()
    changing = tmp_path / "changing.264"
    for width in (320, 640):
        make_video(tmp_path / "part.264", "libx264", form="h264", width=width, frames=10)
        changing.open("ab").write((tmp_path / "part.264").read_bytes())
    good = cameras.add("synthetic:?fps=50", slots=32)
    base = f"http://127.0.0.1:{camera_server.port}"
    bad = [cameras.add(f"{base}/{kind}?edge.timeout=500ms") for kind in ("silence", "garbage")]
    other = cameras.add(f"{changing}?loop=1&fps=50")
    sequences = cameras.read(good, count=100)
    assert sequences == list(range(1, 101))
    for name in bad:
        cameras.wait_state(name, "reconnecting")
    assert {s.width for n, _, s in cameras.history if n == other} >= {320, 640}


def test_an_agent_that_was_away_itself_does_not_take_its_workers_for_silent(
    cameras: Cameras, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGSTOP, or a laptop's sleep: first of all it has to listen again."""
    monkeypatch.setattr(supervisor, "SILENT_WORKER", 1.5)
    name = cameras.add("synthetic:?fps=50")
    cameras.read(name, count=3)
    pid = cameras.supervisor.status(name).pid
    away = threading.Event()

    def be_away() -> None:
        time.sleep(2.5)  # stands for the time in which the process did not run
        worker = cameras.supervisor._cameras[name].worker
        assert worker is not None
        worker.heard_at = time.monotonic() - 2.5  # nothing was heard before the clock was looked at
        away.set()

    cameras.supervisor._call(be_away)
    assert away.wait(10)
    cameras.read(name, count=50)  # a killed worker would be missed within these
    status = cameras.supervisor.status(name)
    assert (status.pid, status.restarts) == (pid, 0)
