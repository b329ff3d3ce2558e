"""Runs at the entrance of a controller over fakes: refused before any work, spread, held to deadlines."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, aclosing

import pytest

from controller.admission import Wanted
from controller.controller import Controller
from controller.errand import Errand, undertake, undertaking
from controller.errors import OverloadedError
from controller.events import Event, RunDone
from controller.identity import Caller, Scope, calling
from controller.plan import Plan
from controller.request import Message, Request
from controller.selector import Fleet
from deployments.result import Result
from tests.support.dispatching import CHAIN, ONE
from tests.support.fakes import BEGIN, Called, FakeCluster, after, answers, now, turns, virtual
from tests.support.stage import ASKED, Stage

FAR = 1000.0


def full(stack: ExitStack, controller: Controller, model: str, owner: str = "") -> None:
    """Let a model have more calls to answer than it may have before a new one."""
    books = controller.entrance.admission
    ticket = stack.enter_context(books.run(owner, f"fills {model}"))
    ticket.admit([Wanted(number, (f"test/{model}",)) for number in range(64)], FAR)


def closed(called: Called) -> Result | None:
    """The script of experts that do not answer."""
    return None


@virtual
async def test_a_run_without_room_is_refused_before_anything_of_it_is_done() -> None:
    stage = Stage(CHAIN)
    with ExitStack() as stack:
        full(stack, stage.controller, "c")
        with pytest.raises(OverloadedError):
            await stage.run()
    assert stage.kinds() == ["run.created", *["plan.task"] * 3, "run.failed"]
    told = stage.failed().error
    assert told.code == "overloaded"
    assert told.wait_s is not None
    assert told.wait_s >= 1.0
    assert stage.cluster.calls == []
    assert stage.meter.runs[0][0] == "refused"
    await stage.run()
    assert stage.kinds()[-1] == "run.done"
    assert stage.controller.entrance.admission.owed() == 0


@virtual
async def test_a_task_whose_model_has_no_room_is_given_to_the_next() -> None:
    stage = Stage(ONE)
    with ExitStack() as stack:
        full(stack, stage.controller, "a")
        await stage.run()
    assert stage.cluster.names() == ["a2"]
    done = stage.events[-1]
    assert isinstance(done, RunDone)
    choice = done.outcomes[0].choice
    assert choice is not None
    assert choice.reason == "test/a has too many calls waiting; this one has room"


@virtual
async def test_the_model_that_a_client_names_is_not_replaced() -> None:
    stage = Stage()
    named = Request(plan=({**ONE[0], "model": "test/a"},))
    with ExitStack() as stack:
        full(stack, stage.controller, "a")
        with pytest.raises(OverloadedError):
            await _told(stage.controller, named)
    assert stage.cluster.calls == []


@virtual
async def test_of_a_plan_that_is_written_the_first_task_refuses_the_run_and_later_ones_fail() -> None:
    stage = Stage(CHAIN, streamed=True)
    with ExitStack() as stack:
        full(stack, stage.controller, "c")
        await stage.run()
    done = stage.events[-1]
    assert isinstance(done, RunDone)
    assert [outcome.status for outcome in done.outcomes] == ["done", "done", "failed"]
    assert done.outcomes[2].error is not None
    assert done.outcomes[2].error.code == "overloaded"
    stage = Stage(CHAIN, streamed=True)
    with ExitStack() as stack:
        for model in ("a", "a2"):
            full(stack, stage.controller, model)
        with pytest.raises(OverloadedError):
            await stage.run()
    assert stage.cluster.calls == []


@virtual
async def test_an_llm_that_has_too_much_to_plan_is_asked_no_more() -> None:
    gate = asyncio.Event()
    stage = Stage([gate, *ONE], streamed=True)
    ends = [asyncio.create_task(_end(stage.controller)) for _ in range(60)]
    await turns()
    assert len(stage.planner.asked) < 60
    with pytest.raises(OverloadedError):
        await stage.controller.plan(ASKED)
    gate.set()
    found = await asyncio.gather(*ends)
    assert found.count("done") == len(stage.planner.asked)
    assert set(found) == {"done", "overloaded"}
    assert isinstance(await stage.controller.plan(ASKED), Plan)
    assert stage.controller.entrance.admission.owed() == 0


@virtual
async def test_callers_share_an_expert() -> None:
    stage = Stage(ONE, cluster=FakeCluster(closed))
    runs: list[asyncio.Task[str]] = []

    async def ask(owner: str, count: int) -> list[str]:
        with calling(Caller(owner, frozenset({Scope.RUN}))):
            made = [asyncio.create_task(_end(stage.controller)) for _ in range(count)]
        runs.extend(made)
        await turns()
        return [one.result() for one in made if one.done()]

    assert set(await ask("hog", 200)) == {"overloaded"}
    assert await ask("light", 3) == []
    for called in list(stage.cluster.calls):
        called.give()
    assert (await asyncio.gather(*runs)).count("overloaded") > 100
    assert stage.controller.entrance.admission.owed() == 0


@virtual
async def test_a_client_may_wait_less_than_a_run_may_take() -> None:
    stage = Stage(ONE, cluster=FakeCluster(closed))
    with undertaking(Errand(seconds=3.0)):
        await stage.run()
    assert now() == pytest.approx(BEGIN + 3.0, abs=0.2)
    done = stage.events[-1]
    assert isinstance(done, RunDone)
    assert [attempt.failure and attempt.failure.code for attempt in done.outcomes[0].attempts] == ["deadline"]
    assert stage.cluster.calls[0].call.deadline == BEGIN + 3.0
    assert stage.cluster.calls[0].response.ended


@virtual
async def test_a_client_may_not_wait_longer_than_a_run_may_take() -> None:
    stage = Stage(ONE)
    with undertaking(Errand(seconds=1e6)):
        await stage.run()
    assert stage.cluster.calls[0].call.deadline == BEGIN + stage.settings.run_seconds


@virtual
async def test_more_replicas_and_batches_take_more_calls() -> None:
    stage = Stage(ONE, cluster=FakeCluster(answers))
    for _ in range(3):
        await stage.run()
    stage.controller.selector.see(Fleet(frozenset({"test/a", "test/b"}), replicas={"test/a": 3}))
    assert stage.controller.entrance.admission.line("test/a").capacity.places == 3
    assert stage.controller.entrance.admission.line("test/b").capacity.places == 1


@virtual
async def test_a_run_that_is_given_up_is_counted_no_more() -> None:
    stage = Stage(CHAIN, cluster=FakeCluster(closed))
    running = asyncio.create_task(_end(stage.controller))
    await after(1)
    assert stage.controller.entrance.admission.owed() == 3
    running.cancel()
    await asyncio.wait({running})
    assert stage.controller.entrance.admission.owed() == 0


async def _told(controller: Controller, request: Request) -> Sequence[Event]:
    async with aclosing(controller.run(request)) as events:
        return [event async for event in events]


async def _end(controller: Controller) -> str:
    """How a run ended."""
    undertake(Errand())
    try:
        await _told(controller, Request(messages=(Message(role="user", content="do it"),)))
    except OverloadedError as error:
        return error.code
    return "done"
