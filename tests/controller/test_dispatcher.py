"""The dispatcher over experts under the test's control: what is called when, with what, and how tasks end."""

import logging

import pytest

from controller import dispatcher as module
from controller.events import TaskChosen
from controller.outcome import Status
from controller.plan import Plan, Task
from controller.selector import Fleet
from deployments.account import Account
from deployments.errors import ExpertError, InputError, MediaError
from deployments.result import Result
from tests.support.cluster import card
from tests.support.dispatching import CHAIN, DIAMOND, DRAW, ONE, PICTURE, A, B, C, begin, codes, statuses
from tests.support.fakes import (
    BEGIN,
    Called,
    FakeExperts,
    after,
    answers,
    busy,
    died,
    lost,
    now,
    turns,
    virtual,
    wrapped,
)
from tests.support.logs import recorded

# Eager dispatch ----------------------------------------------------------------------------------------


@virtual
async def test_a_chain_is_called_at_once_each_with_the_response_before_it() -> None:
    run = await begin(CHAIN)
    first, second, third = run.experts.calls
    assert (first.name, second.name, third.name) == ("a", "b", "c")
    assert second.upstream == (first.response,)
    assert third.upstream == (second.response,)
    assert third.call.sources == ("<GENERATED>-1",)
    assert third.call.args == {"text": "so: <GENERATED>-1!"}
    assert run.started() == [0], "a task has begun when its inputs are there, not before"
    for called in (first, second, third):
        called.give()
        await turns()
    assert run.started() == run.ends() == [0, 1, 2]
    assert statuses(await run.settled()) == ["done"] * 3
    assert len(run.experts.calls) == 3
    assert not run.experts.stored, "words and data travel in the answer"


@virtual
async def test_a_task_planned_later_gets_the_response_that_is_there_already() -> None:
    run = await begin(ONE)
    run.experts.calls[0].give("early")
    await turns()
    run.dispatcher.dispatch(Task("summarization", 1, {"text": "<GENERATED>-0"}, (0,)))
    await turns()
    assert run.experts.calls[1].upstream == (run.experts.calls[0].response,)
    run.experts.calls[1].give()
    assert statuses(await run.settled()) == ["done", "done"]


@virtual
async def test_a_diamond_runs_its_branches_side_by_side() -> None:
    paint = card("paint", "image-to-image", "Echo")
    run = await begin(DIAMOND, FakeExperts(), [A, B, DRAW, paint])
    first, left, right, last = run.experts.calls
    assert left.upstream == right.upstream == (first.response,)
    assert dict(zip(last.call.sources, last.upstream, strict=True)) == {
        "<GENERATED>-1": left.response,
        "<GENERATED>-2": right.response,
    }
    first.give()
    await turns()
    left.fail(died())
    await turns()
    assert run.experts.names() == ["a", "b", "draw", "paint", "b", "paint"]
    for called in (right, *run.experts.calls[4:]):
        called.give()
    assert statuses(await run.settled()) == ["done"] * 4


@virtual
async def test_a_dependency_without_a_reference_is_waited_for_and_not_sent() -> None:
    wire = [*ONE, {"task": "translation", "id": 1, "dep": [0], "args": {"text": "alone"}}]
    run = await begin(wire)
    assert run.experts.calls[1].upstream == ()
    run.experts.calls[1].give()
    await turns()
    assert run.ends() == [], "it has not ended well before what it waits for has"
    run.experts.calls[0].give()
    assert statuses(await run.settled()) == ["done", "done"]


@virtual
async def test_only_media_go_to_the_store_and_the_account_is_what_it_gave() -> None:
    kept = Account(text="stored", started=1.0, finished=2.0)
    run = await begin(PICTURE, FakeExperts(answers, lambda result: kept))
    drawn, seen = await run.settled()
    assert [source for source, _ in run.experts.stored] == [run.experts.calls[0].response]
    assert (drawn.text, seen.text) == ("stored", "by test/see")
    assert drawn.timings is not None
    assert (drawn.timings.started, drawn.timings.finished) == (1.0, 2.0)


# Fallback ----------------------------------------------------------------------------------------------


@virtual
async def test_dependents_are_called_again_with_the_new_response_while_the_old_call_is_pending() -> None:
    run = await begin(CHAIN)
    first, second, third = run.experts.calls
    first.fail(wrapped(ExpertError("broken")))
    await turns()
    assert run.experts.names() == ["a", "b", "c", "a2", "b", "c"]
    again = run.experts.calls[3:]
    assert again[1].upstream == (again[0].response,)
    assert again[2].upstream == (again[1].response,)
    assert second.response.ended
    assert third.response.ended
    for called in again:
        called.give()
    outcomes = await run.settled()
    assert statuses(outcomes) == ["done"] * 3
    assert [codes(outcome) for outcome in outcomes] == [["expert_failed", None], [None], [None]]


@virtual
async def test_a_dependent_that_finished_on_a_response_that_was_given_up_runs_again() -> None:
    """The picture could not be stored: what was said about it is not said of the next one."""
    first = iter([None])

    def keep(result: Result) -> Account | None:
        return next(first, Account.of(result))

    run = await begin(PICTURE, FakeExperts(answers, keep))
    assert run.experts.names() == ["draw", "see"]
    assert run.ends() == [], "the dependent has its answer, but the picture is not stored yet"
    run.experts.stored[0][1].fail(wrapped(MediaError("no pixels")))
    drawn, seen = await run.settled()
    assert run.experts.names() == ["draw", "see", "draw2", "see"]
    assert run.ends() == [0, 1]
    assert codes(drawn) == ["unsupported_media", None]
    assert codes(seen) == [None]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (wrapped(InputError("not this")), "invalid_input"),
        (wrapped(ExpertError("broken")), "expert_failed"),
        (busy(), "busy"),
        (died(), "replica_died"),
        (wrapped(RuntimeError("secret words")), "internal"),
        (RuntimeError("secret words"), "internal"),
    ],
)
def test_the_next_by_rank_takes_over(error: Exception, code: str) -> None:
    @virtual
    async def scenario() -> None:
        def script(called: Called) -> Result | BaseException:
            return error if called.name == "a" else answers(called)

        run = await begin(ONE, FakeExperts(script))
        (outcome,) = await run.settled()
        assert run.experts.names() == ["a", "a2"]
        assert codes(outcome) == [code, None]
        assert "secret" not in outcome.model_dump_json()
        assert outcome.choice is not None
        assert outcome.choice.model == "test/a2"
        assert outcome.choice.candidates == ("test/a", "test/a2")
        assert outcome.choice.reason == "test/a failed; the next by rank took over"
        told = [event.choice for event in run.events if isinstance(event, TaskChosen)]
        assert [choice.model for choice in told] == ["test/a", "test/a2"]
        assert told[0].reason == "most downloads among the models that can run here"
        assert told[1].reason == f"test/a failed ({code}); the next took over"

    scenario()


@virtual
async def test_candidates_are_tried_in_the_order_of_the_selection() -> None:
    named = Task("fill-mask", 0, {"text": "x"}, model="test/a2")
    fake = FakeExperts(lambda called: wrapped(ExpertError(called.name)))
    run = await begin([], fake)
    run.dispatcher.dispatch(named)
    (outcome,) = await run.settled()
    assert run.experts.names() == ["a2", "a"]
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert outcome.error.message == "a", "the last failure is the task's"
    assert outcome.choice is not None
    assert outcome.choice.model == "test/a"


@virtual
async def test_a_single_expert_whose_replica_died_is_tried_once_more() -> None:
    run = await begin(ONE, FakeExperts(lambda called: died()), [A])
    (outcome,) = await run.settled()
    assert run.experts.names() == ["a", "a"]
    assert codes(outcome) == ["replica_died"] * 2
    assert outcome.status is Status.FAILED
    assert outcome.choice is not None
    assert outcome.choice.reason == "the only model that can run this task here"


@virtual
async def test_a_single_expert_that_fails_is_not_tried_again() -> None:
    run = await begin(ONE, FakeExperts(lambda called: wrapped(ExpertError("broken"))), [A])
    (outcome,) = await run.settled()
    assert codes(outcome) == ["expert_failed"]


@virtual
async def test_where_two_can_run_it_the_second_takes_over_from_the_dead_and_is_revived_once() -> None:
    run = await begin(ONE, FakeExperts(lambda called: died()))
    (outcome,) = await run.settled()
    assert run.experts.names() == ["a", "a2", "a2"]
    assert codes(outcome) == ["replica_died"] * 3


# Causes ------------------------------------------------------------------------------------------------


@virtual
async def test_what_needs_a_failed_task_is_skipped_with_the_first_cause() -> None:
    free = {"task": "translation", "id": 3, "args": {"text": "free"}}

    def script(called: Called) -> Result | BaseException:
        return wrapped(ExpertError("the model is broken")) if called.call.id == 0 else answers(called)

    run = await begin([*CHAIN, free], FakeExperts(script))
    outcomes = await run.settled()
    assert statuses(outcomes) == ["failed", "skipped", "skipped", "done"]
    cause = "Task 0 (fill-mask), which it needs, failed: the model is broken"
    for skipped in outcomes[1:3]:
        assert skipped.error is not None
        assert (skipped.error.code, skipped.error.message) == ("upstream_failed", cause)
        assert skipped.attempts == ()
        assert skipped.choice is None
    assert all(promise.ended for promise in run.experts.promises)


@virtual
async def test_a_task_that_no_model_can_run_fails_with_what_to_do_and_its_dependents_are_skipped() -> None:
    run = await begin(CHAIN, FakeExperts(answers), [B, C])
    first, second, third = await run.settled()
    assert first.error is not None
    assert first.error.code == "no_expert"
    assert first.choice is None
    assert run.experts.calls == []
    assert second.error is not None
    assert second.error == third.error
    assert second.error.message.startswith("Task 0 (fill-mask), which it needs, failed: ")


@pytest.mark.parametrize(
    "away", [{"test/a", "test/a2"}, {"test/a", "test/a2", "test/b", "test/b2", "test/c"}]
)
def test_what_may_have_come_back_is_looked_for_once_for_all(away: set[str]) -> None:
    @virtual
    async def scenario() -> None:
        run = await begin([], FakeExperts(answers))
        found = run.selector.fleet
        run.selector.fleet = Fleet(found.running - away)
        looks: list[int] = []

        async def look() -> None:
            looks.append(len(run.events))
            await turns(3)
            run.selector.fleet = found

        run.selector.look = look
        for task in Plan.parse(CHAIN).tasks:
            run.dispatcher.dispatch(task)
        assert statuses(await run.settled()) == ["done"] * 3
        assert len(looks) == 1

    scenario()


@pytest.mark.parametrize(
    ("error", "looks"), [(died(), 1), (wrapped(InputError("not this")), 0), (busy(), 0), (lost(), 0)]
)
def test_after_a_death_the_fleet_is_looked_up_anew(error: Exception, looks: int) -> None:
    @virtual
    async def scenario() -> None:
        seen: list[float] = []

        async def look() -> None:
            seen.append(now())

        def script(called: Called) -> Result | BaseException:
            return error if called.name == "a" else answers(called)

        run = await begin([], FakeExperts(script))
        run.selector.look = look
        for task in Plan.parse(ONE).tasks:
            run.dispatcher.dispatch(task)
        with recorded(module.logger, logging.WARNING) as records:
            await run.settled()
            await turns()
        assert len(seen) == looks
        assert len(records) == 1
        assert "run run task 0 (fill-mask) failed on test/a" in records[0].getMessage()

    scenario()


@virtual
async def test_a_task_whose_dependency_was_never_planned_fails_at_once() -> None:
    run = await begin([])
    run.dispatcher.dispatch(Task("fill-mask", 1, {"text": "<GENERATED>-0"}, (0,)))
    (outcome,) = await run.settled()
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert outcome.error.code == "internal"


@virtual
async def test_what_the_outcome_says_of_times_is_in_order() -> None:
    run = await begin(CHAIN, task_seconds=60)
    for called in run.experts.calls:
        await after(10)
        called.give()
        await turns()
    outcomes = await run.settled()
    for number, outcome in enumerate(outcomes):
        timings = outcome.timings
        assert timings is not None
        assert timings.dispatched == pytest.approx(BEGIN)
        assert timings.started == timings.finished == pytest.approx(BEGIN + 10.0 * (number + 1))
        assert timings.settled == pytest.approx(BEGIN + 10.0 * (number + 1))
        assert outcome.attempts[0].seconds == pytest.approx(10.0), "without the wait for its inputs"
        assert outcome.args == CHAIN[number]["args"]
