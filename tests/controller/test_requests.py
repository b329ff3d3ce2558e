"""Requests in the manner of people, written down with the plans they must give."""

import json
from pathlib import Path
from typing import Any

import pytest

from controller.plan import Plan
from controller.request import Attachment, Message
from controller.rules.mentions import modality_of
from controller.rules.planner import plan_text

_ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "requests.jsonl").read_text("utf-8").splitlines()
]


def _attachments(row: dict[str, Any]) -> list[Attachment]:
    kinds = {path: modality_of(path) for path in row.get("attachments", [])}
    return [Attachment(path=path, modality=kind) for path, kind in kinds.items() if kind]


def _planned(row: dict[str, Any]) -> list[dict[str, Any]]:
    context = [Message(**message) for message in row.get("context", [])]
    return plan_text(row["request"], _attachments(row), context)


def _essential(task: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """A planned task as far as the wanted one says what it must be."""
    args = {name: value for name, value in task["args"].items() if name in wanted["args"]}
    told = {"task": task["task"], "args": args}
    return told | ({"want": task["want"]} if "want" in task else {})


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["request"][:60])
def test_a_request_gives_its_plan(row: dict[str, Any]) -> None:
    tasks = _planned(row)
    if row.get("reply"):
        faults = Plan.parse(tasks).faults
        assert len(faults) == len(tasks), "a task could be run"
        return
    assert [task["task"] for task in tasks] == [wanted["task"] for wanted in row["plan"]]
    told = [_essential(task, wanted) for task, wanted in zip(tasks, row["plan"], strict=True)]
    assert told == row["plan"]
    assert Plan.parse(tasks).faults == []


def test_there_are_enough_of_them() -> None:
    assert len(_ROWS) >= 60
    assert sum(row.get("language") == "fr" for row in _ROWS) >= 10
