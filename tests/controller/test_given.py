"""A client's own plan: run as it is written, by the models it names alone, or refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from controller.controller import Controller
from controller.errors import AttachmentError, NoExpertError, PlanError, TooManyTasksError, UnfitModelError
from controller.events import Event, PlanDone, RunCreated, RunDone, TaskChosen
from controller.outcome import Status
from controller.plan import Plan
from controller.request import Message, Request
from controller.selector import Fleet
from controller.settings import Settings
from model_catalog.errors import UnknownModelError
from tests.support.dispatching import CHAIN, ONE
from tests.support.fakes import BEGIN, FakeCluster, answers, died, now, virtual
from tests.support.stage import EDGES, Stage


async def _run(controller: Controller, *plan: dict[str, Any], **more: Any) -> list[Event]:
    return [event async for event in controller.run(Request(plan=plan, **more))]


def _done(events: list[Event]) -> RunDone:
    assert isinstance(events[-1], RunDone)
    return events[-1]


@virtual
async def test_no_brain_is_asked() -> None:
    stage = Stage([RuntimeError("never asked")])
    events = await _run(stage.controller, *CHAIN)
    kinds = [event.type for event in events]
    assert kinds[:5] == ["run.created", *("plan.task",) * 3, "plan.done"]
    assert kinds[-1] == "run.done"
    assert "answer.delta" not in kinds
    assert isinstance(events[0], RunCreated)
    assert events[0].brain == "client"
    assert _done(events).answer == ""
    assert [outcome.text for outcome in _done(events).outcomes] == ["by test/a", "by test/b", "by test/c"]
    assert stage.planner.asked == []
    assert stage.responder.told == []
    assert stage.meter.runs[0][0] == "done"


@virtual
async def test_tasks_may_come_in_any_order_and_keep_their_ids() -> None:
    stage = Stage()
    events = await _run(stage.controller, *reversed(CHAIN))
    (planned,) = (event for event in events if isinstance(event, PlanDone))
    assert [task["id"] for task in planned.plan] == [2, 1, 0]
    assert {outcome.id: outcome.text for outcome in _done(events).outcomes} == {
        0: "by test/a",
        1: "by test/b",
        2: "by test/c",
    }


@virtual
async def test_a_named_model_runs_its_task_alone() -> None:
    stage = Stage()
    events = await _run(stage.controller, ONE[0] | {"model": "test/a2"})
    assert stage.cluster.names() == ["a2"]
    (chosen,) = (event.choice for event in events if isinstance(event, TaskChosen))
    assert (chosen.model, chosen.reason, chosen.candidates) == (
        "test/a2",
        "named by the client",
        ("test/a2",),
    )


@virtual
async def test_nobody_takes_over_for_a_named_model() -> None:
    stage = Stage(cluster=FakeCluster(lambda called: RuntimeError("no")))
    (outcome,) = _done(await _run(stage.controller, ONE[0] | {"model": "test/a"})).outcomes
    assert outcome.status is Status.FAILED
    assert stage.cluster.names() == ["a"]


@virtual
async def test_without_a_model_the_next_candidate_takes_over() -> None:
    stage = Stage(cluster=FakeCluster(lambda c: died() if c.name == "a" else answers(c)))
    (outcome,) = _done(await _run(stage.controller, ONE[0])).outcomes
    assert outcome.text == "by test/a2"


@virtual
async def test_a_named_model_that_does_not_run_says_why() -> None:
    stage = Stage()
    stage.controller.selector.fleet = stage.cluster.fleet = Fleet(
        frozenset({"test/a2"}), obstacles={"test/a": "it needs a GPU"}
    )
    (outcome,) = _done(await _run(stage.controller, ONE[0] | {"model": "test/a"})).outcomes
    assert outcome.error is not None
    assert outcome.error.code == NoExpertError.code
    assert "test/a does not run here: it needs a GPU" in outcome.error.message
    assert stage.cluster.calls == []


@pytest.mark.parametrize(
    ("model", "error"), [("nobody/knows", UnknownModelError), ("test/b", UnfitModelError)]
)
async def test_a_model_that_cannot_be_meant_refuses_the_plan(model: str, error: type[Exception]) -> None:
    stage = Stage()
    with pytest.raises(error):
        await _run(stage.controller, *CHAIN[1:2], *ONE, {**ONE[0], "id": 9, "model": model})
    assert stage.cluster.calls == []


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        ({"task": "mind-reading", "id": 1, "args": {}}, "no task type 'mind-reading'"),
        ({"task": "translation", "id": 1, "args": {"text": "x", "colour": "red"}}, "no argument 'colour')"),
        ({"task": "translation", "id": 1, "args": {"text": "x"}, "dep": [7]}, "named 7 in dep"),
        ({"task": "translation", "id": 1, "args": {"text": "x"}, "want": "ocr"}, "want 'ocr'"),
        ({"task": "translation", "id": 1, "args": {}, "dep": [0]}, "for the missing 'text'"),
        ({"task": "canny-text-to-image", "id": 1, "args": {"image": "/images/x.png"}}, "canny-control"),
        ({"task": "translation", "id": 1, "args": {"text": "<GENERATED>-1"}}, "waits for itself"),
        ({"task": "translation", "id": 10**9, "args": {"text": "x"}}, "'1000000000' is no whole number"),
        ({"task": "translation", "id": 0, "args": {"text": "x"}}, "used twice"),
    ],
)  # fmt: skip
async def test_nothing_is_mended(faulty: dict[str, Any], told: str) -> None:
    stage = Stage()
    with pytest.raises(PlanError) as refused:
        await _run(stage.controller, *ONE, faulty)
    assert told in refused.value.message
    assert refused.value.status == 422
    assert stage.cluster.calls == []


async def test_a_plan_over_the_limit_is_refused() -> None:
    stage = Stage(settings=Settings(max_tasks=2))
    with pytest.raises(TooManyTasksError):
        await _run(stage.controller, *CHAIN)


async def test_a_file_that_is_not_here_refuses_the_plan_whatever_the_brain() -> None:
    stage = Stage(streamed=True)
    with pytest.raises(AttachmentError, match="no file"):
        await _run(stage.controller, *ONE, EDGES)
    assert stage.cluster.calls == []


@virtual
async def test_the_whole_time_of_a_run_is_for_its_tasks() -> None:
    stage = Stage(cluster=FakeCluster(), settings=Settings(run_seconds=7))
    stage.responder.takes_s = 3.0
    (outcome,) = _done(await _run(stage.controller, *ONE)).outcomes
    assert outcome.error is not None
    assert outcome.error.code == "deadline"
    assert now() == pytest.approx(BEGIN + 7)


async def test_it_can_be_planned_without_running_it() -> None:
    planned = await Stage().controller.plan(Request(plan=tuple(CHAIN)))
    assert isinstance(planned, Plan)
    assert [task.id for task in planned.tasks] == [0, 1, 2]
    with pytest.raises(PlanError, match="empty"):
        await Stage().controller.plan(Request(plan=()))


def test_a_request_asks_for_something() -> None:
    with pytest.raises(ValidationError, match="a message or a plan"):
        Request()
    assert Request(plan=()).text == ""
    assert Request(messages=(Message(role="user", content="x"),), plan=()).text == "x"
