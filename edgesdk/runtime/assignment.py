"""What a planner gives a node to do, on top of the node's own file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgesdk.capture import parse_source
from edgesdk.config import (
    ApplicationConfig,
    CameraConfig,
    Config,
    Name,
    join_paths,
    read_value,
)
from edgesdk.errors import ConfigError, EdgeError, SinkError, UsageError

__all__ = ["Assignments", "assigned", "forget", "read_assignments", "recall", "remember"]

_FILE = "assignment.json"
_MAX_BYTES = 4 << 20
_MOST = 4096


class Assignments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cameras and applications as the configuration file would name them.

    *revision* is the planner's, so that it can tell what a node has. A camera or application that
    the file has too must be the same there; then the application runs on the cameras of both.
    Applications are addresses (``FILE.py:NAME``) of what is on the node: no code travels. Frames of
    the cameras that are in *awaits*, and that this node does not have yet, are not looked at until
    ``state.give`` brought what another node knows of them, or for ten seconds.
    """

    schema: Literal[1] = 1
    revision: int = 0
    cameras: dict[Name, CameraConfig] = {}
    apps: dict[Name, ApplicationConfig] = {}
    awaits: tuple[Name, ...] = ()


def read_assignments(document: Any, folder: Path | None = None) -> Assignments:
    """*document*, of JSON's types, checked; relative paths are joined to *folder*. Raises
    ConfigError, without a camera's password."""
    try:
        found: Assignments = msgspec.convert(document, Assignments, dec_hook=read_value)
    except msgspec.ValidationError as error:
        raise ConfigError(f"an assignment that means nothing: {error}") from None
    if len(found.cameras) + len(found.apps) > _MOST:
        raise ConfigError(f"an assignment of more than {_MOST} cameras and applications")
    for name, camera in found.cameras.items():
        _check_source(name, camera)
    if folder is None:
        return found
    joined = join_paths(Config(cameras=found.cameras, apps=found.apps), folder)
    return msgspec.structs.replace(found, cameras=joined.cameras, apps=joined.apps)


def _check_source(name: str, camera: CameraConfig) -> None:
    try:
        parse_source(camera.uri)
    except UsageError as error:
        raise ConfigError(f"camera {name}: {error}") from None


def assigned(config: Config, given: Assignments) -> Config:
    """*config* with what is *given* on top. Raises ConfigError with every contradiction."""
    mistakes = []
    cameras, apps = dict(config.cameras), dict(config.apps)
    for name, camera in given.cameras.items():
        known = cameras.setdefault(name, camera)
        if known.uri != camera.uri:
            mistakes.append(f"camera {name}: this node's own file has another source for it")
    for name, app in given.apps.items():
        known_app = apps.get(name)
        if known_app is None:
            apps[name] = app
        elif known_app.app != app.app:
            mistakes.append(f"application {name}: this node's own file has {known_app.app}")
        elif known_app.cameras is not None:
            both = dict.fromkeys((*known_app.cameras, *(app.cameras or tuple(cameras))))
            apps[name] = msgspec.structs.replace(known_app, cameras=tuple(both))
        mistakes += [
            f"application {name}: there is no camera {camera_name}"
            for camera_name in app.cameras or ()
            if camera_name not in cameras
        ]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return msgspec.structs.replace(config, cameras=cameras, apps=apps)


def remember(state: Path, document: Mapping[str, Any]) -> None:
    """Keeps *document* in the folder *state* over restarts; it may hold a camera's password, so
    only this user may read it. Raises SinkError."""
    file = state / _FILE
    beside = file.with_suffix(".new")
    try:
        state.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as out:
            # What another node knows does not come again.
            out.write(msgspec.json.encode({k: v for k, v in document.items() if k != "awaits"}))
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
    except OSError as error:
        raise SinkError(f"{file}: {error.strerror}: the assignment cannot be kept") from None


def forget(state: Path) -> None:
    """No assignment any more. Raises SinkError."""
    try:
        (state / _FILE).unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(f"{state / _FILE}: {error.strerror}") from None


def recall(state: Path, folder: Path | None = None) -> Assignments | None:
    """The assignment of an earlier process. Raises ConfigError where it cannot be read."""
    file = state / _FILE
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES)
        return read_assignments(msgspec.json.decode(data), folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, EdgeError) as error:
        raise ConfigError(f"{file}: {error}; remove it to run without") from None
