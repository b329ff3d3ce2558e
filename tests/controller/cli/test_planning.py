"""``plan`` with an LLM, and files of requests."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from controller.cli.planning import plan_lines, plan_one
from controller.errors import PlanError, SettingsError
from controller.settings import Settings
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint

PLAN = {
    "tasks": [
        {"task": "image-to-text", "id": 0, "dep": [], "args": {"image": "example.jpg"}, "want": "caption"},
        {"task": "text-to-speech", "id": 1, "dep": [0], "args": {"text": "<GENERATED>-0"}},
    ],
    "reply": None,
}


def script(asked: Asked) -> Reply | str:
    """A plan, small talk, or nothing but errors."""
    if "speak" in asked.user:
        return json.dumps(PLAN)
    if "Hello" in asked.user:
        return json.dumps({"tasks": [], "reply": "Hello to you!"})
    return Reply(status=401, error="Incorrect API key provided")


def settings(endpoint: ScriptedEndpoint) -> Settings:
    return Settings(openai_base_url=endpoint.url, model="scripted")


def shown(endpoint: ScriptedEndpoint, request: str, as_json: bool = False) -> str:
    console = Console(file=StringIO(), width=100)
    plan_one(request, "llm", settings(endpoint), console, as_json)
    written = console.file
    assert isinstance(written, StringIO)
    return written.getvalue()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_llm_plans_every_line_and_what_fails_says_so(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked = ["speak about example.jpg", "Hello", "anything"]
    lines = [json.dumps({"id": n, "user_request": words}) for n, words in enumerate(asked)]
    source.write_text("\n".join(lines), encoding="utf-8")
    with ScriptedEndpoint(script) as endpoint:
        count, reasons = plan_lines(source, target, "llm", settings(endpoint))
    assert count == 2
    (reason,) = reasons
    assert "key" in reason
    planned, talk, failed = rows(target)
    assert [task["task"] for task in planned["plan"]] == ["image-to-text", "text-to-speech"]
    assert planned["plan"][1]["args"] == {"text": "<GENERATED>-0"}
    assert talk["plan"] == [
        {"task": "conversational", "id": 0, "dep": [-1], "args": {"text": "Hello"}},
    ]
    assert failed == {"id": 2, "plan": [], "error": reason}


def test_one_plan_by_the_llm(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedEndpoint(script) as endpoint:
        assert "text-to-speech" in shown(endpoint, "speak")
        assert shown(endpoint, "Hello") == "Hello to you!\n"
        shown(endpoint, "Hello", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"message": "Hello to you!"}


def test_a_plan_of_nothing_but_faults_is_an_error() -> None:
    with (
        ScriptedEndpoint(json.dumps({"tasks": [{"task": "mind-reading", "id": 0}]})) as endpoint,
        pytest.raises(PlanError, match="mind-reading"),
    ):
        shown(endpoint, "read my mind")


def test_without_an_endpoint_there_is_no_llm() -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        plan_one("speak", "llm", Settings(), Console(), as_json=False)
    with pytest.raises(SettingsError, match="brain"):
        plan_one("speak", "llm", Settings(brain="embedded"), Console(), as_json=False)
