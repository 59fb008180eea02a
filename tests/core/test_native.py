"""The C library alone: built by CMake, its own tests, what it exports and what it needs."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk.core.ring import FrameProperties, PixelFormat, RingWriter

NATIVE = Path(__file__).resolve().parents[2] / "native"


def run(*command: object, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return str(done.stdout)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, built and installed as a firmware team would."""
    folder = tmp_path_factory.mktemp("native")
    run("cmake", "-S", NATIVE, "-B", folder / "build", f"-DCMAKE_INSTALL_PREFIX={folder / 'out'}",
        "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_LIBDIR=lib")  # fmt: skip
    run("cmake", "--build", folder / "build", "--parallel", "2")
    run("cmake", "--install", folder / "build")
    return Path(folder / "out")


@pytest.fixture(scope="module")
def library(prefix: Path) -> Path:
    return (prefix / "lib/libedgesdk.so").resolve()


def test_the_c_tests_pass(prefix: Path) -> None:
    listing = run("ctest", "--output-on-failure", cwd=prefix.parent / "build")
    assert "100% tests passed" in listing


def exported(library: Path) -> set[str]:
    symbols = run("nm", "-D", "--defined-only", library)
    return set(re.findall(r"^\S+ T (\w+)", symbols, re.MULTILINE))


def test_the_map_is_what_is_exported_and_what_the_headers_declare(library: Path) -> None:
    listed = set(re.findall(r"^\s+(edge_\w+);", (NATIVE / "libedgesdk.map").read_text(), re.M))
    declared: set[str] = set()
    for header in (NATIVE / "include/edgesdk").glob("*.h"):
        declared |= set(re.findall(r"EDGE_API[^;(]*?(edge_\w+)\(", header.read_text()))
    assert exported(library) == listed == declared


def lost(old: Any, new: Any, path: str = "") -> list[str]:
    """What *old* has and *new* has not, or has otherwise."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in old
            for line in (lost(old[key], new[key], f"{path}/{key}") if key in new else [path + key])
        ]
    return [] if old == new else [f"{path}: {old} became {new}"]


def test_nothing_of_a_released_abi_is_gone_or_changed(library: Path) -> None:
    current = runpy.run_path(str(NATIVE / "abi/dump.py"))["dump"]()
    assert set(current["functions"]) == exported(library), "install the package again"
    dumps = sorted((NATIVE / "abi").glob("*.json"))
    assert dumps
    for dump in dumps:
        assert lost(json.loads(dump.read_text()), current) == [], dump.name


def test_the_abi_check_notices_a_changed_type_and_a_lost_function() -> None:
    old = {"functions": {"edge_a": "int(*)(int)", "edge_b": "int(*)()"}}
    assert lost(old, {"functions": {"edge_a": "int(*)(long)"}}) != []
    assert lost(old, {"functions": {**old["functions"], "edge_c": "int(*)()"}}) == []


def test_it_needs_only_libc_and_pthread(library: Path) -> None:
    needed = re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", library))
    assert needed
    assert all(re.match(r"lib(c|pthread)\.|ld-linux", name) for name in needed), needed


def test_it_is_under_100_kb_stripped(library: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "libedgesdk.so"
    run("strip", "-o", stripped, library)
    assert stripped.stat().st_size < 100_000


def test_it_keeps_no_global_state_and_writes_to_no_stream(prefix: Path) -> None:
    symbols = run("nm", prefix / "lib/libedgesdk.a")
    writable = re.findall(r"^\S+ [bBdDC] (\S+)", symbols, re.MULTILINE)
    # Constant tables of addresses are in .data.rel.ro, which nm shows as data.
    sections = run("objdump", "-h", prefix / "lib/libedgesdk.a")
    sizes = re.findall(r"\s\.(?:data|bss)\s+([0-9a-f]{8})", sections)
    assert {int(size, 16) for size in sizes} == {0}, writable
    streams = {"stderr", "stdout", "printf", "fprintf", "puts", "perror", "abort", "exit"}
    assert not streams & set(re.findall(r"\bU (\w+)", symbols))


CONSUMER = """
#include <edgesdk/bell.h>
#include <edgesdk/results.h>
#include <edgesdk/ring.h>
#include <string.h>

int main(void)
{
    edge_ring_config config = {.slot_bytes = 64};
    edge_ring_writer *writer;
    edge_ring_reader *reader;
    edge_frame frame;
    if (edge_ring_create(&writer, NAME, &config) || edge_ring_open(&reader, NAME, 0, NULL, 0) ||
        edge_ring_begin(writer, 64, &frame)) {
        return 1;
    }
    memset(frame.data, 7, 64);
    return edge_ring_commit(writer, &frame) ||
           edge_ring_take(reader, EDGE_TAKE_NEXT, &frame, 1) != 1 ||
           *(unsigned char *)frame.data != 7 || edge_ring_unlink(NAME) != -EDGE_E_WRITER ||
           (edge_ring_writer_close(writer, 1), 0);
}
"""


def test_a_program_outside_links_by_find_package(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(f'#define NAME "pytest.consumer.{tmp_path.name}"' + CONSUMER)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(outside LANGUAGES C)\n"
        "find_package(edgesdk REQUIRED)\n"
        "foreach(kind shared static)\n"
        "  add_executable(outside_${kind} main.c)\n"
        "  target_link_libraries(outside_${kind} PRIVATE edgesdk::edgesdk_${kind})\n"
        "endforeach()\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "b")
    for kind, needs in (("shared", True), ("static", False)):
        program = tmp_path / f"b/outside_{kind}"
        run(program)
        assert ("libedgesdk" in run("objdump", "-p", program)) is needs


def test_a_program_outside_links_by_pkg_config(prefix: Path, tmp_path: Path) -> None:
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    (tmp_path / "main.c").write_text(f'#define NAME "pytest.pc.{tmp_path.name}"' + CONSUMER)
    search = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"), "PATH": "/usr/bin:/bin"}
    for static, link in ([], f"-Wl,-rpath,{prefix / 'lib'}"), (["--static"], "-static"):
        flags = run("pkg-config", "--cflags", "--libs", *static, "edgesdk", env=search).split()
        output = tmp_path / f"outside{len(static)}"
        run("cc", "-std=c11", tmp_path / "main.c", "-o", output, *flags, link)
        run(output)


def test_the_pkg_config_file_knows_the_prefix_that_was_chosen_when_installing(
    prefix: Path, tmp_path: Path
) -> None:
    build = prefix.parent / "build"
    run("cmake", "--install", build, "--prefix", tmp_path / "chosen")
    (pc,) = (tmp_path / "chosen").rglob("edgesdk.pc")
    assert f"prefix={tmp_path / 'chosen'}\n" in pc.read_text()


def test_a_c_program_reads_what_python_writes_through_every_change_of_format_and_size(
    prefix: Path, tmp_path: Path
) -> None:
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-static",
        Path(__file__).with_name("c_reader.c"), f"-I{prefix / 'include'}", f"-L{prefix / 'lib'}",
        "-ledgesdk", "-pthread", "-o", tmp_path / "reader")  # fmt: skip
    name = f"pytest.reader.{os.getpid()}"
    shapes = [
        (PixelFormat.NV12, 64, 48, 64, 64 * 72),
        (PixelFormat.BGR, 64, 48, 192, 64 * 48 * 3),
        (PixelFormat.JPEG, 64, 48, 0, 777),
        (PixelFormat.GRAY, 320, 240, 320, 320 * 240),  # larger than the slots: the ring moves
        (PixelFormat.I420, 48, 64, 48, 48 * 96),
    ]
    wanted = []
    with RingWriter(name, slot_bytes=64 * 48 * 3) as writer:
        command = [str(tmp_path / "reader"), name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
            for i in range(4 * len(shapes)):
                form, width, height, stride, nbytes = shapes[i % len(shapes)]
                pixels = np.full(nbytes, i + 1, np.uint8)
                sequence = writer.publish(
                    pixels, FrameProperties(width, height, form, stride, i, i)
                )
                line = f"{sequence} 1 {width}x{height} {stride} {form.value} {nbytes} "
                wanted.append(line + f"{nbytes * (i + 1)}\n")
                assert reader.stdout.readline() == wanted[-1]
            writer.end()
            assert reader.wait(10) == 0
    assert len(wanted) == 20


def test_the_headers_compile_as_cxx(prefix: Path, tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    headers = sorted(path.name for path in (prefix / "include/edgesdk").iterdir())
    source = "".join(f"#include <edgesdk/{name}>\n" for name in headers)
    (tmp_path / "all.cc").write_text(source + "int main() { return edge_version() == nullptr; }\n")
    run("c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
        f"-I{prefix / 'include'}", tmp_path / "all.cc")  # fmt: skip


def test_every_ordering_site_has_a_verdict() -> None:
    program = "import mutants, sys; sys.exit(set(mutants.sites()) != set(mutants.MODELLED) | "
    program += "mutants.TESTED | set(mutants.EXPLAINED))"
    run(sys.executable, "-c", program, cwd=NATIVE / "tests")
