"""The controller over fakes: what a run tells, in which order, and how it ends."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from controller import controller as module
from controller.controller import Controller
from controller.errors import DeadlineError, PlanError, TooManyTasksError
from controller.events import AnswerDelta, Event, PlanDone, RunDone
from controller.outcome import Status
from controller.plan import Plan
from controller.planner import Reply
from controller.selector import Fleet
from controller.settings import Settings
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError
from tests.support.brains import FakeResponder
from tests.support.cluster import card
from tests.support.dispatching import CHAIN, ONE, PICTURE, A
from tests.support.fakes import BEGIN, FakeCluster, after, answers, died, now, turns, virtual
from tests.support.logs import recorded
from tests.support.stage import ASKED, EDGES, FAULTY, Stage

# A run that ends well ------------------------------------------------------------------------------------


@virtual
async def test_every_step_is_told_in_order() -> None:
    stage = Stage(CHAIN[:2])
    events = await stage.run()
    kinds = stage.kinds()
    assert kinds[:4] == ["run.created", "plan.task", "plan.task", "plan.done"]
    assert [kind for kind in kinds if kind.startswith("task.") and kind != "task.chosen"] == [
        *("task.started", "task.done") * 2
    ]
    assert kinds.count("task.chosen") == 2
    assert kinds[-3:] == ["answer.delta", "answer.delta", "run.done"]
    assert len({event.run for event in events}) == 1
    assert events[0].run.startswith("run-")
    done = events[-1]
    assert isinstance(done, RunDone)
    assert done.answer == "All done." == "".join(e.text for e in events if isinstance(e, AnswerDelta))
    assert [outcome.text for outcome in done.outcomes] == ["by test/a", "by test/b"]
    assert set(done.seconds) == {"plan", "files", "dispatch", "execute", "respond", "total"}
    ((request, plan, outcomes),) = stage.responder.told
    assert (request, outcomes) == (ASKED, done.outcomes)
    assert [task.id for task in plan.tasks] == [0, 1]


@virtual
async def test_figures_of_runs_and_tasks_are_taken() -> None:
    stage = Stage(CHAIN[:2])
    await stage.run()
    ((how, seconds),) = stage.meter.runs
    assert how == "done"
    assert set(seconds) == {"plan", "files", "dispatch", "execute", "respond", "total"}
    assert [(outcome.id, outcome.status) for outcome in stage.meter.tasks] == [(0, "done"), (1, "done")]


@virtual
async def test_what_each_stage_takes_is_told() -> None:
    gate = asyncio.Event()
    stage = Stage([gate, *ONE], cluster=FakeCluster())
    running = asyncio.create_task(stage.run())
    await after(2)
    gate.set()
    await after(3)
    stage.cluster.calls[0].give()
    await running
    done = stage.events[-1]
    assert isinstance(done, RunDone)
    assert (done.seconds["plan"], done.seconds["execute"], done.seconds["respond"]) == (2.0, 3.0, 0.0)


@virtual
async def test_two_runs_do_not_know_of_each_other() -> None:
    stage = Stage(ONE)
    first, second = await asyncio.gather(*(_collect(stage.controller) for _ in range(2)))
    assert first[0].run != second[0].run
    for events in (first, second):
        assert len({event.run for event in events}) == 1
        assert events[-1].type == "run.done"


async def _collect(controller: Controller) -> list[Event]:
    return [event async for event in controller.run(ASKED)]


@virtual
async def test_a_reply_needs_no_task_and_no_responder() -> None:
    stage = Stage([Reply("Hello!")])
    events = await stage.run()
    assert stage.kinds() == ["run.created", "plan.done", "answer.delta", "run.done"]
    done = events[-1]
    assert isinstance(done, RunDone)
    assert (done.answer, done.outcomes) == ("Hello!", ())
    assert stage.responder.told == []
    assert stage.meter.runs[0][0] == "done"
    assert stage.meter.tasks == []


@virtual
async def test_a_task_that_fails_does_not_fail_the_run() -> None:
    stage = Stage(CHAIN, cluster=FakeCluster(lambda called: died()))
    await stage.run()
    done = stage.events[-1]
    assert isinstance(done, RunDone)
    assert [outcome.status for outcome in done.outcomes] == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]
    assert stage.meter.runs[0][0] == "done"
    assert [outcome.status for outcome in stage.meter.tasks] == ["failed", "skipped", "skipped"]


@virtual
async def test_the_run_ends_at_its_deadline() -> None:
    stage = Stage(CHAIN, cluster=FakeCluster(), settings=Settings(run_seconds=7, task_seconds=5))
    await stage.run()
    assert now() == pytest.approx(BEGIN + 7)
    assert stage.kinds()[-1] == "run.done", "what was found so far is told"


# Streams -------------------------------------------------------------------------------------------------


@virtual
async def test_a_streamed_plans_first_task_runs_before_its_last_is_known() -> None:
    gate = asyncio.Event()
    stage = Stage([CHAIN[0], gate, CHAIN[1]], streamed=True)
    running = asyncio.create_task(stage.run())
    await turns()
    assert stage.cluster.names() == ["a"]
    assert stage.kinds()[-1] == "task.done", "it has even ended"
    assert "plan.done" not in stage.kinds()
    gate.set()
    await running
    kinds = stage.kinds()
    assert kinds.index("task.done") < kinds.index("plan.done") < kinds.index("run.done")
    assert kinds.count("task.done") == 2


@virtual
async def test_a_plan_made_at_once_is_told_before_its_tasks_begin() -> None:
    gate = asyncio.Event()
    stage = Stage([CHAIN[0], gate, CHAIN[1]])
    running = asyncio.create_task(stage.run())
    await turns()
    assert stage.cluster.calls == []
    gate.set()
    await running
    assert stage.kinds().index("plan.done") < stage.kinds().index("task.chosen")


# Faults of a plan ----------------------------------------------------------------------------------------


@virtual
async def test_what_cannot_run_is_left_out_and_the_rest_runs() -> None:
    stage = Stage([FAULTY, *ONE])
    await stage.run()
    (plan,) = (event for event in stage.events if isinstance(event, PlanDone))
    assert [task["task"] for task in plan.plan] == ["fill-mask"]
    ((fault),) = plan.left_out
    assert (fault.id, fault.task) == (9, "mind-reading")
    assert "there is no task type" in fault.reason
    assert [fault.task for fault in stage.responder.told[0][1].faults] == ["mind-reading"]
    assert stage.kinds()[-1] == "run.done"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_plan_of_which_nothing_can_run_is_refused(streamed: bool) -> None:
    @virtual
    async def scenario() -> None:
        stage = Stage([FAULTY] * 7, streamed=streamed)
        with pytest.raises(PlanError, match="No task of the plan can run") as caught:
            await stage.run()
        assert stage.kinds() == ["run.created", "run.failed"]
        assert stage.failed().error.code == "invalid_plan"
        assert stage.failed().error.message == caught.value.message
        assert stage.meter.runs[0][0] == "refused"
        assert stage.cluster.calls == []

    scenario()


@virtual
async def test_a_streamed_plan_over_its_limit_stops_what_has_begun() -> None:
    many = [{"task": "fill-mask", "id": n, "args": {"text": "x"}} for n in range(4)]
    stage = Stage(many, streamed=True, cluster=FakeCluster(), settings=Settings(max_tasks=3))
    with pytest.raises(TooManyTasksError):
        await stage.run()
    assert stage.failed().error.code == "too_many_tasks"
    assert len(stage.meter.tasks) == 3
    assert {outcome.status for outcome in stage.meter.tasks} == {Status.CANCELLED}
    assert all(promise.ended for promise in stage.cluster.promises)


# Cancel and errors ---------------------------------------------------------------------------------------


@virtual
async def test_closing_the_iterator_cancels_everything() -> None:
    stage = Stage(CHAIN, cluster=FakeCluster())
    async with aclosing(stage.controller.run(ASKED)) as events:
        async for event in events:
            if event.type == "task.started":
                break
    assert len(stage.cluster.calls) == 3
    assert all(called.response.cancelled for called in stage.cluster.calls)
    ((how, _),) = stage.meter.runs
    assert how == "cancelled"
    assert [outcome.status for outcome in stage.meter.tasks] == [Status.CANCELLED] * 3


@virtual
async def test_a_reader_that_is_cancelled_cancels_the_run() -> None:
    stage = Stage([CHAIN[0], asyncio.Event()], streamed=True, cluster=FakeCluster())
    running = asyncio.create_task(stage.run())
    await turns()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert stage.cluster.calls[0].response.cancelled
    assert stage.planner.closed
    assert stage.meter.runs[0][0] == "cancelled"


@pytest.mark.parametrize("streamed", [True, False])
def test_an_unexpected_error_of_the_planner_ends_the_run(streamed: bool) -> None:
    @virtual
    async def scenario() -> None:
        stage = Stage([*ONE, RuntimeError("inner words")], streamed=streamed, cluster=FakeCluster())
        with recorded(module.logger) as records, pytest.raises(RuntimeError):
            await stage.run()
        assert stage.failed().error.code == "internal"
        assert "inner words" not in stage.failed().error.message
        assert [record.exc_info is not None for record in records] == [True], "the log has the details"
        assert stage.meter.runs[0][0] == "failed"
        assert all(promise.ended for promise in stage.cluster.promises)

    scenario()


@virtual
async def test_an_unexpected_error_of_the_responder_ends_the_run() -> None:
    stage = Stage(ONE, responder=FakeResponder(["All ", RuntimeError("inner words")]))
    with pytest.raises(RuntimeError):
        await stage.run()
    assert stage.kinds()[-2:] == ["answer.delta", "run.failed"]
    assert [outcome.status for outcome in stage.meter.tasks] == [Status.DONE]


@virtual
async def test_an_error_of_ours_is_told_as_it_is() -> None:
    stage = Stage([HuggingGPTError("The brain is away; try again soon.")])
    with pytest.raises(HuggingGPTError):
        await stage.run()
    assert stage.failed().error.message == "The brain is away; try again soon."
    assert stage.meter.runs[0][0] == "failed"


# Planning alone ------------------------------------------------------------------------------------------


async def test_planning_alone_runs_nothing_and_asks_for_no_file() -> None:
    stage = Stage([EDGES, *PICTURE, FAULTY])
    plan = await stage.controller.plan(ASKED)
    assert isinstance(plan, Plan)
    assert [task.task for task in plan.tasks] == ["canny-control", "text-to-image", "image-classification"]
    assert len(plan.faults) == 1
    assert stage.cluster.calls == []
    assert stage.planner.offered[0] == A, "the planner sees what can run"


async def test_planning_alone_may_be_a_reply_or_be_refused() -> None:
    assert await Stage([Reply("Hello!")]).controller.plan(ASKED) == Reply("Hello!")
    with pytest.raises(PlanError, match="mind-reading: there is no task type"):
        await Stage([FAULTY]).controller.plan(ASKED)
    with pytest.raises(TooManyTasksError):
        await Stage(CHAIN, settings=Settings(max_tasks=2)).controller.plan(ASKED)


async def test_the_fleet_is_looked_up_anew() -> None:
    stage = Stage()
    stage.cluster.fleet = Fleet(frozenset({"test/b"}))
    await stage.controller.refresh()
    assert stage.controller.selector.fleet is stage.cluster.fleet
    assert stage.controller.brain == "fake brain"


# Bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
def test_a_planner_that_never_ends_is_cut_off(streamed: bool) -> None:
    @virtual
    async def scenario() -> None:
        stage = Stage([*ONE, asyncio.Event()], streamed=streamed, settings=Settings(run_seconds=7))
        stage.cluster = FakeCluster()
        with pytest.raises(DeadlineError, match="before it had an answer"):
            await stage.run()
        assert now() == pytest.approx(BEGIN + 7 + module._GRACE_S)
        assert stage.failed().error.code == "deadline"
        assert stage.meter.runs[0][0] == "failed"
        assert stage.planner.closed
        assert all(promise.ended for promise in stage.cluster.promises)

    scenario()


@virtual
async def test_a_responder_that_never_ends_is_cut_off() -> None:
    stage = Stage(ONE, responder=FakeResponder(["All ", asyncio.Event()]), settings=Settings(run_seconds=7))
    with pytest.raises(DeadlineError):
        await stage.run()
    assert stage.kinds()[-2:] == ["answer.delta", "run.failed"]
    assert [outcome.status for outcome in stage.meter.tasks] == [Status.DONE]


@virtual
async def test_another_timeout_is_not_told_as_the_runs() -> None:
    stage = Stage([TimeoutError("of a socket")])
    with pytest.raises(TimeoutError):
        await stage.run()
    assert stage.failed().error.code == "internal"
    assert now() == pytest.approx(BEGIN)


@virtual
async def test_a_model_that_came_back_unnoticed_is_found() -> None:
    stage = Stage(ONE)
    stage.controller.selector.fleet = Fleet()
    stage.cluster.fleet = Fleet(frozenset({"test/a"}))
    await stage.run()
    done = stage.events[-1]
    assert isinstance(done, RunDone)
    assert done.outcomes[0].text == "by test/a"


async def test_cards_of_experts_that_were_just_deployed_are_taken_in() -> None:
    stage = Stage()
    new = card("new", "translation", "Echo")
    await stage.controller.refresh([new])
    assert stage.controller.selector.catalog.get(new.id) == new


async def test_it_is_looked_again_while_experts_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STARTING_S", 0.0)
    stage = Stage()
    looks: list[Fleet | Exception] = [
        Fleet(starting=frozenset({"test/a"})),
        OSError("Serve is away for a moment"),
        Fleet(starting=frozenset({"test/a"})),
        Fleet(running=frozenset({"test/a"})),
    ]

    class Changing(FakeCluster):
        async def refresh(self, cards: Sequence[ModelCard] = ()) -> Fleet:
            look = looks.pop(0)
            if isinstance(look, Exception):
                raise look
            return look

    stage.controller.cluster = Changing(answers)
    await stage.controller.refresh()
    watch = stage.controller._watch
    assert watch is not None
    await asyncio.wait_for(watch, 20)
    assert looks == []
    assert stage.controller.selector.fleet.running == {"test/a"}


async def test_what_is_starting_is_told() -> None:
    stage = Stage(settings=Settings(experts=("test/b", "test/a", "test/c")))
    assert stage.controller.starting() == []
    stage.controller.selector.fleet = Fleet(starting=frozenset({"test/a", "test/b", "test/later"}))
    assert stage.controller.starting() == ["test/b", "test/a"], "of those that were deployed with it"
