"""What the documentation shows is true: commands run, requests are answered, links lead somewhere."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from controller.cli.main import app
from controller.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("*/data/*.md"),
    ]
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ADDRESS = "http://127.0.0.1:8000"


def _blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.relative_to(ROOT).as_posix(), code)
        for page in PAGES
        for kind, code in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if kind == language
    ]


def _commands(first: str) -> list[str]:
    """Every command line that begins with a word, continued lines joined."""
    joined = [code.replace("\\\n", " ") for _, code in _blocks("bash")]
    return [line for code in joined for line in code.splitlines() if line.startswith(first)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("command", _commands("curl"))
def test_curl_commands_are_answered(command: str, product: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    words = shlex.split(command.replace(_ADDRESS, product))
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    door = next(path for path in _ANSWERS if f"{_ADDRESS}{path} " in f"{command} ")
    if "-o" in words:
        said = (tmp_path / words[words.index("-o") + 1]).read_bytes()[:3].decode("latin-1")
    else:
        said = done.stdout
    assert re.search(_ANSWERS[door], said), said


_ANSWERS = {
    "/hugginggpt": r'^{"message":',
    "/v1/runs": "event: run.done",
    "/v1/models": r'"id":"hugginggpt"',
    "/v1/chat/completions": r"!\[image\]\(http://[\w.:]+/images/[0-9a-f]{32}\.png\)",
    "/v1/responses": "HARBOUR FERRY",
    "/v1/audio/speech": "^(ID3|\xff)",
    "/v1/files": r'"id":"file-[0-9a-f]{32}"',
}
"""What each endpoint answers to the commands of the documentation."""


@pytest.mark.parametrize(("page", "code"), _blocks("python"))
def test_python_examples_run(page: str, code: str, product: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code.replace(_ADDRESS, product)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"/audios/[0-9a-f]{32}\.wav", done.stdout)


def test_make_targets_exist() -> None:
    shown = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    for command in _commands("make"):
        assert re.search(rf"make {command.split()[1]}\b", shown), command


_GROUPS = ("catalog", "history", "keys")
"""Commands that have commands of their own."""


@cache
def _help(*command: str) -> str | None:
    """What a command says of itself; None where there is none of that name."""
    done = CliRunner().invoke(app, [*command, "--help"])
    return done.stdout if done.exit_code == 0 else None


def test_commands_exist() -> None:
    lines = [
        line.replace(".venv/bin/", "")
        for line in (*_commands("hugginggpt"), *_commands(".venv/bin/hugginggpt"))
    ]
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line, comments=True)
        shown = _help(*(words[1:3] if words[1] in _GROUPS and len(words) > 2 else words[1:2]))
        assert shown is not None, line
        for option in (word for word in words if word.startswith("--")):
            assert option in shown, line


def test_plan_commands_run(tmp_path: Path) -> None:
    for line in _commands("hugginggpt plan"):
        if "--jsonl" in line:
            continue
        code = "from controller.cli.main import app; import sys; app(sys.argv[1:])"
        words = shlex.split(line, comments=True)[1:]
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            check=False,
        )
        assert "canny-control" in done.stdout, done.stderr


@pytest.mark.parametrize(("page", "code"), _blocks("toml"))
def test_settings_examples_are_valid(page: str, code: str) -> None:
    Settings(**tomllib.loads(code))


@pytest.mark.parametrize(("page", "code"), _blocks("json"))
def test_json_examples_are_json(page: str, code: str) -> None:
    json.loads(code)


def test_every_route_is_documented(http: httpx2.Client) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for path in http.get("/openapi.json").json()["paths"]:
        assert path in text, path


def test_every_embedded_expert_is_in_the_readme(http: httpx2.Client) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for expert in http.get("/v1/experts").json()["data"]:
        if expert["model"].startswith("embedded/"):
            assert expert["model"] in text
