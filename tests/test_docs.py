"""What the documentation says is what the code does."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_reference_is_up_to_date(tmp_path: Path) -> None:
    target = tmp_path / "reference.md"
    command = [sys.executable, str(ROOT / "docs" / "generate_reference.py"), str(target)]
    subprocess.run(command, check=True, cwd="/", capture_output=True)
    assert target.read_text() == (ROOT / "docs" / "reference.md").read_text(), (
        "run: python docs/generate_reference.py"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [
        target
        for target in targets
        if not target.startswith(("http:", "https:")) and not (page.parent / target).exists()
    ]
    assert not missing


def test_the_readmes_program_builds(tmp_path: Path) -> None:
    from edgesdk import load_application

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (program,) = [block for block in blocks if "# people.py" in block]
    (tmp_path / "people.py").write_text(program)
    built = load_application(f"{tmp_path / 'people.py'}:people").build()
    assert set(built.outputs) == {"tracks", "people", "door"}


def test_the_tutorials_programs_are_those_of_the_examples() -> None:
    tutorial = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    examples = "\n".join(path.read_text() for path in (ROOT / "examples").glob("*.py"))
    functions = re.findall(r"(?:@edge[^\n]*\n)(?:def|class) .*?(?=\n\n\n|```)", tutorial, re.DOTALL)
    assert len(functions) >= 5
    for function in functions:
        assert function.strip() in examples


def test_the_contracts_table_of_operators_is_the_api() -> None:
    import edgesdk

    classes = {
        "camera": edgesdk.Camera,
        "frames": edgesdk.Frames,
        "detections": edgesdk.DetectionStream,
        "tracks": edgesdk.TrackStream,
        "stream": edgesdk.Stream,
    }
    text = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    table = text[text.index("| written | gives |") :].partition("\n\n")[0]
    listed = re.findall(r"`(\w+)\.(\w+)\(([^)]*)\)`", table)
    for kind, name, written in listed:
        parameters = inspect.signature(getattr(classes[kind], name)).parameters
        said = [word.strip(" =") for word in written.split(",") if word.strip()]
        own = ["self", "others", "params"]
        assert [w for w in said if w != "..."] == [p for p in parameters if p not in own], name
    public = {
        (name, member)
        for name, kind in classes.items()
        for member, value in vars(kind).items()
        if inspect.isfunction(value) and not member.startswith("_")
    }
    assert {name for _, name, _ in listed} == {member for _, member in public}
