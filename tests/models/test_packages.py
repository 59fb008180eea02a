"""Files come through the user's own pip, whole and as pinned, or not at all.

The index is a real one, served here over HTTP to the real client, so that it can break on purpose.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.errors import (
    DigestMismatch,
    ModelError,
    ModelInvalid,
    ModelNotFound,
    NetworkUnavailable,
)
from edgesdk.models import archives
from edgesdk.models.archives import extract
from edgesdk.models.packages import Wanted, fetch
from edgesdk.models.schema import PackageSource

MODEL = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(MODEL).hexdigest()


def wheel(name: str = "edgesdk_test_model", content: bytes = MODEL) -> bytes:
    out = io.BytesIO()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        z.writestr(f"{name}/model.bin", content)
        z.writestr(f"{name}/setup.py", "raise SystemExit('code of the package was run')")
        z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")
    return out.getvalue()


class Index(http.server.ThreadingHTTPServer):
    """A package index of one wheel. *stop_at*: bytes after which a transfer stops."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wheel = wheel()
        self.stop_at: list[int] = []
        self.hang = False
        self.halfway = threading.Event()
        self.go_on = threading.Event()
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/simple"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Index
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = "edgesdk_test_model-1.0-py3-none-any.whl"
        if not self.path.endswith(".whl"):
            page = f'<a href="/files/{name}">{name}</a>'.encode()
            self._head(200, len(page), "text/html")
            self.wfile.write(page)
            return
        body = self.server.wheel
        wanted = self.headers.get("Range", "")
        self.server.requests.append(wanted)
        first = int(wanted[6:].split("-")[0]) if wanted.startswith("bytes=") else 0
        self._head(206 if first else 200, len(body) - first, "application/octet-stream", first)
        end = self.server.stop_at.pop(0) if self.server.stop_at else len(body)
        self.wfile.write(body[first:end])
        if end < len(body):
            self.wfile.flush()
            self.server.halfway.set()
            if self.server.hang:
                self.server.go_on.wait(30)
            self.close_connection = True

    def _head(self, status: int, length: int, kind: str, first: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", kind)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"one"')
        if first:
            total = first + length
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The only index that pip knows."""
    server = Index()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


def wanted(folder: Path, **changes: Any) -> Wanted:
    keys: dict[str, Any] = {
        "client": "pip",
        "package": "edgesdk-test-model",
        "version": "1.0",
        "member": "edgesdk_test_model/model.bin",
        "size": len(MODEL),
    }
    sha = changes.pop("sha256", SHA)
    return Wanted(folder / "models" / "m.bin", sha, PackageSource(**{**keys, **changes}))


def files_below(folder: Path) -> list[str]:
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"
    )


def test_a_file_is_fetched_checked_and_not_fetched_again(index: Index, tmp_path: Path) -> None:
    seen: list[int] = []
    item = wanted(tmp_path)
    fetch([item], tmp_path / "staging", lambda what, done, total: seen.append(done))
    assert item.target.read_bytes() == MODEL
    assert files_below(tmp_path) == ["models/m.bin"], "nothing but the model is kept"
    assert seen == sorted(seen)
    assert seen[-1] >= len(MODEL)
    fetch([item], tmp_path / "staging")
    assert len(index.requests) == 1


def test_a_file_that_was_damaged_since_is_fetched_again(index: Index, tmp_path: Path) -> None:
    item = wanted(tmp_path)
    fetch([item], tmp_path / "staging")
    item.target.write_bytes(MODEL[:-1] + b"x")
    fetch([item], tmp_path / "staging")
    assert item.target.read_bytes() == MODEL


def test_two_files_of_one_package_cost_one_download(index: Index, tmp_path: Path) -> None:
    whole = wanted(tmp_path)
    tail = wanted(tmp_path, offset=100, size=50, sha256=hashlib.sha256(MODEL[100:150]).hexdigest())
    tail = Wanted(tmp_path / "tail", tail.sha256, tail.source)
    fetch([whole, tail], tmp_path / "staging")
    assert tail.target.read_bytes() == MODEL[100:150]
    assert len(index.requests) == 1


def test_other_bytes_than_pinned_are_refused_and_nothing_is_kept(
    index: Index, tmp_path: Path
) -> None:
    index.wheel = wheel(content=MODEL[:-1] + b"x")
    with pytest.raises(DigestMismatch, match=SHA):
        fetch([wanted(tmp_path)], tmp_path / "staging")
    assert not (tmp_path / "models" / "m.bin").exists()
    index.wheel = wheel()
    fetch([wanted(tmp_path)], tmp_path / "staging")
    assert (tmp_path / "models" / "m.bin").read_bytes() == MODEL


def test_a_version_that_the_index_lacks_is_not_found(index: Index, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"edgesdk-test-model 9\.9"):
        fetch([wanted(tmp_path, version="9.9")], tmp_path / "staging")


def test_an_index_out_of_reach_is_network_unavailable(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(NetworkUnavailable, match="cannot reach its package registry") as error:
        fetch([wanted(tmp_path)], tmp_path / "staging")
    assert "hunter2" not in str(error.value)
    assert error.value.exit_code == 6


def test_a_connection_that_breaks_is_taken_up_where_it_broke(index: Index, tmp_path: Path) -> None:
    index.stop_at = [300_000]
    item = wanted(tmp_path)
    try:
        fetch([item], tmp_path / "staging")
    except NetworkUnavailable:  # pip before 25.1 cannot
        assert not item.target.exists()
        fetch([item], tmp_path / "staging")
    else:
        assert index.requests[1].startswith("bytes=300000-")
    assert item.target.read_bytes() == MODEL


PULL = """
import sys
from pathlib import Path
from edgesdk.errors import EdgeError
from edgesdk.models.packages import Wanted, fetch
from edgesdk.models.schema import PackageSource
import msgspec, resource
folder, source, sha, limit = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    fetch(
        [Wanted(folder / "models" / "m.bin", sha, msgspec.json.decode(source, type=PackageSource))],
        folder / "staging",
    )
except EdgeError as e:
    print(type(e).__name__, e)
    sys.exit(e.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def start_pull(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    import msgspec

    started: list[subprocess.Popen[str]] = []

    def start(limit: int = 0) -> subprocess.Popen[str]:
        item = wanted(tmp_path)
        source = msgspec.json.encode(item.source).decode()
        started.append(
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PULL,
                    str(tmp_path),
                    source,
                    SHA,
                    str(limit),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_pull_that_is_interrupted_leaves_nothing_wrong_and_can_be_run_again(
    index: Index, tmp_path: Path, start_pull: Callable[..., subprocess.Popen[str]], how: int
) -> None:
    index.stop_at, index.hang = [500_000], True
    process = start_pull()
    assert index.halfway.wait(30)
    process.send_signal(how)
    assert process.wait(10) == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert not (tmp_path / "models").exists()
    if how == signal.SIGINT:
        assert files_below(tmp_path) == []
    index.go_on.set()
    fetch([wanted(tmp_path)], tmp_path / "staging")
    assert files_below(tmp_path) == ["models/m.bin"]
    assert (tmp_path / "models" / "m.bin").read_bytes() == MODEL


def test_a_package_that_was_complete_is_not_downloaded_again(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "staging" / "pip-edgesdk-test-model-1.0"
    folder.mkdir(parents=True)
    (folder / "edgesdk_test_model-1.0-py3-none-any.whl").write_bytes(wheel())
    fetch([wanted(tmp_path)], tmp_path / "staging")
    assert index.requests == []
    (folder).mkdir()
    (folder / "edgesdk_test_model-1.0-py3-none-any.whl").write_bytes(wheel()[:1000])
    (tmp_path / "models" / "m.bin").unlink()
    fetch([wanted(tmp_path)], tmp_path / "staging")
    assert len(index.requests) == 1, "a damaged package is downloaded again"


def test_two_processes_fetch_into_one_cache(
    index: Index, tmp_path: Path, start_pull: Callable[..., subprocess.Popen[str]]
) -> None:
    index.stop_at, index.hang = [], False
    both = [start_pull(), start_pull()]
    assert [p.wait(60) for p in both] == [0, 0]
    assert files_below(tmp_path) == ["models/m.bin"]
    assert len(index.requests) == 1, "the second waits for the first"


@pytest.mark.parametrize("limit", [400_000, len(wheel()) - 1])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    index: Index, tmp_path: Path, start_pull: Callable[..., subprocess.Popen[str]], limit: int
) -> None:
    process = start_pull(limit)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "room" in said
    assert str(tmp_path) in said
    assert files_below(tmp_path) == []


def test_a_package_that_would_not_fit_is_not_begun(index: Index, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no room.*are needed, .* are free"):
        fetch([wanted(tmp_path, download=1 << 60)], tmp_path / "staging")
    assert index.requests == []
    assert files_below(tmp_path) == []


def tar_of(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def npm_source(**changes: Any) -> PackageSource:
    keys: dict[str, Any] = {"member": "package/m.data", "size": 100, "offset": 84}
    return PackageSource(client="npm", package="p", version="1", **{**keys, **changes})


def test_a_part_of_a_member_of_an_npm_archive(tmp_path: Path) -> None:
    archive = tmp_path / "p-1.tgz"
    archive.write_bytes(tar_of({"package/a": b"", "package/m.data": MODEL[:300], "z": b"z"}))
    sha = hashlib.sha256(MODEL[84:184]).hexdigest()
    extract(archive, npm_source(), sha, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == MODEL[84:184]
    with pytest.raises(ModelInvalid, match="ends too early"):
        extract(archive, npm_source(size=300), sha, tmp_path / "x")
    with pytest.raises(ModelInvalid, match="no file 'package/other'"):
        extract(archive, npm_source(member="package/other"), sha, tmp_path / "x")
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(ModelInvalid, match="damaged"):
        extract(archive, npm_source(), sha, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_archive_that_unpacks_without_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 4 << 20)
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as z:
        header = tarfile.TarInfo("package/zeros")
        header.size = 64 << 20
        z.write(header.tobuf())
        for _ in range(64):
            z.write(bytes(1 << 20))
    (tmp_path / "p-1.tgz").write_bytes(out.getvalue())
    assert len(out.getvalue()) < 1 << 20
    with pytest.raises(ModelInvalid, match="more than 4 MiB"):
        extract(tmp_path / "p-1.tgz", npm_source(), SHA, tmp_path / "m")


def test_a_zip_member_is_read_no_further_than_its_pinned_size(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("big", bytes(200 << 20))
    (tmp_path / "p-1-py3-none-any.whl").write_bytes(bomb.getvalue())
    source = PackageSource(client="pip", package="p", version="1", member="big", size=1000)
    sha = hashlib.sha256(bytes(1000)).hexdigest()
    extract(tmp_path / "p-1-py3-none-any.whl", source, sha, tmp_path / "m")
    assert (tmp_path / "m").stat().st_size == 1000


def test_the_command_ends_with_6_when_the_registry_is_away(index: Index, tmp_path: Path) -> None:
    environment = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    command = [sys.executable, "-m", "edgesdk.cli.main", "models", "pull", "face-blazeface"]
    done = subprocess.run(
        [*command, "--json", "--cache", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert json.loads(done.stdout)["error"]["exit_code"] == 6
    assert "Traceback" not in done.stderr
