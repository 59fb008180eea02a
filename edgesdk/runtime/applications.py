"""Which applications run on which cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgesdk.config import ApplicationConfig, Config
from edgesdk.errors import UsageError
from edgesdk.graph import Application, load_application

__all__ = ["Placement", "applications_of"]


@dataclass(frozen=True, eq=False)
class Placement:
    """An application and the cameras it runs on."""

    application: Application[Any]
    cameras: tuple[str, ...]


def applications_of(
    apps: Sequence[Application[Any] | str],
    config: Config,
    cameras: Sequence[str],
    *,
    standing: bool = False,
) -> list[Placement]:
    """Places *apps*, and those of *config*, on *cameras*.

    Raises UsageError where there is nothing to run, or an application finds none of its cameras;
    a *standing* node waits for them.
    """
    if not cameras and not standing:
        raise UsageError("no camera: give one with --camera NAME=URI, or [cameras.NAME] in a file")
    wanted: list[tuple[Application[Any], Sequence[str] | None]] = [
        (load_application(app) if isinstance(app, str) else app, None) for app in apps
    ]
    wanted += [(_configured(name, entry), entry.cameras) for name, entry in config.apps.items()]
    placements = [_place(application, named, cameras, standing) for application, named in wanted]
    if not placements and not standing:
        raise UsageError("no application: name one, such as people.py:people")
    return placements


def _place(
    application: Application[Any],
    named: Sequence[str] | None,
    cameras: Sequence[str],
    standing: bool,
) -> Placement:
    if named is not None:
        return Placement(application, tuple(named))
    found = tuple(camera for camera in cameras if application.wants(camera))
    if not found and not standing:
        raise UsageError(
            f"application {application.name!r} wants cameras {', '.join(application.cameras or ())}"
            f"; there are {', '.join(cameras)}"
        )
    return Placement(application, found)


def _configured(name: str, entry: ApplicationConfig) -> Application[Any]:
    """The application that *entry* names, called *name*, with what the file says of it."""
    found = load_application(entry.app)
    return Application(
        found.function,
        name=name,
        deadline_ns=found.deadline_ns if entry.deadline is None else int(entry.deadline),
        weight=found.weight if entry.weight is None else entry.weight,
        cameras=found.cameras,
        place=found.place,
        exact=found.exact if entry.exact is None else entry.exact,
    )
