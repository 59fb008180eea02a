"""What a node is to run, worked out before anything is touched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesdk.capture import Source, parse_source
from edgesdk.config import CameraConfig, Config
from edgesdk.errors import CaptureError, EdgeError
from edgesdk.graph import Application, compile_applications
from edgesdk.graph.plan import Card, Plan
from edgesdk.runtime.applications import Placement, applications_of
from edgesdk.runtime.changes import Changes

__all__ = ["Blueprint", "Pairs", "changes", "draw"]

log = logging.getLogger(__name__)

_NO_CAMERA = "camera"

Pairs = Mapping[tuple[str, str], int]
"""By application and camera, the number of the reconfiguration that began them."""


@dataclass(frozen=True, eq=False)
class Blueprint:
    """A configuration with what came beside it, its sources read and its applications loaded."""

    config: Config
    cameras: Mapping[str, CameraConfig]
    sources: Mapping[str, Source]
    placements: Sequence[Placement]
    out: Path | None

    def check(self, before: Blueprint | None = None) -> None:
        """Looks whether local sources are there that *before* did not have. Raises CaptureError."""
        for name, source in self.sources.items():
            if before is None or self.moved(before, name):
                try:
                    source.check()
                except CaptureError as error:
                    raise CaptureError(f"camera {name}: {error}") from None

    def compile(self, resolve: Callable[[str], Card], since: Pairs) -> Plan:
        """Raises GraphError."""
        pairs = [(p.application, camera) for p in self.placements for camera in p.cameras]
        return compile_applications(pairs, resolve, since)

    def idle(self, resolve: Callable[[str], Card]) -> Plan:
        """Applications that have no camera here, as if each had one: what they bring can be run
        for other nodes all the same. Those that cannot be compiled here are left out."""
        found: list[tuple[Application[Any], str]] = []
        for placement in self.placements:
            if not placement.cameras:
                pair = placement.application, _NO_CAMERA
                try:
                    compile_applications([pair], resolve)
                except EdgeError as error:
                    log.info("%s is not installed: %s", placement.application.name, error)
                else:
                    found.append(pair)
        return compile_applications(found, resolve)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Applications and the cameras they run on, by name."""
        return [(p.application.name, camera) for p in self.placements for camera in p.cameras]

    def moved(self, before: Blueprint, camera: str) -> bool:
        """Whether *camera* is not the one of *before*: another source, or another ring."""
        if camera not in before.cameras:
            return True
        was, now = before.cameras[camera], self.cameras[camera]
        return (was.uri, was.slots) != (now.uri, now.slots)


def draw(
    config: Config,
    apps: Sequence[Application[Any] | str] = (),
    cameras: Mapping[str, str] | None = None,
    *,
    out: Path | None = None,
    standing: bool = False,
) -> Blueprint:
    """The blueprint of *config*, with *apps*, *cameras* (URI by name) and *out* beside it.

    A *standing* node may have nothing to do. Raises UsageError (GraphError, ConfigError).
    """
    every = {**config.cameras, **{n: CameraConfig(uri=uri) for n, uri in (cameras or {}).items()}}
    sources = {name: parse_source(camera.uri) for name, camera in every.items()}
    placements = applications_of(apps, config, list(every), standing=standing)
    return Blueprint(config, every, sources, placements, out or _results(config))


def _results(config: Config) -> Path | None:
    return None if config.results.out is None else Path(config.results.out)


def changes(
    before: Blueprint, after: Blueprint, was: Plan, now: Plan, *, began_with: Config
) -> Changes:
    """What differs between two blueprints and their plans, and, of what is read once, between
    *after* and what the node began with."""
    cameras, apps = set(was.cameras), {app for app, _ in was.outputs}
    then, later = set(now.cameras), {app for app, _ in now.outputs}
    return Changes(
        cameras_added=sorted(then - cameras),
        cameras_removed=sorted(cameras - then),
        cameras_changed=sorted(c for c in cameras & then if before.cameras[c] != after.cameras[c]),
        cameras_moved=sorted(c for c in cameras & then if after.moved(before, c)),
        apps_added=sorted(later - apps),
        apps_removed=sorted(apps - later),
        apps_changed=sorted(a for a in apps & later if _terms(was, a) != _terms(now, a)),
        restart_needed=_restart_needed(began_with, after.config),
    )


def _terms(plan: Plan, app: str) -> object:
    """All that results of *app* rest on: where it runs, by when, and what it computes."""
    application = plan.applications[app]
    graph = {
        camera: {name: plan.operators[i].key for name, i in outputs.items()}
        for (name, camera), outputs in plan.outputs.items()
        if name == app
    }
    gates = {
        camera: {
            name: sorted(plan.operators[i].id for i in needed) for name, needed in needs.items()
        }
        for (name, camera), needs in plan.selectors.items()
        if name == app
    }
    sinks = [
        (s.camera, s.kind, dict(s.params), s.output) for s in plan.sinks if s.application == app
    ]
    said = application.deadline_ns, application.weight, application.exact
    return said, graph, gates, sinks


def _restart_needed(before: Config, after: Config) -> list[str]:
    """The parts of a configuration that are read once, and differ."""
    found = [
        f"node.{field}"
        for field in ("name", "threads", "backends", "state", "cache")
        if getattr(before.node, field) != getattr(after.node, field)
    ]
    return found + [
        part
        for part in ("outbox", "cluster", "emulated")
        if getattr(before, part) != getattr(after, part)
    ]
