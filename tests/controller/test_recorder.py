"""The recorder: what is written before what is told, and what is told where nothing can be written."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import pytest

from controller.errors import OverloadedError, PlanError
from controller.events import AnswerDelta, Event, PlanDone, PlanTask, RunCreated, RunDone, RunFailed
from controller.failure import failure
from controller.recorder import NOT_KEPT, Recorder
from controller.writer import MAX_BYTES, PATIENCE_S, Writer
from deployments.errors import HistoryError
from deployments.history.records import Begun, Ended, Step, Tasked
from tests.support.fakes import after, now, turns, virtual
from tests.support.histories import Held, begun

RUN = "run-1"
PLAN = {"task": "fill-mask", "id": 0, "dep": [-1], "args": {"text": "hello"}}
BEGIN: list[Event] = [RunCreated(run=RUN, brain="test"), PlanTask(run=RUN, task=PLAN)]
PLANNED: list[Event] = [*BEGIN, PlanDone(run=RUN, plan=[PLAN])]
DONE = RunDone(run=RUN, answer="All done.")


class Source:
    """The steps of a run, given by the test."""

    def __init__(self, *events: Event | Exception | None) -> None:
        self.given: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        self.closed = False
        for event in events:
            self.given.put_nowait(event)

    async def events(self) -> AsyncGenerator[Event]:
        try:
            while (event := await self.given.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed = True


def recorder(history: Held) -> Recorder:
    """A recorder over a history under control."""
    return Recorder(cast("Any", history))


async def _read(
    recording: Recorder, source: Source, told: list[Event], first: Begun | None = None
) -> list[Event]:
    async with aclosing(recording.keep(source.events(), first or begun(RUN))) as events:
        async for event in events:
            told.append(event)  # noqa: PERF401 - the test looks while it goes on
    return told


def kinds(records: list[Any]) -> list[str]:
    return [record.type if isinstance(record, Step) else type(record).__name__ for record in records]


@virtual
async def test_the_beginning_is_written_before_the_first_step_is_told() -> None:
    history, told = Held(), list[Event]()
    history.open.clear()
    source = Source(*PLANNED, DONE, None)
    reading = asyncio.create_task(_read(recorder(history), source, told))
    await after(1)
    assert (told, history.asked) == ([], 1)
    history.open.set()
    assert [event.type for event in await reading] == ["run.created", "plan.task", "plan.done", "run.done"]
    assert isinstance(history.records[0], Begun)
    assert history.records[0].instance == history.interrupted[0]


@virtual
async def test_the_end_is_written_before_it_is_told() -> None:
    history, told = Held(), list[Event]()
    source = Source(*PLANNED)
    reading = asyncio.create_task(_read(recorder(history), source, told))
    await after(1)
    assert [event.type for event in told] == ["run.created", "plan.task", "plan.done"]
    history.open.clear()
    source.given.put_nowait(DONE)
    await after(1)
    assert told[-1].type == "plan.done"
    history.open.set()
    source.given.put_nowait(None)
    assert (await reading)[-1] == DONE
    end = history.records[-1]
    assert isinstance(end, Ended)
    assert (end.state, end.answer, end.plan) == ("done", "All done.", [PLAN])


@virtual
async def test_steps_hold_nobody_up_and_go_in_groups() -> None:
    history, told = Held(), list[Event]()
    source = Source(*PLANNED)
    reading = asyncio.create_task(_read(recorder(history), source, told))
    await after(1)
    history.open.clear()
    groups = len(history.groups)
    for number in range(50):
        source.given.put_nowait(AnswerDelta(run=RUN, text=str(number)))
    await turns()
    assert len(told) == 53, "told, though nothing of it is written"
    history.open.set()
    await after(1)
    assert len(history.groups) == groups + 1
    source.given.put_nowait(None)
    await reading
    numbers = [record.number for record in history.records if isinstance(record, Step)]
    assert numbers == list(range(53))


@virtual
async def test_many_runs_share_each_group() -> None:
    history = Held()
    recording = recorder(history)
    runs = [
        _read(
            recording,
            Source(RunCreated(run=name, brain="x"), RunDone(run=name, answer=""), None),
            [],
            begun(name),
        )
        for name in map(str, range(100))
    ]
    await asyncio.gather(*runs)
    assert sum(isinstance(record, Ended) for record in history.records) == 100
    assert len(history.groups) <= 4


@virtual
async def test_what_a_run_plans_and_makes_is_told_apart() -> None:
    history = Held()
    await _read(recorder(history), Source(*PLANNED, DONE, None), [])
    (task,) = [record for record in history.records if isinstance(record, Tasked)]
    assert (task.id, task.task, task.wire) == (0, "fill-mask", PLAN)


@virtual
async def test_a_run_that_is_closed_is_cancelled() -> None:
    history = Held()
    source = Source(*PLANNED)
    async with aclosing(recorder(history).keep(source.events(), begun(RUN))) as events:
        async for event in events:
            if isinstance(event, PlanDone):
                break
    assert source.closed
    end = history.records[-1]
    assert isinstance(end, Ended)
    assert (end.state, end.error) == ("cancelled", "cancelled")


@virtual
async def test_a_run_whose_reader_is_cancelled_is_cancelled() -> None:
    history, told = Held(), list[Event]()
    reading = asyncio.create_task(_read(recorder(history), Source(*PLANNED), told))
    await after(1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert kinds(history.records)[-2:] == ["run.failed", "Ended"]


@virtual
async def test_a_run_that_fails_is_written_once() -> None:
    error = PlanError("No task can run.")
    history, told = Held(), list[Event]()
    with pytest.raises(PlanError):
        await _read(recorder(history), Source(*BEGIN, RunFailed(run=RUN, error=failure(error)), error), told)
    assert told[-1].type == "run.failed"
    ends = [record for record in history.records if isinstance(record, Ended)]
    assert [(end.state, end.error) for end in ends] == [("failed", "invalid_plan")]
    with pytest.raises(ValueError, match="inner"):
        await _read(recorder(history), Source(*BEGIN, ValueError("inner words")), told)
    end = history.records[-1]
    assert isinstance(end, Ended)
    assert (end.state, end.error) == ("failed", "internal")
    assert not [step for step in history.records if isinstance(step, Step) and "inner words" in step.data]


@virtual
async def test_what_is_not_let_in_is_not_written() -> None:
    error = OverloadedError("too much", 1.0)
    history, told = Held(), list[Event]()
    with pytest.raises(OverloadedError):
        await _read(recorder(history), Source(*BEGIN, RunFailed(run=RUN, error=failure(error)), error), told)
    assert [event.type for event in told] == ["run.created", "plan.task", "run.failed"]
    await after(60)
    assert history.records == []


# A history that is away ------------------------------------------------------------------------------------


@virtual
async def test_an_answer_says_that_it_was_not_kept() -> None:
    history, told = Held(away=True), list[Event]()
    since = now()
    await _read(recorder(history), Source(*PLANNED, DONE, None), told)
    assert PATIENCE_S - 1 <= now() - since <= PATIENCE_S + 1, "the second wait is over with the first"
    end = told[-1]
    assert isinstance(end, RunDone)
    assert (end.answer, end.notes) == (f"All done.\n\n{NOT_KEPT}", (NOT_KEPT,))
    assert told[-2].type == "answer.delta"
    history.away = False
    await after(5)
    assert kinds(history.records)[-1] == "Ended", "what came too late is written all the same"


@virtual
async def test_a_history_that_is_back_in_time_is_noticed_by_nobody() -> None:
    history, told = Held(away=True), list[Event]()
    reading = asyncio.create_task(_read(recorder(history), Source(*PLANNED, DONE, None), told))
    await after(PATIENCE_S / 2)
    history.away = False
    assert (await reading)[-1] == DONE
    assert now() < PATIENCE_S + 1000


@virtual
async def test_nobody_waits_for_a_history_that_is_long_away() -> None:
    history = Held(away=True)
    recording = recorder(history)
    await _read(recording, Source(*PLANNED, DONE, None), [])
    since = now()
    for number in range(20):
        name = f"later-{number}"
        end = RunDone(run=name, answer="")
        told = await _read(recording, Source(RunCreated(run=name, brain="x"), end, None), [], begun(name))
        assert cast("RunDone", told[-1]).notes == (NOT_KEPT,)
    assert now() - since < 1


@virtual
async def test_a_run_in_the_background_is_refused() -> None:
    history = Held(away=True)
    source = Source(*PLANNED, DONE, None)
    with pytest.raises(HistoryError, match="background"):
        await _read(recorder(history), source, [], begun(RUN, background=True))
    assert source.closed
    history.away = False
    await after(5)
    end = history.records[-1]
    assert isinstance(end, Ended)
    assert (end.state, end.error) == ("failed", "history")


@virtual
async def test_a_run_that_the_database_refuses_is_said_to_be_missing() -> None:
    history = Held(refused=frozenset({RUN}))
    told = await _read(recorder(history), Source(*PLANNED, DONE, None), [])
    assert cast("RunDone", told[-1]).notes == (NOT_KEPT,)


@virtual
async def test_what_waits_is_bounded() -> None:
    history = Held(away=True)
    writer = Writer(cast("Any", history), "ingress-1")
    text = "x" * (1 << 20)
    for run in ("a", "b"):
        writer.put([begun(run)])
    for number in range(200):
        writer.put([Step("a", number, "answer.delta", text)])
    writer.put([begun("c")])
    for run in ("a", "b", "c"):
        writer.put([Step(run, 999, "answer.delta", text)])
        writer.put([Ended(run, "done", 1.0)])
    assert writer._bytes <= MAX_BYTES + 1024
    history.away = False
    await after(30)
    ended = [record.run for record in history.records if isinstance(record, Ended)]
    assert ended == ["a", "b", "c"]
    assert sum(isinstance(record, Step) and record.run == "a" for record in history.records) < 70
    assert writer._bytes == 0
    assert not writer._partly
    assert not writer._unknown


@virtual
async def test_an_ingress_that_starts_marks_what_others_left() -> None:
    history = Held(away=True)
    recording = recorder(history)
    recording.start()
    await after(10)
    assert history.interrupted == []
    history.away = False
    await after(5)
    assert history.interrupted == [recording.instance]


@virtual
async def test_nothing_is_written_where_there_is_no_history() -> None:
    source = Source(*PLANNED, DONE, None)
    recording = Recorder()
    recording.start()
    assert await _read(recording, source, []) == [*PLANNED, DONE]
    assert source.closed
