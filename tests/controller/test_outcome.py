"""Outcomes: the account of a task, as JSON."""

import json

import pytest
from pydantic import ValidationError

from controller.outcome import Artifact, Attempt, Choice, Failure, Outcome, Status, Timings
from model_catalog.tasks import Modality

FULL = Outcome(
    id=3,
    task="image-to-text",
    args={"image": "/images/x.png"},
    status=Status.DONE,
    text="words",
    data={"score": 0.5, "labels": ["a", None]},
    artifacts=(Artifact(path="/images/y.png", modality=Modality.IMAGE, media_type="image/png", size=7),),
    choice=Choice(model="a/b", reason="why", candidates=("a/b",)),
    attempts=(
        Attempt(model="c/d", seconds=0.5, failure=Failure(code="busy", message="later")),
        Attempt(model="a/b", seconds=1.0),
    ),
    timings=Timings(dispatched=1.0, started=2.0, finished=3.0, settled=4.0),
)


def test_an_outcome_comes_back_from_json_as_it_was() -> None:
    assert Outcome.model_validate_json(FULL.model_dump_json()) == FULL
    told = json.loads(FULL.model_dump_json())
    assert told["status"] == "done"
    assert told["artifacts"][0]["modality"] == "image"
    assert told["attempts"][1]["failure"] is None


def test_what_a_task_does_not_have_is_empty() -> None:
    bare = Outcome(id=0, task="fill-mask", status=Status.CANCELLED)
    assert (bare.args, bare.text, bare.data, bare.artifacts, bare.attempts) == ({}, None, None, (), ())
    assert (bare.choice, bare.timings, bare.error) == (None, None, None)


def test_figures_that_json_lacks_become_null() -> None:
    told = Outcome(id=0, task="fill-mask", status=Status.DONE, data=[float("nan"), float("inf"), 1.5])
    assert json.loads(told.model_dump_json())["data"] == [None, None, 1.5]


def test_a_status_is_one_of_four() -> None:
    assert [status.value for status in Status] == ["done", "failed", "skipped", "cancelled"]
    with pytest.raises(ValidationError):
        Outcome.model_validate({"id": 0, "task": "fill-mask", "status": "lost"})


def test_an_outcome_never_changes() -> None:
    with pytest.raises(ValidationError):
        FULL.text = "other"  # type: ignore[misc]
