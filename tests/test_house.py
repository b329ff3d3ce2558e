"""The house itself: imports go down the stairs, files stay short, versions agree."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("model_catalog", "deployments", "controller")
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
PYTHON = [
    *SOURCES,
    *(path for room in ("tests", "benchmarks", "scripts") for path in (ROOT / room).rglob("*.py")),
]


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_down_the_stairs(path: Path) -> None:
    floor = FLOORS.index(path.relative_to(ROOT).parts[0])
    above = FLOORS[floor + 1 :]
    imports = _imports(path)
    assert not [name for name in imports if name.partition(".")[0] in above]
    if floor == 0:
        assert not [name for name in imports if name.partition(".")[0] in ("ray", "torch", "numpy")]
    if floor == 2:
        assert not [name for name in imports if name.startswith("deployments.runners")]


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_torch_pin_is_exact_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pin,) = [name for name in project["dependencies"] if name.startswith("torch")]
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", pin)
    assert pin in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def test_every_dependency_has_a_fixed_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    fixed = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    for name in [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]:
        bare = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~ ]", name)[0]).lower()
        assert bare in fixed, name


def test_every_package_goes_into_the_wheel() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    packages = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in SOURCES
        if path.name == "__init__.py"
    }
    assert packages <= set(tools["setuptools"]["packages"])


def test_the_wheel_holds_what_is_read_at_run_time(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        timeout=240,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("hugginggpt_serve-*.whl")
    listing = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], check=True, capture_output=True, text=True
    ).stdout
    for name in (
        "model_catalog/data/snapshot.jsonl",
        "model_catalog/data/embedded.jsonl",
        "model_catalog/data/profiles/minimal.toml",
        "controller/rules/english.json",
        "deployments/examples/sign.png",
        "deployments/examples/noisy.wav",
        "controller/cli/main.py",
        "controller/api/app.py",
        "deployments/runners/rapidocr.py",
        "deployments/history/migrations/env.py",
        "deployments/history/migrations/versions/0001_history.py",
    ):
        assert name in listing, name
    assert "tests/" not in listing
