"""Runs every benchmark and writes docs/benchmarks.md from what they print.

usage: python benchmarks/report.py [OUTPUT]

Minutes on two cores. Nothing in the page is written by hand: what each benchmark should reach
stands here, what it reached is its output.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgesdk import __version__

ROOT = Path(__file__).parents[1]
PYTHON = Path(sys.executable).name


@dataclass(frozen=True)
class Benchmark:
    title: str
    reach: str
    command: tuple[str, ...]


def benchmarks(native: Path) -> list[Benchmark]:
    def script(name: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, str(ROOT / "benchmarks" / name), *arguments)

    return [
        Benchmark(
            "Ring, in C",
            "Reach: push at most 40 ns, pop at most 20 ns, on one thread; no page fault.",
            (str(native / "bench" / "ring_bench"),),
        ),
        Benchmark(
            "Ring, through cffi",
            "What Python pays at the ring, beside one call and beside a queue within one process.",
            script("ring_calls.py"),
        ),
        Benchmark(
            "Hand-over of 1080p frames between processes, from Python",
            "Reach: p50 at most 1.25 times that of shared memory with a semaphore; CPU a frame no "
            "more than iceoryx2's; p50 at least 20 times better than multiprocessing.Queue. In all "
            "of them the producer copies a frame once.",
            script("handover.py"),
        ),
        Benchmark(
            "Scheduler, in C",
            "Reach: submit and next at most 250 ns a frame at 1,000 streams, 20 models, batch 8. "
            "The first line is the load that can be met.",
            (str(native / "bench" / "sched_bench"),),
        ),
        Benchmark(
            "The demo's pipeline against a bare decode + infer loop",
            "Reach: ratio 0.95. Same runtime, model, threads and precision; the node decodes in a "
            "process of its own, so on an idle second core it may be faster than the loop.",
            script("pipeline.py"),
        ),
        Benchmark(
            "Memory and start-up of a node",
            "Reach: agent without models under 80 MB, a capture worker under 70 MB, import under "
            "0.3 s.",
            script("footprint.py"),
        ),
        Benchmark(
            "Scheduling policies in virtual time",
            "Deadlines met, fairness and starvation under load, beside the policies that others "
            "use. The same C code that ships.",
            script("scheduler_policies.py"),
        ),
        Benchmark(
            "One decision of the balancer",
            "Reach: p50 at most 50 us at a view of 24.",
            script("balancer_decision.py"),
        ),
        Benchmark(
            "The control plane",
            "DTLS datagrams: handshakes, overhead, and what strangers cost.",
            script("control_plane.py"),
        ),
        Benchmark(
            "What an offload costs beyond wire and service",
            "Reach: accept to result p50 at most 2 ms, p99 at most 5 ms beyond the wire; 500 KB "
            "p50 at most 2.2 times raw mTLS in the same run. On cores that both nodes share: of "
            "what is beyond the wire, decoding four pictures is the most.",
            script("offload.py"),
        ),
        Benchmark(
            "A node comes, dies, freezes",
            "Reach: first peer within 0.5 s and first offload answered within 1 s of a start; a "
            "killed peer's groups taken back within 50 ms, a frozen one's when the patience is "
            "over (0 in that line). Real agents in network namespaces, found by multicast DNS.",
            script("cluster_events.py"),
        ),
        Benchmark(
            "A slow peer under a flood",
            "Reach: it grows by less than 20 MB.",
            script("flood.py"),
        ),
        Benchmark(
            "Real nodes against the simulator, on one trace",
            "Reach: within 1 point of goodput and 15 % of control bytes. Emulated accelerators; a "
            "run whose sleep overshoot p99 passes 5 ms is void and says so. A trace on which the "
            "policy's own luck matters little; what the simulator says of a thousand nodes is in "
            "[simulator.md](simulator.md).",
            script("cluster_real.py"),
        ),
        Benchmark(
            "The planner",
            "Reach: proven optima on the paper's scenarios (A, B, C, 1 under 1 s, 2 and 3 under "
            "5 s); 100,000 streams within 0.25 % of a bound under 30 s, 1,000,000 in 1.5 times "
            "that; 5,310 own vectors within 3 % under 20 s; a lost machine under 50 ms.",
            script("packing.py", "scenarios", "large", "own", "incremental"),
        ),
        Benchmark(
            "The manager's day",
            "Reach: 32 % below a static FFOD fleet, 8 % below the paper's rules, within 8 % of the "
            "clairvoyant bound, eta 98 %, at most 0.5 % of machine-minutes over 90 %, at most 0.5 "
            "migrations a stream, none flapping. Requirements reconstructed.",
            script("manager_day.py", "--seeds", "1,2,3"),
        ),
    ]


def build_native(folder: Path) -> None:
    configure = ["cmake", "-S", str(ROOT / "native"), "-B", str(folder), "-DEDGE_BUILD_BENCH=ON"]
    configure += ["-DEDGE_BUILD_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    for command in (configure, ["cmake", "--build", str(folder)]):
        subprocess.run(command, check=True, capture_output=True)


def shown(command: tuple[str, ...], native: Path) -> str:
    parts = [part.replace(f"{native}/", "build/").replace(f"{ROOT}/", "") for part in command]
    return " ".join(PYTHON if part == sys.executable else part for part in parts)


def machine() -> str:
    model = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model or platform.machine()}, Linux {platform.release()}, Python " + (
        f"{platform.python_version()}, edgesdk {__version__}"
    )


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "benchmarks.md"
    with tempfile.TemporaryDirectory() as folder:
        native = Path(folder)
        build_native(native)
        parts = [
            "# Benchmarks",
            "Generated by `python benchmarks/report.py`; do not edit. Timings are of one shared, "
            "noisy machine: trust the ratios within a block, which were measured in one run.",
            f"Machine: {machine()}.",
        ]
        for benchmark in benchmarks(native):
            print(benchmark.title, file=sys.stderr)
            done = subprocess.run(benchmark.command, capture_output=True, text=True, check=False)
            if not done.stdout.strip():
                raise SystemExit(f"{benchmark.command} failed:\n{done.stderr}")
            # A benchmark whose figures were not reached, or whose run was void, says so and ends
            # with a code of its own: that belongs into the page too.
            failed = f"\n(exit code {done.returncode})" if done.returncode else ""
            command = shown(benchmark.command, native)
            parts += [
                f"## {benchmark.title}",
                benchmark.reach,
                f"```text\n$ {command}\n{done.stdout.strip()}{failed}\n```",
            ]
    target.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
