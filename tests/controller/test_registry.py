"""The registry of runs: readers, keys, cancellation, and what is kept."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator

import pytest

from controller.errors import (
    IdempotencyError,
    PlanError,
    RequestError,
    StoreError,
    TaskError,
    TooManyRunsError,
    UnknownRunError,
)
from controller.events import AnswerDelta, Event, RunCreated, RunDone, RunFailed
from controller.registry import Events, Kept, Key, Runs, State, Step, bare
from tests.support.fakes import after, now, turns, virtual, wrapped


class Talk:
    """A run whose events a test gives one by one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.given: asyncio.Queue[str | None] = asyncio.Queue()
        self.closed = False
        self._error = error

    async def events(self, run: str) -> AsyncGenerator[Event]:
        try:
            yield RunCreated(run=run, brain="test")
            while (text := await self.given.get()) is not None:
                yield AnswerDelta(run=run, text=text)
            if self._error is not None:
                raise self._error
            yield RunDone(run=run, answer="")
        finally:
            self.closed = True

    def say(self, *words: str | None) -> None:
        for word in words:
            self.given.put_nowait(word)


def ends(*words: str) -> Events:
    """A run that says this and is done."""
    talk = Talk()
    talk.say(*words, None)
    return talk.events


async def _numbers(run: Kept, known: int = -1) -> list[int]:
    return [step.number async for step in run.follow(known) if step is not None]


@virtual
async def test_every_reader_reads_it_all_from_where_it_stands() -> None:
    talk = Talk()
    run = Runs().start(talk.events, Kept("r"))
    early = asyncio.create_task(_numbers(run))
    await turns()
    talk.say("a", "b")
    await turns()
    late = asyncio.create_task(_numbers(run, 1))
    talk.say("c", None)
    assert await early == [0, 1, 2, 3, 4]
    assert await late == [2, 3, 4]
    assert await _numbers(run, 3) == [4]
    assert await _numbers(run, 99) == []
    assert (run.state, run.steps[-1].type, talk.closed) == (State.DONE, "run.done", True)
    assert [step.event.run for step in run.steps] == ["r"] * 5
    assert run.size == sum(len(step.data) for step in run.steps)


@virtual
async def test_a_slow_reader_holds_nobody_up() -> None:
    talk = Talk()
    run = Runs().start(talk.events, Kept("r"))
    slow = run.follow()
    await anext(slow)
    talk.say(*["x"] * 100, None)
    await run.settled()
    assert len(run.steps) == 102
    assert [step.number async for step in slow if step] == list(range(1, 102))


@virtual
async def test_a_reader_hears_that_nothing_happened() -> None:
    talk = Talk()
    run = Runs().start(talk.events, Kept("r"))
    reading = run.follow(beat_s=15)
    assert isinstance(await anext(reading), Step)
    begun = now()
    assert await anext(reading) is None
    assert await anext(reading) is None
    assert now() - begun == pytest.approx(30)
    talk.say("x")
    step = await anext(reading)
    assert step is not None
    assert step.number == 1


@virtual
async def test_a_run_is_cancelled_once_and_stays_so() -> None:
    talk = Talk()
    run = Runs().start(talk.events, Kept("r", background=True))
    await turns()
    await asyncio.gather(run.cancel(), run.cancel())
    assert (run.state, talk.closed) == (State.CANCELLED, True)
    last = run.steps[-1].event
    assert isinstance(last, RunFailed)
    assert last.error.code == "cancelled"
    count = len(run.steps)
    await run.cancel()
    assert len(run.steps) == count


@virtual
async def test_a_run_that_has_not_begun_can_be_cancelled() -> None:
    run = Runs().start(Talk().events, Kept("r"))
    await run.cancel()
    assert (run.state, [step.type for step in run.steps]) == (State.CANCELLED, ["run.failed"])


@virtual
async def test_a_run_that_has_ended_stays_as_it_was() -> None:
    run = Runs().start(ends(), Kept("r"))
    await run.settled()
    await run.cancel()
    with run.attended():
        pass
    assert (run.state, run.abandoned) == (State.DONE, False)


@virtual
async def test_the_last_one_to_leave_gives_it_up() -> None:
    talk = Talk()
    run = Runs().start(talk.events, Kept("r"))
    await turns()
    with run.attended():
        with run.attended():
            pass
        await turns()
        assert run.state is State.RUNNING
    await run.settled()
    assert (run.state, run.abandoned, talk.closed) == (State.CANCELLED, True, True)


@virtual
async def test_in_the_background_it_goes_on() -> None:
    talk = Talk()
    run = Runs().start(talk.events, Kept("r", background=True))
    with run.attended():
        await turns()
    await after(1)
    assert run.ended is None
    talk.say(None)
    await run.settled()
    assert run.state is State.DONE


@virtual
async def test_a_failure_is_told_even_where_the_run_did_not() -> None:
    talk = Talk(StoreError("down"))
    talk.say(None)
    run = Runs().start(talk.events, Kept("r"))
    await run.settled()
    assert run.state is State.FAILED
    assert isinstance(run.error, StoreError)
    last = run.steps[-1].event
    assert isinstance(last, RunFailed)
    assert last.error.code == "store"


# Keys ----------------------------------------------------------------------------------------------------


@virtual
async def test_a_key_finds_its_run_and_no_other() -> None:
    runs = Runs()
    key = Key.of("mine", "body")
    assert runs.known(key) is None
    assert runs.known(None) is None
    run = runs.start(ends(), Kept("r", key=key))
    assert runs.known(Key.of("mine", "body")) is run
    assert runs.known(Key.of("other", "body")) is None
    with pytest.raises(IdempotencyError, match="another request"):
        runs.known(Key.of("mine", "other body"))
    await run.settled()
    assert runs.known(key) is run


@pytest.mark.parametrize(
    ("error", "kept"),
    [(RequestError("as asked"), True), (StoreError("down"), False), (RuntimeError("a fault"), False)],
)
async def test_a_fault_of_the_servers_leaves_the_key_free(error: Exception, kept: bool) -> None:
    runs, key, talk = Runs(), Key.of("mine", "body"), Talk(error)
    talk.say(None)
    run = runs.start(talk.events, Kept("r", key=key))
    await run.settled()
    assert (runs.known(key) is run) is kept
    assert runs.get("r") is run


@virtual
async def test_a_run_that_was_left_may_be_asked_for_again_under_its_key() -> None:
    runs, key = Runs(), Key.of("mine", "body")
    run = runs.start(Talk().events, Kept("r", key=key))
    with run.attended():
        await turns()
    assert run.ended is None
    assert runs.known(key) is None, "at once, though it has not ended yet"
    await run.settled()
    assert runs.known(key) is None
    cancelled = runs.start(Talk().events, Kept("s", key=key))
    await cancelled.cancel()
    assert runs.known(key) is cancelled


# What is kept --------------------------------------------------------------------------------------------


@virtual
async def test_the_oldest_that_ended_goes_first() -> None:
    runs = Runs(max_runs=3)
    talk = Talk()
    running = runs.start(talk.events, Kept("running", key=Key.of("a", "")))
    for name in ("one", "two", "three"):
        await runs.start(ends(), Kept(name, key=Key.of(name, ""))).settled()
    assert [run.id for run in runs.latest(9)] == ["three", "two", "running"]
    assert [run.id for run in runs.latest(1)] == ["three"]
    with pytest.raises(UnknownRunError, match="GET /v1/runs"):
        runs.get("one")
    assert runs.known(Key.of("one", "other")) is None
    talk.say(None)
    await running.settled()
    await runs.start(ends(), Kept("four")).settled()
    assert [run.id for run in runs.latest(9)] == ["four", "three", "two"]


@virtual
async def test_many_bytes_push_out_the_oldest() -> None:
    runs = Runs(max_bytes=3000)
    for name in "abc":
        await runs.start(ends("x" * 1000), Kept(name)).settled()
    assert [run.id for run in runs.latest(9)] == ["c", "b"]


@virtual
async def test_so_many_at_once_and_no_more() -> None:
    runs = Runs(max_running=2)
    talks = [Talk(), Talk()]
    first, _ = (runs.start(talk.events, Kept(str(n))) for n, talk in enumerate(talks))
    with pytest.raises(TooManyRunsError):
        runs.start(ends(), Kept("over"))
    talks[0].say(None)
    await first.settled()
    await runs.start(ends(), Kept("next")).settled()


class Held:
    """Something large that a frame holds, a conversation for instance."""


@virtual
@pytest.mark.parametrize("kind", [PlanError, RuntimeError])
async def test_a_run_that_failed_holds_none_of_the_frames_it_went_through(kind: type[Exception]) -> None:
    seen: list[weakref.ref[Held]] = []

    async def events(run: str) -> AsyncGenerator[Event]:
        held = Held()
        seen.append(weakref.ref(held))
        yield RunCreated(run=run, brain="test")
        try:
            raise ValueError(held)
        except ValueError as error:
            raise kind("no") from error

    run = Runs().start(events, Kept("r"))
    await run.settled()
    await turns()
    gc.collect()
    assert [ref() for ref in seen] == [None]
    assert run.state is State.FAILED
    assert isinstance(run.error, PlanError if kind is PlanError else None.__class__)


def test_an_error_is_kept_with_all_that_it_tells() -> None:
    kept = bare(TaskError("later", "busy", 429, 3.5))
    assert isinstance(kept, TaskError)
    assert (kept.message, str(kept), kept.code, kept.status, kept.wait_s) == (
        "later",
        "later",
        "busy",
        429,
        3.5,
    )
    assert bare(wrapped(RequestError("no", "field"))).__dict__ == {"message": "no", "param": "field"}
    assert bare(RuntimeError("x")) is None


@virtual
async def test_events_are_counted_in_bytes() -> None:
    run = Runs().start(ends("\U0001f642" * 100), Kept("r"))
    await run.settled()
    assert (
        run.size == sum(len(step.data.encode()) for step in run.steps) > sum(len(s.data) for s in run.steps)
    )
