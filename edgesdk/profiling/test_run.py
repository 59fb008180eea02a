"""Runs applications on more and more cameras, at several rates, and keeps what they needed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, ClassVar

import msgspec

from edgesdk import __version__
from edgesdk.capture import parse_source
from edgesdk.config import Config, load_config
from edgesdk.errors import EdgeError, UsageError
from edgesdk.graph import compile_applications
from edgesdk.inference.host import cores, processor
from edgesdk.models import ModelRegistry
from edgesdk.planner.estimation import SATURATED_ETA, further_runs, has_settled
from edgesdk.profiling.document import Profile, ResolutionProfile, Run
from edgesdk.profiling.subject import Muted, Ready, Second, Task
from edgesdk.redaction import redact

__all__ = ["TestRun"]

_START = (
    "import sys; sys.path = [p for p in sys.path if p];"
    "from edgesdk.profiling.subject import main; sys.exit(main())"
)
_WARM_SECONDS = 2
_LEAST_FRAMES = 50
_MOST_TIMES = 3
_METHOD = 3  # raise it when a run measures differently: cached ones are then no answer
_START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class TestRun:
    """A test run of *apps* (addresses) on *cameras* (URI by name).

    fps: the desired rates; the last one is that at which cameras are added. seconds: of each run,
    after a warm-up. most: cameras at once, at most. config: a node.toml whose ``[node]`` and
    ``[emulated]`` count. cache: where profiles are kept; None measures anew and keeps nothing.
    told: what goes on, for people.
    """

    __test__: ClassVar[bool] = False  # pytest, this is none of yours

    apps: Sequence[str]
    cameras: Mapping[str, str]
    fps: Sequence[float]
    seconds: int = 6
    most: int = 4
    config: str | None = None
    cache: Path | None = None
    fresh: bool = False
    told: Callable[[str], None] = field(default=lambda text: None)

    def measure(self) -> Profile:
        """Minutes. Raises EdgeError: a camera without frames, a model that is not there, ..."""
        began = time.monotonic()
        if not self.fps:
            raise UsageError("no rate: give the desired one, such as --fps 10")
        config = Config() if self.config is None else load_config(self.config)
        operators, shared = self._operators()
        device = f"{processor()} x{cores()}"
        if config.emulated is not None:
            device = f"emulated:{config.emulated.name} on {device}"
        resolutions = [
            self._resolution(size, names, rate, (operators, device))
            for size, (names, rate) in self._by_size().items()
        ]
        return Profile(
            applications=tuple(self.apps),
            operators=operators,
            shared=shared,
            device_class=device,
            evidence="real" if config.emulated is None else "stand-in",
            edgesdk=__version__,
            resolutions=ResolutionProfile.together(resolutions),
            seconds=round(time.monotonic() - began, 1),
        )

    def _operators(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Ids of all operators, and names of those that serve several applications."""
        apps = [Muted.of(address, None) for address in self.apps]
        config = Config() if self.config is None else load_config(self.config)
        cache = None if config.node.cache is None else Path(config.node.cache)
        registry = ModelRegistry() if cache is None else ModelRegistry(cache)
        plan = compile_applications([(app, "camera") for app in apps], registry.resolve)
        ids = tuple(sorted(p.id for p in plan.operators if p.role != "source"))
        shared = tuple(
            f"{p.name} {p.id[:8]}"
            for p in plan.operators
            if p.role != "source" and len(p.applications) > 1
        )
        return ids, shared

    def _by_size(self) -> dict[tuple[int, int], tuple[list[str], float]]:
        """The cameras by the size of their frames, and their rate, from a look at each."""
        self.told("looking at the cameras")
        found: dict[tuple[int, int], tuple[list[str], float]] = {}
        with self._subject(dict(self.cameras), min(self.fps)) as lines:
            ready = next(lines)
            assert isinstance(ready, Ready)
            for name, size in ready.sizes.items():
                found.setdefault(size, ([], ready.rates[name]))[0].append(name)
        return found

    def _resolution(
        self,
        size: tuple[int, int],
        names: Sequence[str],
        source_fps: float,
        identity: tuple[tuple[str, ...], str],
    ) -> ResolutionProfile:
        wanted = [_METHOD, *identity, size, sorted(self.fps), self.seconds, self.most, __version__]
        key = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:32]
        kept = None if self.cache is None else self.cache / f"{key}.json"
        if kept is not None and not self.fresh:
            earlier = _read(kept)
            if earlier is not None:
                return msgspec.structs.replace(earlier, cached=True)
        runs: list[Run] = []
        desired = self.fps[-1]
        while len(runs) < self.most and not has_settled([run.measurement() for run in runs]):
            runs.append(self._run(size, names, len(runs) + 1, desired))
        held = max((r.streams for r in runs if r.eta >= SATURATED_ETA), default=1)
        runs += [
            self._run(size, names, streams, rate)
            for streams, rate in further_runs(self.fps[:-1], held, self.most)
        ]
        found = ResolutionProfile.of(size, source_fps, tuple(runs))
        if kept is not None:
            _write(kept, found)
        return found

    def _run(self, size: tuple[int, int], names: Sequence[str], streams: int, fps: float) -> Run:
        self.told(f"{size[0]}x{size[1]}: {streams} camera(s) at {fps:g} fps")
        chosen = {
            f"{names[i % len(names)]}-{i + 1}": self.cameras[names[i % len(names)]]
            for i in range(streams)
        }
        seconds: list[Second] = []
        with self._subject(chosen, fps) as lines:
            for line in lines:
                if isinstance(line, Second):
                    seconds.append(line)
                if len(seconds) > _WARM_SECONDS + self._length(streams * fps):
                    break
        run = _summed(seconds[_WARM_SECONDS:], streams, fps, len(self.apps))
        self.told(
            f"  {run.cpu:.3f} cores, {run.memory / 1e6:.0f} MB, accelerator "
            f"{run.accelerator:.0%}, eta {run.eta:.2f}"
        )
        return run

    def _length(self, frames_a_second: float) -> int:
        """Seconds of a run: at low rates longer, for a frame more or less not to matter."""
        wanted = math.ceil(_LEAST_FRAMES / frames_a_second)
        return max(self.seconds, min(wanted, _MOST_TIMES * self.seconds))

    @contextmanager
    def _subject(self, cameras: dict[str, str], fps: float) -> Iterator[Iterator[Ready | Second]]:
        task = Task(
            apps=tuple(self.apps),
            cameras={name: _endless(uri) for name, uri in cameras.items()},
            fps=fps,
            config=self.config,
        )
        with (
            tempfile.TemporaryFile() as words,
            subprocess.Popen(
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
            ) as process,
        ):
            assert process.stdin is not None
            try:
                process.stdin.write(msgspec.json.encode(task) + b"\n")
                process.stdin.flush()
                yield _lines(process, words)
            finally:
                process.stdin.close()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()


def _lines(process: subprocess.Popen[bytes], words: IO[bytes]) -> Iterator[Ready | Second]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b'{"schema"'):
            raise EdgeError(json.loads(line)["error"]["message"])
        said: Ready | Second = msgspec.json.decode(line, type=Ready | Second)
        yield said
    code = process.wait(5)
    words.seek(max(0, words.tell() - 2048))
    last = words.read(2048).decode(errors="replace").strip().splitlines()[-1:]
    raise EdgeError(redact(f"the test run's process ended with code {code}: {''.join(last)}"))


def _summed(seconds: Sequence[Second], streams: int, fps: float, apps: int) -> Run:
    first, last = seconds[0], seconds[-1]
    span = last.at - first.at
    done = {key: last.looked_at[key] - first.looked_at[key] for key in last.looked_at}
    missed = {key: last.missed[key] - first.missed[key] for key in last.missed}
    shares = [done[key] / max(done[key] + missed[key], 1) for key in done]
    return Run(
        streams=streams,
        fps=fps,
        cpu=(last.cpu - first.cpu) / span,
        memory=int(statistics.median(second.memory for second in seconds)),
        accelerator=(last.accelerator - first.accelerator) / span,
        eta=statistics.fmean(shares) if shares else 0.0,
        others=max(0.0, (last.machine - first.machine - (last.cpu - first.cpu)) / span),
        cpu_seconds=tuple(
            round((after.cpu - before.cpu) / (after.at - before.at), 4)
            for before, after in pairwise(seconds)
        ),
    )


def _endless(uri: str) -> str:
    """*uri*, played at its own pace and again from its start, where it is a file."""
    source = parse_source(uri)
    if source.kind != "file":
        return uri
    kept, _, query = uri.partition("?")
    options = [o for o in query.split("&") if o and not o.startswith(("loop=", "pace="))]
    return f"{kept}?{'&'.join([*options, 'loop=1', 'pace=real'])}"


def _read(path: Path) -> ResolutionProfile | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ResolutionProfile)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, found: ResolutionProfile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(found))
    draft.replace(path)
