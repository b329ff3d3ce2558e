"""How tasks end over the dispatcher: deadlines, cancel, lost objects, files that are not there."""

import asyncio

import pytest

from controller.events import TaskDone
from controller.outcome import Status
from controller.plan import Plan
from deployments.account import Account
from deployments.errors import ExpertError, FullError, MediaError
from deployments.result import Result
from tests.support.cluster import card
from tests.support.dispatching import CHAIN, ONE, PICTURE, A, B, C, begin, codes, statuses
from tests.support.fakes import (
    BEGIN,
    Called,
    FakeExperts,
    after,
    answers,
    died,
    lost,
    now,
    turns,
    virtual,
    wrapped,
)

EDGE = card("edge", "canny-control", "Echo")
SEES = card("sees", "image-to-text", "Echo", downloads=9)
SEES_TOO = card("sees-too", "image-to-text", "Echo")
EDGES = [
    {"task": "canny-control", "id": 0, "args": {"image": "/images/x.png"}},
    {"task": "image-to-text", "id": 1, "args": {"image": "/images/x.png"}},
    {"task": "fill-mask", "id": 2, "args": {"text": "<GENERATED>-1"}},
]

# Deadlines ---------------------------------------------------------------------------------------------


@virtual
async def test_a_tasks_deadline_begins_when_its_inputs_are_there() -> None:
    run = await begin(CHAIN, cards=[A, B, C], task_seconds=60)
    for called in run.experts.calls:
        await after(59)
        called.give()
        await turns()
    assert statuses(await run.settled()) == ["done"] * 3
    assert now() == pytest.approx(BEGIN + 3 * 59)
    assert len(run.experts.calls) == 3


@virtual
async def test_a_task_over_its_deadline_goes_to_the_next_expert_and_the_call_is_given_up() -> None:
    def script(called: Called) -> Result | None:
        return None if called.name == "a" else answers(called)

    run = await begin(CHAIN, FakeExperts(script), task_seconds=60)
    outcomes = await run.settled()
    assert now() == pytest.approx(BEGIN + 60)
    assert statuses(outcomes) == ["done"] * 3
    assert codes(outcomes[0]) == ["deadline", None]
    (failed,) = (attempt.failure for attempt in outcomes[0].attempts if attempt.failure)
    assert failed.message == "test/a was not done within 60 s; try a smaller input."
    assert run.experts.named("a")[0].response.cancelled


@virtual
async def test_the_runs_deadline_ends_every_task_and_begins_nothing_new() -> None:
    run = await begin(CHAIN, task_seconds=60, run_seconds=10)
    first, *rest = await run.settled()
    assert now() == pytest.approx(BEGIN + 10)
    assert run.experts.names() == ["a", "b", "c"], "no other candidate is called"
    assert first.status is Status.FAILED
    assert first.error is not None
    assert first.error.code == "deadline"
    assert first.error.message == "The run's time was over before test/a was done; ask for less at once."
    for outcome in rest:
        assert outcome.status in {Status.SKIPPED, Status.FAILED}
        assert outcome.error is not None
        assert outcome.error.code in {"upstream_failed", "deadline"}
    assert run.experts.calls[0].response.cancelled
    assert all(promise.ended for promise in run.experts.promises)


@virtual
async def test_storing_counts_towards_the_deadline() -> None:
    run = await begin(PICTURE[:1], FakeExperts(answers, lambda result: None), task_seconds=60, run_seconds=70)
    (outcome,) = await run.settled()
    assert now() == pytest.approx(BEGIN + 70)
    assert codes(outcome) == ["deadline", "deadline"]
    assert [promise.cancelled for _, promise in run.experts.stored] == [True, True]


# Cancel ------------------------------------------------------------------------------------------------


@virtual
async def test_cancel_gives_up_every_call_and_every_task_tells_its_end() -> None:
    run = await begin(CHAIN)
    run.experts.calls[0].give()
    await turns()
    await run.dispatcher.cancel()
    assert statuses(run.dispatcher.outcomes()) == ["done", "cancelled", "cancelled"]
    assert run.ends() == [0, 1, 2]
    assert [called.response.cancelled for called in run.experts.calls] == [False, True, True]
    for outcome in run.dispatcher.outcomes()[1:]:
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.message) == ("cancelled", "The run was cancelled.")


@virtual
async def test_cancel_reaches_tasks_that_have_not_begun() -> None:
    run = await begin([])
    for task in Plan.parse(CHAIN).tasks:
        run.dispatcher.dispatch(task)
    await run.dispatcher.cancel()
    assert statuses(run.dispatcher.outcomes()) == ["cancelled"] * 3
    assert sorted(run.ends()) == [0, 1, 2]
    assert run.experts.calls == []


@virtual
async def test_cancel_reaches_what_is_being_stored_and_files_on_their_way() -> None:
    run = await begin(EDGES[:1], FakeExperts(answers, lambda result: None, slow_files=True), [EDGE])
    ((_, file),) = run.experts.fetched
    ((_, storing),) = run.experts.stored
    await run.dispatcher.cancel()
    assert file.cancelled
    assert storing.cancelled
    assert run.experts.calls[0].response.cancelled


@virtual
async def test_cancel_twice_or_after_the_end_changes_nothing() -> None:
    run = await begin(ONE, FakeExperts(answers))
    (outcome,) = await run.settled()
    await run.dispatcher.cancel()
    await run.dispatcher.cancel()
    assert run.dispatcher.outcomes() == (outcome,)
    assert run.ends() == [0]


@virtual
async def test_cancel_while_a_call_is_being_given_up_is_not_lost() -> None:
    """The attempt has failed and its call is being cancelled: the next candidate must not be called."""
    run = await begin(PICTURE[:1], FakeExperts(answers, lambda result: None), task_seconds=60)
    ((_, storing),) = run.experts.stored
    cancelling: list[asyncio.Task[None]] = []
    storing.on_cancel = lambda: cancelling.append(asyncio.create_task(run.dispatcher.cancel()))
    outcomes = await asyncio.wait_for(asyncio.gather(run.dispatcher.settle(), return_exceptions=True), 100)
    await cancelling[0]
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert run.experts.names() == ["draw"]
    assert statuses(run.dispatcher.outcomes()) == ["cancelled"]
    assert now() == pytest.approx(BEGIN + 60)


@virtual
async def test_an_upstream_call_given_up_before_it_had_a_replica_is_not_the_runs_cancel() -> None:
    """Serve tells it as CancelledError to whoever waits for the dependent's call."""
    run = await begin(CHAIN, task_seconds=60)
    for called in run.experts.calls:
        called.response.assigned = False
    await after(61)
    assert run.experts.names() == ["a", "b", "c", "a2", "b", "c"]
    for called in run.experts.calls[3:]:
        called.give()
    outcomes = await run.settled()
    assert statuses(outcomes) == ["done"] * 3
    assert [codes(outcome) for outcome in outcomes] == [["deadline", None], [None], [None]]


@virtual
async def test_a_call_that_somebody_else_cancelled_fails_and_the_next_takes_over() -> None:
    run = await begin(ONE)
    run.experts.calls[0].response.future.cancel()
    await turns()
    run.experts.calls[1].give()
    (outcome,) = await run.settled()
    assert codes(outcome) == ["cancelled", None]
    assert outcome.status is Status.DONE


@virtual
async def test_when_the_one_who_waits_is_cancelled_everything_is() -> None:
    run = await begin(CHAIN)
    waiting = asyncio.create_task(run.dispatcher.settle())
    await turns()
    waiting.cancel()
    await asyncio.wait({waiting})
    await run.dispatcher.cancel()
    assert statuses(run.dispatcher.outcomes()) == ["cancelled"] * 3
    assert all(called.response.cancelled for called in run.experts.calls)


# Lost objects ------------------------------------------------------------------------------------------


@virtual
async def test_what_died_with_a_node_is_made_once_more_and_the_same_model_goes_on() -> None:
    run = await begin(CHAIN)
    for called in run.experts.calls[:2]:
        called.give()
        await turns()
    run.experts.calls[2].fail(lost())
    await turns()
    assert run.experts.names() == ["a", "b", "c", "a", "b", "c"]
    first, second, third = run.experts.calls[3:]
    assert second.upstream == (first.response,)
    assert third.upstream == (second.response,)
    for called in (first, second, third):
        called.give("again")
    outcomes = await run.settled()
    assert [codes(outcome) for outcome in outcomes] == [[None], [None], ["input_lost", None]]
    assert outcomes[0].text == "by test/a", "the outcome told stays as it was told"
    assert sum(isinstance(event, TaskDone) for event in run.events) == 3


@virtual
async def test_what_is_lost_a_second_time_is_not_made_again() -> None:
    def script(called: Called) -> Result | BaseException:
        return lost() if called.name == "c" else answers(called)

    run = await begin(CHAIN, FakeExperts(script))
    outcomes = await run.settled()
    assert run.experts.names() == ["a", "b", "c", "a", "b", "c", "c"], "made once more, then revived once"
    assert statuses(outcomes) == ["done", "done", "failed"]
    assert outcomes[2].error is not None
    assert outcomes[2].error.code == "input_lost"


@virtual
async def test_a_replicas_death_alone_makes_nothing_anew() -> None:
    run = await begin(CHAIN[:2], cards=[A, B])
    run.experts.calls[0].give()
    await turns()
    run.experts.calls[1].fail(died())
    await turns()
    assert run.experts.names() == ["a", "b", "b"]
    assert run.experts.calls[2].upstream == (run.experts.calls[0].response,)
    run.experts.calls[2].give()
    assert statuses(await run.settled()) == ["done", "done"]


@virtual
async def test_a_result_made_once_more_for_nobody_is_given_up() -> None:
    for ends_by_cancel in (True, False):
        run = await begin(CHAIN[:2], cards=[A, B], task_seconds=60)
        run.experts.calls[0].give()
        await turns()
        run.experts.calls[1].fail(lost())
        await turns()
        remade = run.experts.calls[2].response
        await (run.dispatcher.cancel() if ends_by_cancel else run.settled())
        assert remade.cancelled
        assert statuses(run.dispatcher.outcomes()) == ["done", "cancelled" if ends_by_cancel else "failed"]


# Files -------------------------------------------------------------------------------------------------


@virtual
async def test_a_file_is_brought_once_for_all_tasks_of_a_run() -> None:
    run = await begin(EDGES, FakeExperts(answers), [EDGE, SEES, A])
    assert statuses(await run.settled()) == ["done"] * 3
    ((path, file),) = run.experts.fetched
    assert path == "/images/x.png"
    assert [called.upstream for called in run.experts.calls[:2]] == [(file,), (file,)]
    assert run.experts.calls[0].call.sources == ("/images/x.png",)
    assert run.experts.calls[2].upstream != (file,)


@virtual
async def test_a_file_that_is_not_there_ends_its_task_at_once() -> None:
    fake = FakeExperts(answers, missing={"/images/x.png"})
    run = await begin(EDGES[1:], fake, [SEES, SEES_TOO, A])
    seen, filled = await run.settled()
    assert run.experts.names() == ["sees", "a"], "no other candidate could find it either"
    assert codes(seen) == ["not_found"]
    assert seen.status is Status.FAILED
    assert filled.status is Status.SKIPPED
    assert now() == pytest.approx(BEGIN)


@virtual
async def test_a_file_that_died_with_a_node_is_brought_again() -> None:
    first = iter([died()])

    def script(called: Called) -> Result | BaseException:
        return next(first, answers(called))

    run = await begin(EDGES[:1], FakeExperts(script), [EDGE])
    assert statuses(await run.settled()) == ["done"]
    assert [path for path, _ in run.experts.fetched] == ["/images/x.png"] * 2


# Storing -----------------------------------------------------------------------------------------------


@virtual
async def test_a_result_that_cannot_be_stored_is_made_by_the_next() -> None:
    first = iter([wrapped(MediaError("no pixels"))])

    def keep(result: Result) -> Account | BaseException:
        return next(first, Account.of(result))

    run = await begin(PICTURE, FakeExperts(answers, keep))
    drawn, seen = await run.settled()
    assert codes(drawn) == ["unsupported_media", None]
    assert drawn.text == "by test/draw2"
    assert run.experts.calls[-1].upstream == (run.experts.named("draw2")[0].response,)
    assert seen.status is Status.DONE


@virtual
async def test_a_store_that_died_is_asked_again_and_the_model_is_not() -> None:
    first = iter([died()])

    def keep(result: Result) -> Account | BaseException:
        return next(first, Account.of(result))

    run = await begin(PICTURE, FakeExperts(answers, keep))
    drawn, seen = await run.settled()
    assert run.experts.names() == ["draw", "see"]
    assert len(run.experts.stored) == 2
    assert codes(drawn) == codes(seen) == [None]


@virtual
async def test_a_store_that_stays_away_fails_the_attempt() -> None:
    run = await begin(PICTURE[:1], FakeExperts(answers, lambda result: died()))
    (drawn,) = await run.settled()
    assert run.experts.names() == ["draw", "draw2", "draw2"], "the last is revived once"
    assert len(run.experts.stored) == 6
    assert codes(drawn) == ["replica_died"] * 3


@virtual
async def test_where_the_storage_is_full_no_other_model_works_in_vain() -> None:
    run = await begin(PICTURE[:1], FakeExperts(answers, lambda result: wrapped(FullError("full"))))
    (drawn,) = await run.settled()
    assert run.experts.names() == ["draw"]
    assert codes(drawn) == ["storage_full"]


@virtual
async def test_where_nothing_can_be_stored_the_dependents_are_skipped() -> None:
    run = await begin(PICTURE, FakeExperts(answers, lambda result: wrapped(ExpertError("disk full"))))
    drawn, seen = await run.settled()
    assert drawn.status is Status.FAILED
    assert seen.status is Status.SKIPPED
    assert seen.error is not None
    assert seen.error.message == "Task 0 (text-to-image), which it needs, failed: disk full"
