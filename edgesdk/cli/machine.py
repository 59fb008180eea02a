"""What this machine has for edgesdk, and what it lacks: the findings of ``edgesdk doctor``.

Each check looks at one thing, changes nothing, never raises, and says the next step to take.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Finding", "look"]

State = Literal["ok", "limited", "missing", "broken"]

_FRAME_1080P = 1920 * 1080 * 3
_RINGS_WANTED = 8 * 4 * _FRAME_1080P  # eight cameras of 1080p with four slots each
_CLOCK_AT_LEAST = 1_767_225_600  # 2026-01-01: this version did not exist before

# USB ids of the Edge TPU before and after its first opening.
_CORAL_USB = {("1a6e", "089a"), ("18d1", "9302")}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; *next_step* is empty where nothing is to be done."""

    area: Literal["core", "machine", "capture", "models", "extras", "hardware"]
    name: str
    state: State
    detail: str
    next_step: str = ""


def look(root: Path = Path("/"), now: float | None = None) -> list[Finding]:
    """All findings but those about backends.

    root: where ``dev``, ``etc`` and ``sys`` are looked for. now: seconds since 1970, UTC.
    """
    checks: list[Callable[[], Iterator[Finding]]] = [
        _core,
        lambda: _shared_memory(root),
        lambda: _clock(time.time() if now is None else now),
        _video,
        lambda: _v4l2(root),
        _gstreamer,
        _clients,
        _cache,
        _extras,
        _impostors,
        lambda: _hardware(root),
    ]
    return [finding for check in checks for finding in _made(check)]


def _made(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:
        failed = Finding(
            area="machine",
            name=check.__name__.strip("_<>"),
            state="broken",
            detail=f"the check itself failed: {type(error).__name__}: {error}",
            next_step="report this",
        )
        return [failed]


def _core() -> Iterator[Finding]:
    name = f"edgesdk-doctor-{os.getpid()}"
    try:
        import numpy as np

        from edgesdk.core.ring import FrameProperties, PixelFormat, RingReader, RingWriter

        now = time.monotonic_ns()
        frame = np.arange(48, dtype=np.uint8)
        with RingWriter(name, slot_bytes=4096) as writer, RingReader(name) as reader:
            writer.publish(frame, FrameProperties(4, 4, PixelFormat.BGR, 12, now, time.time_ns()))
            (taken,) = reader.take()
            if not np.array_equal(taken.data, frame):
                raise RuntimeError("a frame came back changed")
            taken.release()
    except Exception as error:
        yield Finding(
            area="core",
            name="frame ring",
            state="broken",
            detail=f"{type(error).__name__}: {error}",
            next_step="pip install --force-reinstall edgesdk (from source: with a C compiler)",
        )
    else:
        yield Finding(
            area="core", name="frame ring", state="ok", detail="a frame went through shared memory"
        )


def _shared_memory(root: Path) -> Iterator[Finding]:
    folder = root / "dev/shm"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Finding(
            area="machine",
            name="shared memory",
            state="broken",
            detail=f"{folder} is missing or cannot be written",
            next_step="mount a tmpfs at /dev/shm",
        )
        return
    free = shutil.disk_usage(folder).free
    small = free < _RINGS_WANTED
    yield Finding(
        area="machine",
        name="shared memory",
        state="limited" if small else "ok",
        detail=f"{free >> 20} MB free in {folder}, {free // (4 * _FRAME_1080P)} cameras of 1080p",
        next_step="give it more (in a container: --shm-size=1g)" if small else "",
    )


def _clock(now: float) -> Iterator[Finding]:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    behind = now < _CLOCK_AT_LEAST
    yield Finding(
        area="machine",
        name="clock",
        state="broken" if behind else "ok",
        detail=stamp + (", which is in the past" if behind else ""),
        next_step="set it, or start an NTP client: results carry UTC times" if behind else "",
    )


def _video() -> Iterator[Finding]:
    try:
        import av
    except Exception as error:
        yield Finding(
            area="capture",
            name="PyAV",
            state="broken",
            detail=f"cannot be imported: {error}",
            next_step="pip install --force-reinstall av",
        )
        return
    lacking = [codec for codec in ("h264", "hevc", "mjpeg") if codec not in av.codecs_available]
    yield Finding(
        area="capture",
        name="PyAV",
        state="limited" if lacking else "ok",
        detail=f"{av.__version__}"
        + (f" cannot decode {', '.join(lacking)}" if lacking else ", decodes H.264, H.265, MJPEG"),
        next_step="pip install --force-reinstall --only-binary=:all: av" if lacking else "",
    )


def _v4l2(root: Path) -> Iterator[Finding]:
    devices = sorted((root / "dev").glob("video*"))
    if not devices:
        yield Finding(
            area="capture",
            name="V4L2",
            state="missing",
            detail="no /dev/video*",
            next_step="plug a camera in, or pass the device to the container",
        )
        return
    closed = [d for d in devices if not os.access(d, os.R_OK | os.W_OK)]
    yield Finding(
        area="capture",
        name="V4L2",
        state="limited" if closed else "ok",
        detail=", ".join(f"/dev/{d.name}" for d in devices)
        + (f"; no permission for {len(closed)} of them" if closed else ""),
        next_step="add this user to the group video" if closed else "",
    )


def _gstreamer() -> Iterator[Finding]:
    cv2 = importlib.import_module("cv2")
    row = re.search(r"GStreamer:\s+(\S+)", str(cv2.getBuildInformation()))
    opencv = row is not None and row.group(1).upper().startswith("YES")
    if opencv or find_spec("gi") is not None:
        yield Finding(
            area="capture",
            name="GStreamer",
            state="ok",
            detail="by OpenCV" if opencv else "by PyGObject",
        )
    else:
        yield Finding(
            area="capture",
            name="GStreamer",
            state="missing",
            detail="neither this OpenCV nor PyGObject brings it; gst: sources need it",
            next_step="apt install python3-gi gir1.2-gstreamer-1.0, and a venv with "
            "--system-site-packages",
        )


def _clients() -> Iterator[Finding]:
    for name, there, step in (
        ("pip", find_spec("pip") is not None, "python -m ensurepip"),
        ("npm", shutil.which("npm") is not None, "apt install npm"),
    ):
        yield Finding(
            area="models",
            name=name,
            state="ok" if there else "missing",
            detail="pulls models" if there else f"models that come by {name} cannot be pulled",
            next_step="" if there else step,
        )


def _cache() -> Iterator[Finding]:
    from edgesdk.models import ModelRegistry

    registry = ModelRegistry()
    folder = registry.cache
    above = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(above, os.W_OK):
        yield Finding(
            area="models",
            name="cache",
            state="broken",
            detail=f"{above} cannot be written",
            next_step="set XDG_CACHE_HOME to a folder that can",
        )
        return
    free = shutil.disk_usage(above).free
    full = free < 200 << 20
    yield Finding(
        area="models",
        name="cache",
        state="limited" if full else "ok",
        detail=f"{folder}, {free >> 20} MB free",
        next_step="free some, or set XDG_CACHE_HOME" if full else "",
    )
    present = [entry.name for entry in registry.list() if entry.present]
    yield Finding(
        area="models",
        name="on this machine",
        state="ok" if present else "missing",
        detail=", ".join(present) or "none yet",
        next_step="" if present else "edgesdk models pull person-ssdlite",
    )


def _extras() -> Iterator[Finding]:
    for extra, modules, gives in (
        ("web", ("starlette", "uvicorn", "prometheus_client"), "page, previews and metrics"),
        ("mqtt", ("paho",), "MQTT sinks"),
    ):
        lacking = [m for m in modules if find_spec(m) is None]
        yield Finding(
            area="extras",
            name=extra,
            state="missing" if lacking else "ok",
            detail=f"{gives}: {', '.join(lacking)} not installed" if lacking else gives,
            next_step=f"pip install 'edgesdk[{extra}]'" if lacking else "",
        )


def _impostors() -> Iterator[Finding]:
    """Packages that are not what their name says, or break another by being there."""
    try:
        summary = str(distribution("pycoral").metadata["Summary"] or "")
    except PackageNotFoundError:
        summary = ""
    if "Atlas" in summary:
        yield Finding(
            area="extras",
            name="pycoral",
            state="limited",
            detail=f"the installed pycoral is {summary!r}, not Google's, and hides it",
            next_step="pip uninstall pycoral (edgesdk needs neither)",
        )
    names = ("opencv-python", "opencv-contrib-python", "opencv-python-headless")
    rivals = [name for name in names if _installed(name)]
    if rivals:
        yield Finding(
            area="extras",
            name="opencv",
            state="limited",
            detail=f"{', '.join(rivals)}: writes the same files as opencv-contrib-python-headless",
            next_step=f"pip uninstall {' '.join(rivals)}, then "
            "pip install --force-reinstall opencv-contrib-python-headless",
        )


def _hardware(root: Path) -> Iterator[Finding]:
    """Accelerators that are there; those without an adapter are said so."""
    later = "no adapter in this version; models run on the CPU"
    coral = [p.name for p in (root / "dev").glob("apex_*")]
    for folder in (root / "sys/bus/usb/devices").glob("*"):
        ids = tuple(_word(folder / key) for key in ("idVendor", "idProduct"))
        if ids in _CORAL_USB:
            coral.append(f"USB {folder.name}")
    if coral:
        yield Finding(
            area="hardware",
            name="Coral Edge TPU",
            state="missing",
            detail=f"{', '.join(sorted(coral))}: {later}",
        )
    if (root / "etc/nv_tegra_release").exists():
        yield Finding(area="hardware", name="NVIDIA Jetson", state="missing", detail=later)
    elif list((root / "dev").glob("nvidia[0-9]*")):
        yield Finding(
            area="hardware",
            name="NVIDIA GPU",
            state="limited",
            detail="used where ONNX Runtime has its CUDA provider (see the devices of onnxruntime)",
            next_step="pip install onnxruntime-gpu in place of onnxruntime",
        )
    if list((root / "dev").glob("hailo*")):
        yield Finding(area="hardware", name="Hailo", state="missing", detail=later)
    for name, pattern, step in (
        ("GPU render node", "dev/dri/renderD*", "for an Intel GPU: apt install intel-opencl-icd"),
        ("Intel NPU", "dev/accel/accel*", "install Intel's Linux NPU driver"),
    ):
        nodes = sorted(root.glob(pattern))
        if not nodes:
            continue
        closed = [n for n in nodes if not os.access(n, os.R_OK | os.W_OK)]
        yield Finding(
            area="hardware",
            name=name,
            state="limited" if closed else "ok",
            detail=", ".join(n.name for n in nodes)
            + (": no permission" if closed else "; OpenVINO lists it where its driver is there"),
            next_step="add this user to the group render" if closed else step,
        )


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def interpreter() -> str:
    """The interpreter and the platform on one line."""
    return f"Python {platform.python_version()} on {platform.machine()}, {sys.platform}"
