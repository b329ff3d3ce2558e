"""Events: one stream, told apart by type, the same on both sides of a wire."""

import json
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from controller import events
from controller.events import (
    EVENT,
    AnswerDelta,
    Event,
    LeftOut,
    PlanDone,
    PlanTask,
    RunCreated,
    RunDone,
    RunFailed,
    TaskChosen,
    TaskDone,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    TaskWaking,
)
from controller.outcome import Choice, Failure, Outcome, Status

TASK = {"task": "fill-mask", "id": 0, "dep": [-1], "args": {"text": "Grüße, 世界 \u2028 </script>"}}
DONE = Outcome(id=0, task="fill-mask", status=Status.DONE, data=[{"label": "x", "score": 0.5}])
EVENTS: list[Event] = [
    RunCreated(run="r", brain="embedded brain"),
    PlanTask(run="r", task=TASK, want="ocr"),
    PlanDone(run="r", plan=[TASK], notes=("n",), left_out=(LeftOut(id=None, task="?", reason="why"),)),
    TaskChosen(run="r", id=0, choice=Choice(model="a/b", reason="why", candidates=("a/b", "c/d"))),
    TaskWaking(run="r", id=0, model="a/b", seconds=8.0),
    TaskStarted(run="r", id=0, model="a/b"),
    TaskDone(run="r", outcome=DONE),
    TaskFailed(run="r", outcome=Outcome(id=1, task="x", status=Status.FAILED)),
    TaskSkipped(run="r", outcome=Outcome(id=2, task="x", status=Status.SKIPPED)),
    AnswerDelta(run="r", text="pie\nce"),
    RunDone(run="r", answer="all", outcomes=(DONE,), seconds={"plan": 0.5}),
    RunFailed(run="r", error=Failure(code="c", message="m")),
]


def test_every_event_is_here() -> None:
    union = get_args(get_args(Event)[0])
    assert {type(event) for event in EVENTS} == set(union)
    classes = {value for value in vars(events).values() if isinstance(value, type)}
    assert {item for item in classes if issubclass(item, BaseModel) and "run" in item.model_fields} - {
        events._Event
    } == set(union)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    text = event.model_dump_json()
    assert "\n" not in text, "one line of a stream"
    assert EVENT.validate_json(text) == event
    told = json.loads(text)
    assert told["type"] == event.type
    assert told["run"] == "r"
    assert told["time"] == event.time


def test_types_are_told_apart() -> None:
    assert len({event.type for event in EVENTS}) == len(EVENTS)
    for unknown in ("run.paused", "", None):
        with pytest.raises(ValidationError):
            EVENT.validate_python({"type": unknown, "run": "r"})


def test_an_event_never_changes() -> None:
    with pytest.raises(ValidationError):
        setattr(EVENTS[0], "run", "other")  # noqa: B010
