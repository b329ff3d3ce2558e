import io
import json
from typing import Any

import httpx2
import pytest
from rich.console import Console
from typer.testing import CliRunner

from controller.cli import fleet
from controller.cli.fleet import table
from controller.cli.main import app
from controller.roster import Expert
from tests.support.web import client

NOW = 10_000.0


def row(**more: Any) -> dict[str, Any]:
    first = {"model": "a/b", "tasks": ["x", "y"], "application": "app", "status": "RUNNING", "state": "warm"}
    return Expert.model_validate(first | more).model_dump(mode="json")


def shown(*rows: dict[str, Any]) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=200, color_system=None, emoji=False, highlight=False)
    console.print(table(rows, NOW))
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


def test_experts_are_a_table_the_latest_used_first() -> None:
    sleeper = {"sleeper": True, "calls": 0}
    lines = shown(
        row(model="c/sleeps", state="asleep", wake_s=7.6, used=NOW - 7300, **sleeper),
        row(model="a/always", replicas=1),
        row(
            model="b/warm", replicas=2, gpu=0.25, nodes=["head GPU 0", "head GPU 1"], memory_bytes=3 << 30,
            used=NOW - 30, sleeps=NOW + 270, sleeper=True, calls=3,
        ),
        row(model="d/pinned", used=NOW - 200, pinned=True, gpu=1.0, **sleeper),
        row(model="e/away", elsewhere=True),
    )  # fmt: skip
    assert lines == [
        "model tasks state where GPU memory calls used sleeps",
        "b/warm x, y warm ×2 head GPU 0, head GPU 1 0.25 3.2 GB 3 30 s ago in 4 min",
        "d/pinned x, y warm – 1 – 0 3 min ago never",
        "a/always x, y warm – – – – – never",
        "e/away x, y warm elsewhere – – – – never",
        "c/sleeps x, y asleep – – – 0 2 h ago wakes in 8 s",
    ]


@pytest.mark.parametrize("words", ["[red]a[/red]", ":smile:", "a\x1b[31mb"])
def test_a_table_shows_words_as_they_are(words: str) -> None:
    assert words.replace("\x1b", "\N{REPLACEMENT CHARACTER}") in shown(row(tasks=[words]))[1]


def test_what_is_done_to_one_is_not_kept_back_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.method, request.url.path))
        if "none" in request.url.path:
            return httpx2.Response(503, json={"error": {"message": "a/none is not of the fleet."}})
        return httpx2.Response(200, json=row(state="leaving", pinned=True))

    monkeypatch.setattr(fleet, "connected", lambda url: client(answer))
    told = CliRunner().invoke(app, ["stop", "a/none", "a/b"])
    assert asked == [
        ("POST", "/v1/experts/a/none/sleep"),
        ("POST", "/v1/experts/a/b/sleep"),
    ]
    assert "a/none is not of the fleet" in told.stderr
    assert told.stdout == "a/b: leaving, pinned\n"
    assert told.exit_code == 2
    told = CliRunner().invoke(app, ["pin", "a/b", "--json"])
    assert [one["state"] for one in json.loads(told.stdout)] == ["leaving"]
    assert asked[-1] == ("POST", "/v1/experts/a/b/pin")
