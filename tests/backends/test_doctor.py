"""`edgesdk doctor` and `edgesdk bench` on this machine, and on machines that are laid out in a
folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgesdk.cli.bench import BenchDocument
from edgesdk.cli.doctor import DoctorDocument
from edgesdk.cli.machine import Finding, look
from edgesdk.inference.host import processor
from edgesdk.testing import models


def edgesdk(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edgesdk.cli.main", *words],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
    )


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = [f for f in findings if f.name == name]
    return found


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_doctor_prints_one_document_that_names_what_works():
    done = edgesdk("doctor", "--json")
    assert done.returncode == 0, done.stderr
    document = msgspec.json.decode(done.stdout, type=DoctorDocument)
    assert document.ready
    working = [b for b in document.backends if b.available]
    assert working
    for backend in working:
        assert backend.version
        assert "CPU" in [d.name for d in backend.devices]
    assert named(document.findings, "frame ring").state == "ok"
    for finding in document.findings:
        assert finding.detail
        if finding.state == "missing" and finding.area != "hardware":
            assert finding.next_step, finding.name


def test_doctor_without_a_backend_ends_with_4_and_says_why():
    done = edgesdk("doctor", "--json", EDGESDK_BACKENDS="absent")
    assert done.returncode == 4
    document = msgspec.json.decode(done.stdout, type=DoctorDocument)
    assert not document.ready
    absent, *others = document.backends
    assert (absent.name, absent.available) == ("absent", False)
    assert all("EDGESDK_BACKENDS" in b.detail for b in others)
    people = edgesdk("doctor", EDGESDK_BACKENDS="absent")
    assert b"No model can run" in people.stdout
    assert b"Traceback" not in people.stderr


def test_a_machine_without_shared_memory_is_told_to_mount_it(tmp_path):
    assert named(look(tmp_path), "shared memory").state == "broken"
    (tmp_path / "dev/shm").mkdir(parents=True)
    assert named(look(tmp_path), "shared memory").state == "ok"


@pytest.mark.parametrize(("vendor", "product"), [("1a6e", "089a"), ("18d1", "9302")])
def test_a_coral_stick_is_seen_before_and_after_its_first_opening(tmp_path, vendor, product):
    stick = tmp_path / "sys/bus/usb/devices/2-1"
    put(stick / "idVendor", vendor + "\n")
    put(stick / "idProduct", product + "\n")
    put(tmp_path / "sys/bus/usb/devices/1-1/idVendor", "dead\n")
    found = named(look(tmp_path), "Coral Edge TPU")
    assert "USB 2-1" in found.detail
    assert "CPU" in found.detail


def test_boards_and_cameras_are_seen(tmp_path):
    put(tmp_path / "etc/nv_tegra_release", "# R36")
    put(tmp_path / "dev/video0")
    put(tmp_path / "dev/dri/renderD128")
    put(tmp_path / "proc/device-tree/model", "NVIDIA Jetson Orin Nano\0")
    findings = look(tmp_path)
    assert named(findings, "NVIDIA Jetson").state == "missing"
    assert named(findings, "V4L2").detail.startswith("/dev/video0")
    assert "renderD128" in named(findings, "GPU render node").detail
    assert processor(tmp_path) == "NVIDIA Jetson Orin Nano"


def test_the_package_pycoral_that_is_not_googles_is_told_apart(tmp_path, monkeypatch):
    info = tmp_path / "pycoral-0.2.0.dist-info"
    info.mkdir()
    summary = "Simple CLI for Allen Coral Atlas"
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: pycoral\nVersion: 0.2.0\nSummary: {summary}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "not Google's" in named(look(), "pycoral").detail


def test_a_clock_without_a_battery_is_noticed():
    clock = named(look(now=12.0), "clock")
    assert clock.state == "broken"
    assert "NTP" in clock.next_step


def test_bench_measures_a_file_on_every_backend_that_reads_it(tmp_path):
    path = tmp_path / "cnn.onnx"
    path.write_bytes(models.onnx_cnn())
    done = edgesdk(
        "bench", str(path), "--json", "--seconds", "0.02", "--threads", "1", "--batches", "1,2"
    )
    assert done.returncode == 0, done.stderr
    document = msgspec.json.decode(done.stdout, type=BenchDocument)
    assert {(r.backend, r.batch) for r in document.models} == {
        ("openvino", 1),
        ("openvino", 2),
        ("onnxruntime", 1),
        ("onnxruntime", 2),
    }
    for row in document.models:
        assert 0 < row.p50_ms <= row.p99_ms
        assert row.rounds >= 5
        assert (row.threads, row.executed_on) == (1, "CPU")
    assert document.ring.push_ns > 0
    assert document.scheduler.job_ns > 0


def test_bench_tells_what_it_could_not_measure_and_ends_with_4(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(models.onnx_cnn()[:500])
    done = edgesdk("bench", str(path), "--json", "--seconds", "0.02")
    assert done.returncode == 4
    document = msgspec.json.decode(done.stdout, type=BenchDocument)
    assert not document.models
    assert {f.error for f in document.failures} == {"ModelInvalid"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--batches", "1,x"], 2, "--batches '1,x'"),
        (["--batches", "0"], 2, "1 to 256"),
        (["--precision", "quick"], 2, "exact or fast"),
        (["absent.onnx"], 3, "absent.onnx"),
        (["no-such-model"], 3, "no-such-model"),
    ],
)
def test_bench_refuses_what_cannot_be_measured_in_one_line(words, code, says):
    done = edgesdk("bench", *words)
    assert done.returncode == code
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
