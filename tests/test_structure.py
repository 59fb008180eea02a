"""The house: arrows run one way, imports are cheap, nothing is installed at the top by accident."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What each part may import of edgesdk.
BASE = {"errors", "values", "redaction", "records", "core"}
BASE |= {"durations", "toml"}  # forms of text, which know of nothing
SURFACES = {"cli", "schemas", "__init__"}  # these may import all
ALLOWED = {
    "errors": set(),
    "values": set(),
    "redaction": set(),
    "durations": set(),
    "toml": {"errors", "redaction"},
    "records": {"errors", "redaction"},
    "log": {"redaction"},
    "listen": {"errors"},
    "snapshot": {"records", "values"},
    "config": BASE | {"capture", "listen"},
    "core": {"errors", "values"},
    "capture": BASE,
    "models": BASE | {"inference"},
    "inference": BASE,
    "graph": BASE | {"models"},
    "sinks": BASE | {"store"},
    "store": BASE,
    "backends": BASE | {"inference", "models"},
    "runtime": BASE
    | {"capture", "models", "inference", "graph", "sinks", "store", "config", "snapshot"},
    "web": BASE | {"snapshot", "listen"},
    "balance": {"errors", "core"},
    "planner": BASE,
    "provision": BASE | {"cluster", "config", "planner", "runtime"},
    "profiling": BASE | {"capture", "config", "graph", "inference", "models", "planner", "runtime"},
    "sim": {"errors", "core", "durations", "records", "balance", "planner"},
    "cluster": BASE
    | {"balance", "config", "graph", "inference", "listen", "models", "runtime", "snapshot"},
    "testing": BASE | {"inference"},
}
HEAVY = ("av", "cv2", "openvino", "onnxruntime", "ai_edge_litert", "starlette", "uvicorn", "typer")


def modules_imported_by(file: Path) -> set[str]:
    """The parts of edgesdk that a file imports at any depth, type-checking blocks left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            if node.module == "edgesdk":
                names |= {f"edgesdk.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("edgesdk.")}


def parts() -> set[str]:
    """The packages and modules right below edgesdk."""
    top = (ROOT / "edgesdk").iterdir()
    found = {p.stem for p in top if p.suffix == ".py" or (p / "__init__.py").exists()}
    return found | {"backends"}


def files_of(part: str) -> list[Path]:
    folder = ROOT / "backends" if part == "backends" else ROOT / "edgesdk" / part
    return sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]


def test_each_part_has_its_place() -> None:
    assert parts() == ALLOWED.keys() | SURFACES


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_follow_the_arrows(part: str) -> None:
    files = files_of(part)
    known = parts()
    wrong = {
        f"{file.relative_to(ROOT)} imports edgesdk.{name}"
        for file in files
        for name in modules_imported_by(file) & known
        if name not in ALLOWED[part] | {part, "__init__"}
    }
    assert not wrong


def test_importing_edgesdk_loads_no_heavy_library() -> None:
    code = "import sys, edgesdk; print(*sys.modules)"
    loaded = run_python(code).split()
    assert "edgesdk" in loaded
    assert not set(HEAVY) & {name.split(".")[0] for name in loaded}


def test_backends_are_installed_inside_edgesdk_only() -> None:
    code = (
        "import sys, edgesdk.backends; print('backends' in sys.modules, edgesdk.backends.__name__)"
    )
    assert run_python(code).split() == ["False", "edgesdk.backends"]
    installed = {path.parts[0] for path in importlib.metadata.files("edgesdk") or []}
    assert installed
    assert "backends" not in installed


def run_python(code: str) -> str:
    # Not from the checkout: its folder edgesdk/ has no native module and must not be found first.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    return done.stdout
