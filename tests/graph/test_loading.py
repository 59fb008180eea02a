"""``FILE.py:NAME``: finding applications, and saying in one line why one is not found."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgesdk as edge
from edgesdk.errors import GraphError
from edgesdk.graph import load_application

ONE = "import edgesdk as edge\n@edge.app\ndef people(camera):\n    return camera.detect('x')\n"
TWO = (
    ONE + "@edge.app\ndef cars(camera):\n    return camera.detect('x')\nother = 3\ndef f(): pass\n"
)

Write = Callable[..., str]


def message(address: str) -> str:
    with pytest.raises(GraphError) as caught:
        load_application(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_application_is_found_by_file_and_name(write: Write) -> None:
    assert load_application(write(TWO) + ":cars").name == "cars"


def test_the_name_may_be_left_out_where_there_is_one(write: Write) -> None:
    assert load_application(write(ONE)).name == "people"


def test_the_name_is_needed_where_there_are_two(write: Write) -> None:
    assert message(write(TWO)) == (
        "app.py: name one of its applications: app.py:people, app.py:cars"
    )


def test_an_application_is_found_in_a_package(write: Write, tmp_path: Path) -> None:
    (tmp_path / "some_site").mkdir()
    (tmp_path / "some_site" / "door.py").write_text(ONE)
    assert load_application("some_site.door:people").name == "people"


def test_a_file_may_import_its_neighbours(write: Write) -> None:
    write("LIMIT = 3\n", "neighbour_of_app.py")
    assert load_application(write("import neighbour_of_app\n" + ONE)).name == "people"


def test_no_such_file(write: Write, tmp_path: Path) -> None:
    assert message("nowhere.py:people") == f"nowhere.py: no such file (looked in {tmp_path})"


def test_no_such_module(write: Write) -> None:
    assert message("no_such_package.door:people") == (
        "no_such_package.door: no such module; expected FILE.py:NAME or package.module:NAME"
    )


def test_no_such_name(write: Write) -> None:
    assert message(write(TWO) + ":poeple") == (
        "app.py: has no 'poeple'; did you mean 'people'? "
        "name one of its applications: app.py:people, app.py:cars"
    )


def test_a_name_that_is_no_application(write: Write) -> None:
    file = write(TWO)
    assert message(f"{file}:other") == "app.py: other is 3, not an application"
    assert message(f"{file}:f") == "app.py: f is no application; write @edge.app above it"


def test_a_syntax_error_has_its_line(write: Write) -> None:
    assert message(write("x = 1\ndef people(camera:\n") + ":people").startswith(
        "app.py:2: SyntaxError: '(' was never closed"
    )


def test_an_exception_while_the_file_runs_has_its_line(write: Write) -> None:
    assert message(write("x = 1\ny = x / 0\n")) == "app.py:2: ZeroDivisionError: division by zero"
    assert message(write("import sys\nsys.exit('no')\n", "b.py")) == "b.py:2: SystemExit: no"


def test_a_file_that_failed_can_be_mended_and_loaded(write: Write) -> None:
    message(write("1 / 0\n"))
    assert load_application(write(ONE)).name == "people"


def test_nonsense(write: Write) -> None:
    assert message(":people") == "':people': expected FILE.py:NAME, such as people.py:people"


def test_every_public_name_can_be_had_from_edgesdk() -> None:
    assert sorted(edge.__all__) == dir(edge)
    for name in edge.__all__:
        assert getattr(edge, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Kamera'"):
        edge.Kamera  # noqa: B018


def test_importing_edgesdk_loads_neither_numpy_nor_the_graph() -> None:
    code = "import sys, edgesdk; print({'numpy', 'edgesdk.graph'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
