"""``plan`` with an LLM, and files of requests."""

import asyncio
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from controller.cli import planning
from controller.cli.planning import Brain, plan_lines, plan_one
from controller.errors import PlanError, RequestError, SettingsError
from controller.request import MAX_CHARACTERS
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


def settings(endpoint: ScriptedEndpoint, **more: Any) -> Settings:
    return Settings(openai_base_url=endpoint.url, model="scripted", **more)


def shown(endpoint: ScriptedEndpoint, request: str, as_json: bool = False) -> str:
    console = Console(file=StringIO(), width=100)
    plan_one(request, "llm", settings(endpoint), console, as_json)
    written = console.file
    assert isinstance(written, StringIO)
    return written.getvalue()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(path: Path, requests: Sequence[str]) -> Path:
    """A file of requests, numbered."""
    lines = [json.dumps({"id": n, "user_request": words}) for n, words in enumerate(requests)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_the_llm_plans_every_line_and_what_fails_says_so(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", ["speak about example.jpg", "Hello", "anything"])
    target = tmp_path / "out.jsonl"
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


def test_what_was_left_out_and_said_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    speak = PLAN["tasks"][1] | {"dep": [], "args": {"text": "Hi"}}  # type: ignore[index]
    begun = json.dumps({"tasks": [speak, {"task": "mind\nreading", "id": 7}]})[:-1]
    with ScriptedEndpoint([Reply(begun), Reply(status=500)]) as endpoint:
        plan_one("speak", "llm", settings(endpoint, llm_retries=0), Console(), as_json=True)
    told = capsys.readouterr()
    assert [task["task"] for task in json.loads(told.out)] == ["text-to-speech"]
    left_out, remark = told.err.splitlines()
    assert left_out.startswith("left out mind reading: there is no task type")
    assert remark.startswith("The plan broke off. ")


# Files of requests ---------------------------------------------------------------------------------------


def test_a_plan_that_is_not_whole_says_what_is_missing(tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", ["faulty", "half"]), tmp_path / "out.jsonl"
    mind = {"task": "mind-reading", "id": 1}
    speak = {"task": "text-to-speech", "id": 0, "args": {"text": "Hi"}}

    def answer(asked: Asked) -> Reply | str:
        if "faulty" in str(asked.messages):
            return json.dumps({"tasks": [mind]})
        half = Reply(json.dumps({"tasks": [speak, mind]})[:-1])
        return half if asked.user == "half" else Reply(status=500)

    with ScriptedEndpoint(answer) as endpoint:
        count, reasons = plan_lines(source, target, "llm", settings(endpoint, llm_retries=0))
    faulty, half = rows(target)
    assert (count, reasons) == (1, [faulty["error"]])
    assert faulty["plan"] == []
    assert "No task of the plan can run: there is no task type 'mind-reading'" in faulty["error"]
    (left_out,) = half["left_out"]
    assert (left_out["id"], left_out["task"]) == (1, "mind-reading")
    assert "no task type" in left_out["reason"]
    assert [task["task"] for task in half["plan"]] == ["text-to-speech"]
    (remark,) = half["remarks"]
    assert remark.startswith("The plan broke off. ")
    assert "error" not in half


@pytest.mark.parametrize("brain", get_args(Brain))
def test_one_line_that_fails_spoils_no_other(brain: Brain, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", ["Hello", "x" * (MAX_CHARACTERS + 1), "Hello \ud83d", "Hello"])
    source.write_text(source.read_text() + '\n{"id": "\\ud83d", "user_request": "Hello"}')
    target = tmp_path / "out.jsonl"
    with ScriptedEndpoint(script) as endpoint:
        count, (reason,) = plan_lines(source, target, brain, settings(endpoint))
        assert len(endpoint.requests) == (4 if brain == "llm" else 0)
    first, long, half, hello, odd = rows(target)
    assert count == 4
    assert long == {"id": 1, "plan": [], "error": reason}
    assert "200,001 characters; 200,000 are the most" in reason
    assert all(line["plan"] and "error" not in line for line in (first, half, hello, odd))
    assert odd["id"] == "\ufffd"


@pytest.mark.parametrize("brain", get_args(Brain))
def test_a_plan_over_the_limit_is_that_lines_error(brain: Brain, tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", ["speak", "Hello"]), tmp_path / "out.jsonl"
    source.write_text(
        source.read_text().replace('"speak"', '"speak: describe /images/a.png and read it aloud"')
    )
    with ScriptedEndpoint(script) as endpoint:
        count, (reason,) = plan_lines(source, target, brain, settings(endpoint, max_tasks=1))
    many, talk = rows(target)
    assert (count, many["error"]) == (1, reason)
    assert "more than 1 tasks" in reason
    assert talk["plan"]


def test_a_fault_of_the_program_is_that_lines_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guess(text: str) -> list[dict[str, Any]]:
        raise KeyError(text)

    monkeypatch.setattr(planning, "guess", guess)
    source, target = written(tmp_path / "in.jsonl", ["a", "b"]), tmp_path / "out.jsonl"
    assert plan_lines(source, target, "embedded", Settings())[0] == 0
    assert [row["error"] for row in rows(target)] == [f"An unexpected KeyError: {n!r}" for n in "ab"]


@pytest.mark.parametrize("brain", get_args(Brain))
def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(brain: Brain, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", ["speak"])
    with ScriptedEndpoint(script) as endpoint:
        for target in (tmp_path / "absent" / "out.jsonl", tmp_path):
            with pytest.raises(RequestError, match="cannot be written"):
                plan_lines(source, target, brain, settings(endpoint))
    assert endpoint.requests == []


@pytest.mark.parametrize("brain", get_args(Brain))
def test_old_plans_stay_where_nothing_can_be_planned(brain: Brain, tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", ["speak"]), tmp_path / "out.jsonl"
    target.write_text("old")
    with pytest.raises(RequestError, match="cannot be read"):
        plan_lines(tmp_path / "absent.jsonl", target, brain, Settings())
    source.write_text(source.read_text() + "\n{}")
    with pytest.raises(RequestError, match="line 2"):
        plan_lines(source, target, brain, Settings())
    if brain == "llm":
        source = written(source, ["speak"])
        with pytest.raises(SettingsError):
            plan_lines(source, target, brain, Settings())
    assert target.read_text() == "old"


def test_lines_are_told_apart_by_line_feeds_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"id": 1, "user_request": "Hello\u2028you"}\r\n', encoding="utf-8", newline="")
    assert plan_lines(source, target, "embedded", Settings()) == (1, [])


def test_each_line_is_written_when_its_turn_has_come(tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", ["one", "two", "three"]), tmp_path / "out.jsonl"
    seen: list[str] = []

    def answer(asked: Asked) -> str:
        seen.append(target.read_text())
        return json.dumps({"tasks": [], "reply": "Hi"})

    with ScriptedEndpoint(answer) as endpoint:
        plan_lines(source, target, "llm", settings(endpoint, llm_concurrency=1))
    assert [text.count("\n") for text in seen] == [0, 1, 2]
    assert [row["id"] for row in rows(target)] == [0, 1, 2]


async def test_a_run_that_is_ended_leaves_what_it_has(tmp_path: Path) -> None:
    """Also of lines behind one that was not ready."""
    source, target = written(tmp_path / "in.jsonl", ["one", "slow", "three", "last"]), tmp_path / "out.jsonl"

    def answer(asked: Asked) -> Reply | str:
        talk = json.dumps({"tasks": [], "reply": "Hi"})
        return Reply(talk, stall_after=1) if asked.user in ("slow", "last") else talk

    with ScriptedEndpoint(answer) as endpoint:
        texts = [text for _, text in planning._rows(source)]
        told = settings(endpoint, llm_concurrency=2)
        run = asyncio.create_task(planning._asked(texts, told, lambda: planning._Lines(target, range(4), [])))
        await asyncio.to_thread(endpoint.wait_for, 4)
        assert [row["id"] for row in rows(target)] == [0]
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    assert [row["id"] for row in rows(target)] == [0, 2]


def test_a_line_in_work_has_a_place_for_its_second_call(tmp_path: Path) -> None:
    """Else the second calls would wait behind the first ones of all other lines."""
    source, target = written(tmp_path / "in.jsonl", [f"line {n}" for n in range(6)]), tmp_path / "out.jsonl"

    def answer(asked: Asked) -> str:
        first = asked.user.startswith("line")
        task = {"task": "mind-reading" if first else "text-to-speech", "id": 0, "args": {"text": "Hi"}}
        return json.dumps({"tasks": [task]})

    with ScriptedEndpoint(answer) as endpoint:
        assert plan_lines(source, target, "llm", settings(endpoint, llm_concurrency=2)) == (6, [])
    begun = 0
    for number, asked in enumerate(endpoint.requests):
        begun += asked.user.startswith("line")
        assert begun - (number + 1 - begun) <= 2, "no line begins before another one's second call"
    assert len(endpoint.requests) == 12
