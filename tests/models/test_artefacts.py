"""The artefact cache hands out what was put into it, byte for byte, or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgesdk.inference import LoadOptions, ModelFile, get_backend
from edgesdk.models.artefacts import ArtefactCache, artefact_key

KEY = artefact_key("sha", "openvino", "2026.4.1", "CPU")


def put(cache: ArtefactCache, key: str, content: bytes) -> Path:
    return cache.put(key, lambda path: path.write_bytes(content) and None)


def test_a_blob_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path / "a")
    assert cache.get(KEY) is None
    put(cache, KEY, b"blob")
    found = ArtefactCache(tmp_path / "a").get(KEY)
    assert found is not None
    assert found.read_bytes() == b"blob"


@pytest.mark.parametrize("damage", ["flip", "truncate", "extend", "empty"])
def test_a_damaged_blob_is_never_handed_out_and_makes_room_for_a_new_one(
    tmp_path: Path, damage: str
) -> None:
    cache = ArtefactCache(tmp_path)
    path = put(cache, KEY, bytes(1000))
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[500] ^= 1
    path.write_bytes(
        {
            "flip": bytes(content),
            "truncate": bytes(content[:-1]),
            "extend": bytes(content) + b"x",
            "empty": b"",
        }[damage]
    )
    assert cache.get(KEY) is None
    put(cache, KEY, bytes(1000))
    found = cache.get(KEY)
    assert found is not None
    assert found.read_bytes() == bytes(1000)


def test_keys_tell_their_parts_apart() -> None:
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("ab", "c", ""), (1, 2), ("1", "2")]
    assert len({artefact_key(*p) for p in parts}) == len(parts)


@pytest.mark.parametrize("key", ["", "../x", "a/b", "a" * 200, "a.b", "a\0"])
def test_a_key_is_no_path(tmp_path: Path, key: str) -> None:
    cache = ArtefactCache(tmp_path)
    for call in (lambda: cache.get(key), lambda: put(cache, key, b""), lambda: cache.discard(key)):
        with pytest.raises(ValueError, match="key"):
            call()


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path, max_bytes=350)
    for i, name in enumerate("abc"):
        os.utime(put(cache, name, name.encode() * 100), ns=(i * 10**9, i * 10**9))
    assert cache.get("a") is not None  # used: now the youngest
    put(cache, "d", b"d" * 100)
    assert [n for n in "abcd" if cache.get(n)] == ["a", "c", "d"]
    assert cache.size() == 300


def test_a_blob_larger_than_the_cache_is_kept_for_now(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path, max_bytes=10)
    assert put(cache, "a", b"x" * 100).exists()
    put(cache, "b", b"y" * 5)
    assert cache.get("a") is None


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path)

    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("the compiler gave up")

    with pytest.raises(RuntimeError, match="gave up"):
        cache.put(KEY, write)
    assert [p.name for p in tmp_path.iterdir() if p.name != ".lock"] == []


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path)
    old = tmp_path / ".key.abc.partial"
    old.write_bytes(b"half")
    os.utime(old, ns=(0, 0))
    young = tmp_path / ".key.def.partial"
    young.write_bytes(b"still being written")
    put(cache, KEY, b"blob")
    assert not old.exists()
    assert young.exists()


def test_a_place_that_cannot_be_written_costs_the_cache_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = ArtefactCache(tmp_path / "file" / "below")
    put(cache, KEY, b"blob")
    assert cache.get(KEY) is None
    assert "not cached" in caplog.text


def test_a_full_disk_costs_the_cache_only(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from edgesdk.models.artefacts import ArtefactCache
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cache = ArtefactCache(sys.argv[1])
cache.put("big", lambda p: p.write_bytes(bytes(5000)) and None)
cache.put("small", lambda p: p.write_bytes(bytes(500)) and None)
sys.exit(cache.get("big") is not None or cache.get("small") is None)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=30)
    assert not list(tmp_path.glob("*.partial"))


def test_writers_and_readers_at_once_see_whole_blobs_only(tmp_path: Path) -> None:
    # each writer's blob differs, as exports do: any whole one is right, a mixture is not
    wrong: list[str] = []

    def work(number: int) -> None:
        cache = ArtefactCache(tmp_path, max_bytes=40_000)
        for i in range(60):
            key = f"k{i % 3}"
            put(cache, key, bytes([number]) * 9_000)
            found = cache.get(key)
            if found is not None:
                try:
                    content = found.read_bytes()
                except FileNotFoundError:  # evicted by another since
                    continue
                if len(set(content)) != 1 or len(content) != 9_000:
                    wrong.append(key)
            if i % 7 == number:
                cache.discard(key)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert ArtefactCache(tmp_path).size() <= 40_000


def test_a_flipped_byte_in_what_openvino_compiled_is_compiled_again(
    tmp_path: Path, onnx_of_constants: object
) -> None:
    model = onnx_of_constants(  # type: ignore[operator]
        tmp_path / "m.onnx", {"out": np.arange(4000.0)[None]}, [1, 3, 8, 8]
    )
    backend = get_backend("openvino")
    cache = ArtefactCache(tmp_path / "artefacts")
    options = LoadOptions(threads=1, store=cache)

    def run() -> tuple[str, np.ndarray]:
        artefact = backend.prepare(ModelFile.of(model), "CPU", options)
        session = backend.load(artefact, "CPU", options)
        out = session.infer({"image": np.zeros((1, 3, 8, 8), np.float32)})["out"]
        session.unload()
        return session.describe().compiled_from, out

    run()
    assert run()[0] == "cache"
    (blob,) = (tmp_path / "artefacts").glob("*.blob")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 0xFF
    blob.write_bytes(content)
    _, out = run()
    np.testing.assert_array_equal(out[0], np.arange(4000.0))
    (fresh,) = (tmp_path / "artefacts").glob("*.blob")
    assert fresh.read_bytes() != bytes(content)
