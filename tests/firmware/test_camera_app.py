"""The firmware's example app and an agent, two processes that hear of each other by rings alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgesdk.core.ring import RingReader

from . import square

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, SIDE = 640, 480, 48
RESULT = re.compile(
    r"result app=(?P<app>\S+) frame=(?P<frame>\d+) epoch=(?P<epoch>\d+) state=(?P<state>\d)"
    r" count=(?P<count>\d+)(?: square=(?P<box>[\d,]+)@[\d.]+)?"
)


def need(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def build(folder: Path, *, compiler: str = "cc", toolchain: Path | None = None) -> Path:
    """libedgesdk, installed, and the app made with its own Makefile and pkg-config only."""
    configure = ["cmake", "-S", str(ROOT / "native"), "-B", str(folder / "build")]
    configure += ["-DEDGE_BUILD_TESTS=OFF", f"-DCMAKE_INSTALL_PREFIX={folder / 'prefix'}"]
    if toolchain is not None:
        configure.append(f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    for command in (
        configure,
        ["cmake", "--build", str(folder / "build")],
        ["cmake", "--install", str(folder / "build")],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True)
    (pc,) = (folder / "prefix").rglob("edgesdk.pc")
    app = folder / "app"
    shutil.copytree(ROOT / "examples" / "firmware", app, ignore=shutil.ignore_patterns("camera"))
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    make = ["make", "-C", str(app), f"CC={compiler}", "STATIC=1"]
    subprocess.run(make, check=True, capture_output=True, text=True, env=environment)
    return app / "camera"


@pytest.fixture(scope="module")
def camera_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("cmake", "make", "pkg-config", "cc")
    return build(tmp_path_factory.mktemp("firmware"))


class App:
    """The running app; its lines are collected as they come."""

    def __init__(self, command: list[str]) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def results(self) -> list[re.Match[str]]:
        return [found for line in list(self.lines) if (found := RESULT.fullmatch(line))]

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(10)
        self._reader.join(5)
        return code


@pytest.fixture
def ring() -> Iterator[str]:
    name = f"test.firmware.{os.getpid()}"
    yield name
    for left in (f"edgesdk.ring.{name}", f"edgesdk.ring.{name}.results"):
        Path("/dev/shm", left).unlink(missing_ok=True)


@pytest.fixture
def agent(tmp_path: Path, ring: str) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts an agent that detects the square on the ring's frames."""
    card = square.write(tmp_path)
    (tmp_path / "app.py").write_text(
        "import edgesdk as edge\n"
        "@edge.app(deadline='2s')\n"
        "def squares(camera: edge.Camera):\n"
        f"    return camera.detect({str(card)!r}, score=0.5)\n"
    )
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        edgesdk = Path(sys.executable).with_name("edgesdk")
        command = [str(edgesdk), "run", "app.py:squares", "--camera", f"door=ring:{ring}"]
        process = subprocess.Popen(command, cwd=tmp_path, text=True, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def square_at(frame: int) -> tuple[int, int]:
    """Where capture.c draws the square in the frame with that sequence number."""

    def wander(step: int, span: int) -> int:
        at = step % (2 * span)
        return at if at < span else 2 * span - at

    return wander(3 * (frame - 1), WIDTH - SIDE), wander(2 * (frame - 1), HEIGHT - SIDE)


def assert_sees_the_square(result: re.Match[str], first: int = 1) -> None:
    """*first*: the sequence number of the frame that the app drew first."""
    assert result["count"] == "1"
    x, y = square_at(int(result["frame"]) - first + 1)
    box = [int(n) for n in result["box"].split(",")]
    # The model sees a quarter of the resolution.
    wanted = (x, y, x + SIDE, y + SIDE)
    assert all(abs(a - b) <= 6 for a, b in zip(box, wanted, strict=True)), (box, wanted)


def test_the_app_hears_what_the_agent_saw_on_its_frames(
    camera_app: Path,
    ring: str,
    agent: Callable[[], subprocess.Popen[str]],
    wait_for: Callable[..., None],
) -> None:
    app = App([str(camera_app), ring])
    agent()
    wait_for(lambda: len(app.results()) >= 20, "20 results")
    assert app.end() == 0
    results = app.results()
    frames = [int(result["frame"]) for result in results]
    assert frames == sorted(set(frames))
    assert {(r["app"], r["epoch"]) for r in results} == {("squares", "1")}
    for result in results:
        if result["state"] in "01":
            assert_sees_the_square(result)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_agent_survives_the_apps_restart(
    how: signal.Signals,
    camera_app: Path,
    ring: str,
    agent: Callable[[], subprocess.Popen[str]],
    wait_for: Callable[..., None],
) -> None:
    app = App([str(camera_app), ring])
    running = agent()
    wait_for(lambda: len(app.results()) >= 3, "results before the restart")
    app.end(how)
    before = max(int(result["frame"]) for result in app.results())
    upgraded = App([str(camera_app), ring, "-r", "15"])
    wait_for(lambda: any(r["epoch"] == "2" for r in upgraded.results()), "results after it")
    assert upgraded.end() == 0
    assert running.poll() is None
    after = [r for r in upgraded.results() if r["epoch"] == "2"]
    assert min(int(r["frame"]) for r in after) > before


def test_the_app_survives_the_agents_death(
    camera_app: Path,
    ring: str,
    agent: Callable[[], subprocess.Popen[str]],
    wait_for: Callable[..., None],
) -> None:
    app = App([str(camera_app), ring])
    first = agent()
    wait_for(lambda: len(app.results()) >= 3, "results of the first agent")
    first.kill()
    first.wait()
    heard = len(app.results())
    agent()
    wait_for(lambda: len(app.results()) >= heard + 5, "results of the second agent")
    assert app.end() == 0


def test_the_app_for_arm_runs_against_a_reader_on_this_machine(
    ring: str, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    compiler, emulator = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
    need(compiler, emulator, "cmake", "make", "pkg-config")
    toolchain = ROOT / "native" / "cmake" / "aarch64-linux.cmake"
    camera = build(tmp_path, compiler=compiler, toolchain=toolchain)
    app = App([emulator, str(camera), ring])
    wait_for(lambda: Path("/dev/shm", f"edgesdk.ring.{ring}").exists(), "the ring")
    reader = RingReader(ring)
    seen: list[int] = []

    def take() -> bool:
        for frame in reader.take():
            x, y = square_at(frame.sequence)
            luma = frame.pixels()[:HEIGHT]
            assert luma[y + SIDE // 2, x + SIDE // 2] == 235
            assert (luma == 235).sum() == SIDE * SIDE
            seen.append(frame.sequence)
        return len(seen) >= 10

    wait_for(take, "10 frames from the emulated app")
    reader.close()
    assert app.end() == 0
