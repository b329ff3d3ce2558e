"""``hugginggpt history`` over a server that answers in this process."""

import json
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from controller.cli import history
from controller.cli.history import lines
from controller.cli.main import app
from tests.support.web import account, client, outcome, sse


def _run(number: int, **more: Any) -> dict[str, Any]:
    known = {
        "id": f"run-{number}",
        "state": "done",
        "request": f"ask\n{number}",
        "created": 1e9,
        "ended": 1e9 + 2,
    }
    whole: dict[str, Any] = {"outcomes": [], "answer": "Here it is.", "error": None}
    return known | whole | more


class Server:
    """A server with some runs, of which it lists two at once."""

    def __init__(self, *runs: dict[str, Any]) -> None:
        self.runs = {run["id"]: run for run in runs}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        _, _, name = request.url.path.removesuffix("/repeat").partition("/v1/runs")
        name = name.strip("/")
        if not name:
            return self._listed(request)
        if name not in self.runs:
            return httpx2.Response(404, json={"error": {"message": f"There is no run {name!r} here."}})
        if request.method == "DELETE":
            assert request.url.params["forget"] == "true"
            del self.runs[name]
            return httpx2.Response(200, json={"deleted": True})
        if request.method == "POST":
            return httpx2.Response(200, content=sse(account(outcomes=[outcome()])))
        return httpx2.Response(200, json=self.runs[name])

    def _listed(self, request: httpx2.Request) -> httpx2.Response:
        ids = list(self.runs)
        after = request.url.params.get("after")
        ids = ids[ids.index(after) + 1 :] if after else ids
        count = min(2, int(request.url.params["limit"]))
        data = [self.runs[name] for name in ids[:count]]
        return httpx2.Response(200, json={"data": data, "has_more": len(ids) > count})


def _said(server: Server, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(history, "connected", lambda url: client(server))
    result = CliRunner().invoke(app, ["history", *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_runs_are_listed_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(*(_run(number) for number in range(5)), _run(5, state="running", ended=None))
    code, told = _said(server, monkeypatch, "list")
    rows = [line.split() for line in told.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ["run", *(f"run-{number}" for number in range(6))]
    assert rows[1][-4:] == ["done", "2.0", "ask", "0"]
    assert rows[6][-4:] == ["running", "–", "ask", "5"]
    code, told = _said(server, monkeypatch, "list", "--limit", "3", "--json")
    assert [run["id"] for run in json.loads(told)] == ["run-0", "run-1", "run-2"]


def test_a_run_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = outcome().model_dump(mode="json") | {"status": "failed", "error": {"message": "It is broken."}}
    server = Server(_run(1, outcomes=[outcome().model_dump(mode="json"), failed]))
    code, told = _said(server, monkeypatch, "show", "run-1")
    assert code == 0
    assert "✓ canny-control by embedded/canny" in told
    assert "✗ canny-control by embedded/canny: It is broken." in told
    assert told.rstrip().endswith("Here it is.")
    assert json.loads(_said(server, monkeypatch, "show", "run-1", "--json")[1])["id"] == "run-1"


def test_an_interrupted_run_says_how_to_repeat_it() -> None:
    error = {"message": "It went down; POST /v1/runs/ID/repeat runs it again."}
    told = lines(_run(1, answer="", error=error, state="interrupted"))
    assert told[-1] == "It went down; hugginggpt history repeat runs it again."


def test_a_run_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(_run(1))
    code, told = _said(server, monkeypatch, "repeat", "run-1", "--json")
    assert code == 0
    assert json.loads(told)["answer"] == "Here it is."
    assert "Here it is." in _said(server, monkeypatch, "repeat", "run-1")[1]


def test_runs_are_forgotten_and_one_that_is_not_there_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(_run(1), _run(2))
    code, told = _said(server, monkeypatch, "forget", "run-1", "run-9", "run-2")
    assert (code, server.runs) == (2, {})
    assert "There is no run 'run-9' here." in told
    code, _ = _said(server, monkeypatch, "forget", "../x")
    assert code == 1
