"""Which applications a node of a cluster has installed, as its configuration changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgesdk.config import Config, parse_config
from edgesdk.runtime import Node

SOURCE = """
import edgesdk as edge

@edge.operator(version={version})
def {name}(pixels) -> edge.Measurement:
    return edge.Measurement("{name}", {{"of": list(pixels.shape)}})

@edge.app(deadline="5s")
def app(camera: edge.Camera):
    return {{"found": camera{detect}.apply({name})}}
"""


class Placer:
    """A cluster that does nothing."""

    def join(self, node: Node) -> None:
        """Nobody is there."""

    def attach(self) -> None:
        """It needs nothing."""

    def place(self, request: Any) -> None:
        """It never answers."""

    def close(self) -> None:
        """Nothing is under way."""


def write(folder: Path, name: str, *, version: int = 1, detect: str = "") -> None:
    text = SOURCE.format(name=name, version=version, detect=detect)
    (folder / f"{name}.py").write_text(text)


def config(folder: Path, apps: Sequence[str], *, cameras: Sequence[str] = ()) -> Config:
    text = "".join(f'[apps.{app}]\napp = "{app}.py:app"\n' for app in apps)
    for camera in cameras:
        text += f'[cameras.{camera}]\nuri = "synthetic:?width=96&height=64&fps=5"\n'
    return parse_config(text, directory=folder)


def installed(node: Node) -> dict[str, str]:
    """Ids by name."""
    found = (node.workshop.installed.find(key) for key in node.workshop.installed.ids)
    return {operator.name: operator.digest for operator in found if operator is not None}


def standing(start: Config, **options: Any) -> Node:
    return Node(config=start, standing=True, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write(tmp_path, name)
    return tmp_path


def test_applications_without_cameras_are_installed_with_the_ids_that_others_know(
    folder: Path,
) -> None:
    with standing(config(folder, ["one"]), placer=Placer()) as idle:
        without = installed(idle)
    with standing(config(folder, ["one"], cameras=["door", "yard"]), placer=Placer()) as busy:
        assert installed(busy) == without
        assert list(without) == ["one"]


def test_what_is_installed_follows_the_configuration(folder: Path) -> None:
    with standing(config(folder, ["one", "two"]), placer=Placer()) as node:
        before = installed(node)
        assert set(before) == {"one", "two"}
        node.apply(config(folder, ["one"]))
        assert installed(node) == {"one": before["one"]}
        write(folder, "two", version=2)
        node.apply(config(folder, ["one", "two"], cameras=["door"]))
        after = installed(node)
        assert after["one"] == before["one"]
        assert after["two"] != before["two"]


def test_an_application_that_cannot_be_compiled_here_is_left_out(folder: Path) -> None:
    write(folder, "three", detect='.detect("no such model")')
    with standing(config(folder, ["one", "three"]), placer=Placer()) as node:
        assert set(installed(node)) == {"one"}


def test_a_node_alone_installs_nothing(folder: Path) -> None:
    with standing(config(folder, ["one"], cameras=["door"])) as node:
        assert installed(node) == {}
        assert node.workshop.installed.executors == {}
