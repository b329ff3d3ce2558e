"""The runs of this process: under way and lately ended, each with its events, for any number of readers.

A run writes its events down and waits for nobody; readers wait for it. What has ended stays as long as there
is room, the latest longest.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from controller.errors import IdempotencyError, TooManyRunsError, UnknownRunError
from controller.events import EVENT, Event, RunFailed
from controller.failure import failure, root
from controller.identity import afresh, caller
from controller.outcome import Failure
from model_catalog.errors import HuggingGPTError

MAX_RUNS = 500
"""The most runs that are kept."""

MAX_BYTES = 64 << 20
"""The most bytes of their events, as JSON, all runs together."""

MAX_RUNNING = 256
"""The most runs at once: as many as requests at once."""

Events = Callable[[str], AsyncGenerator[Event]]
"""Begins a run under an id; closing what it gives cancels the run, down to the models."""


class State(StrEnum):
    """Where a run is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


OPENING_S = 0.05
"""How long who begins a run waits at most for what tells whether it was let in, in seconds."""

_OPENING = frozenset({"run.created", "plan.task", "run.failed"})
"""Events behind which it may still turn out that a run was not let in."""

_ENDS = {"run.done": State.DONE, "run.failed": State.FAILED}
"""Events that end a run, and where it is then."""


CANCELLED = Failure(code="cancelled", message="The run was cancelled.")
"""Why a run has no end of its own."""


@dataclass(frozen=True, slots=True)
class Step:
    """An event as it was written down: its number in the run from 0 on, its type, and its JSON."""

    number: int
    type: str
    data: str

    @property
    def event(self) -> Event:
        """The event itself."""
        return EVENT.validate_json(self.data)


@dataclass(frozen=True, slots=True)
class Key:
    """A client's name for a request, and what the request was."""

    name: str
    digest: str

    @classmethod
    def of(cls, name: str, body: str) -> "Key":
        """The key of a request with that body."""
        return cls(name, hashlib.sha256(body.encode()).hexdigest())


@dataclass(slots=True, eq=False)
class Kept:
    """One run.

    Attributes:
        id: the run's id.
        text: the words of the request.
        background: whether it goes on when nobody attends it.
        key: the client's own name for it, where it gave one.
        owner: whose it is: who asks where it is made.
        created: when it began, seconds since the epoch.
        ended: when it ended; None while it runs.
        state: where it is.
        error: what it ended with, where that is an error of this project's own; without where it was raised.
        abandoned: whether everybody left who attended it, so that it was given up.
        door: which of the doors it came by.
        conversation: that of which it is a part, where it is.
        repeats: the run that it repeats, where it does.
        here: whether it runs in this process, or has ended; of others what is written is known.
        steps: its events so far.
        size: bytes of their JSON, in UTF-8.

    """

    id: str
    text: str = ""
    background: bool = False
    key: Key | None = None
    owner: str = field(default_factory=lambda: caller().owner)
    created: float = field(default_factory=time.time)
    ended: float | None = None
    state: State = State.RUNNING
    error: HuggingGPTError | None = None
    abandoned: bool = False
    door: str = "runs"
    conversation: str | None = None
    repeats: str | None = None
    here: bool = True
    steps: list[Step] = field(default_factory=list)
    size: int = 0
    _attending: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _worker: asyncio.Task[None] | None = None

    async def follow(self, after: int = -1, beat_s: float | None = None) -> AsyncIterator[Step | None]:
        """The steps behind number ``after``, as they come; ends with the run.

        Args:
            after: the number of the last step that is known.
            beat_s: None is given each time this many seconds pass without a step; never where it is None.

        """
        at = max(0, after + 1)
        while True:
            while at < len(self.steps):
                yield self.steps[at]
                at += 1
            if self.ended is not None or not self.here:
                return
            changed = self._changed
            try:
                async with asyncio.timeout(beat_s):
                    await changed.wait()
            except TimeoutError:
                yield None

    async def begun(self) -> None:
        """Wait until its first event is told, and a moment for what tells whether it was let in."""
        while not self.steps and self.ended is None:
            await self._changed.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENING_S):
                while self._last in _OPENING and self.ended is None:
                    await self._changed.wait()

    async def settled(self) -> None:
        """Wait until it has ended."""
        while self.ended is None:
            await self._changed.wait()

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Attend it; when the last one leaves, a run that is not in the background is cancelled."""
        self._attending += 1
        try:
            yield
        finally:
            self._attending -= 1
            if not self._attending and not self.background and self.ended is None:
                self.abandoned = True
                self._stop()

    @property
    def waited(self) -> bool:
        """Whether somebody attends it."""
        return self._attending > 0

    async def cancel(self) -> None:
        """Give it up, down to the models, and wait until that is done; one that has ended stays as it was."""
        self._stop()
        await self.settled()

    def _stop(self) -> None:
        if self._worker is not None and self.ended is None:
            self._worker.cancel()

    def begin(self, events: Events, ended: Callable[["Kept"], None]) -> None:
        """Run it; ``ended`` is told when it is over.

        It has a context of its own: Ray Serve cancels the calls of a request with the request, and this run
        may outlive the request that began it. Of the request's context it keeps the caller.
        """
        self._worker = asyncio.get_running_loop().create_task(self._work(events), context=afresh())
        self._worker.add_done_callback(lambda _: self._end(ended))

    async def _work(self, events: Events) -> None:
        try:
            async with aclosing(events(self.id)) as told:
                async for event in told:
                    self._add(event)
        except Exception as error:
            self.error = bare(error)
            if self._last != "run.failed":
                self._add(RunFailed(run=self.id, error=failure(error)))

    def _end(self, ended: Callable[["Kept"], None]) -> None:
        """Close the books; the last event tells how it ended, and without one it was cancelled."""
        if self._last not in _ENDS:
            self._add(RunFailed(run=self.id, error=CANCELLED))
            self.state = State.CANCELLED
        else:
            self.state = _ENDS[self._last]
        self.ended, self._worker = self.steps[-1].event.time, None
        ended(self)
        self._tell()

    @property
    def _last(self) -> str:
        """The type of the latest event."""
        return self.steps[-1].type if self.steps else ""

    def _add(self, event: Event) -> None:
        step = Step(len(self.steps), event.type, event.model_dump_json())
        self.steps.append(step)
        self.size += len(step.data.encode())
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Runs:
    """The runs of this process, by id."""

    def __init__(
        self, *, max_runs: int = MAX_RUNS, max_bytes: int = MAX_BYTES, max_running: int = MAX_RUNNING
    ) -> None:
        """Keep at most so many runs, bytes of events, and runs under way."""
        self._max_runs = max_runs
        self._max_bytes = max_bytes
        self._max_running = max_running
        self._kept: dict[str, Kept] = {}
        self._by_key: dict[tuple[str, str], Kept] = {}

    def start(self, events: Events, run: Kept) -> Kept:
        """Begin a run and keep it.

        Raises:
            TooManyRunsError: as many as may be are under way.

        """
        if sum(other.ended is None for other in self._kept.values()) >= self._max_running:
            raise TooManyRunsError(f"{self._max_running} runs are under way; try again when one has ended.")
        self._kept[run.id] = run
        if run.key is not None:
            self._by_key[run.owner, run.key.name] = run
        run.begin(events, self._ended)
        self._make_room()
        return run

    def known(self, key: Key | None) -> Kept | None:
        """The caller's run that was begun under a key, None where there is none.

        A run that failed by a fault of the server's, or was given up with its client, leaves its key free.

        Raises:
            IdempotencyError: it was another request.

        """
        run = None if key is None else self._by_key.get((caller().owner, key.name))
        if run is None or run.abandoned:  # one that is being given up may not have ended yet
            return None
        if key is not None and run.key != key:
            raise mismatch(key)
        return run

    def get(self, run_id: str) -> Kept:
        """The run with that id.

        Raises:
            UnknownRunError: the caller has none, or it ended long ago.

        """
        run = self._kept.get(run_id)
        if run is None or not caller().sees(run.owner):
            raise UnknownRunError(
                f"There is no run {run_id[:80]!r} here; the latest are listed by GET /v1/runs."
            )
        return run

    def latest(self, limit: int) -> list[Kept]:
        """The caller's runs that began last, the latest first."""
        who = caller()
        seen = (run for run in reversed(self._kept.values()) if who.sees(run.owner))
        return list(islice(seen, limit))

    def part_of(self, conversation: str) -> list[Kept]:
        """The runs of a conversation, whoever they are of."""
        return [run for run in self._kept.values() if run.conversation == conversation]

    def forget(self, run: Kept) -> None:
        """Keep a run that has ended no longer, where it is still kept."""
        if self._kept.get(run.id) is run and run.ended is not None:
            self._forget(run)

    def unattended(self, owner: str) -> int:
        """How many runs of an owner go on with nobody waiting for them."""
        return sum(run.ended is None and not run.waited for run in self._kept.values() if run.owner == owner)

    def _ended(self, run: Kept) -> None:
        if run.key is not None and _again(run) and self._by_key.get((run.owner, run.key.name)) is run:
            del self._by_key[run.owner, run.key.name]
        self._make_room()

    def _make_room(self) -> None:
        """Forget runs that ended, those that began first at first, until the rest is within the limits."""
        over = len(self._kept) - self._max_runs
        bytes_over = sum(run.size for run in self._kept.values()) - self._max_bytes
        for run in list(self._kept.values()):
            if over <= 0 and bytes_over <= 0:
                return
            if run.ended is not None:
                self._forget(run)
                over, bytes_over = over - 1, bytes_over - run.size

    def _forget(self, run: Kept) -> None:
        del self._kept[run.id]
        if run.key is not None and self._by_key.get((run.owner, run.key.name)) is run:
            del self._by_key[run.owner, run.key.name]


def mismatch(key: Key) -> IdempotencyError:
    """The error of a key that another request has."""
    return IdempotencyError(
        f"The Idempotency-Key {key.name[:80]!r} was used for another request; take a new one."
    )


def _again(run: Kept) -> bool:
    """Whether the same request may be run again under the same key."""
    if run.state is State.FAILED:
        return run.error is None or run.error.status >= 500
    return run.abandoned


def bare(error: BaseException) -> HuggingGPTError | None:
    """An error as it may be kept, or raised again: with what it tells, and without where it was raised.

    Tracebacks and causes hold the frames that they went through, and with them whole conversations. An error
    that is none of this project's own may hold one itself; it gives None.
    """
    cause = root(error)
    if not isinstance(cause, HuggingGPTError):
        return None
    kept = type(cause).__new__(type(cause), *cause.args)
    kept.__dict__.update(cause.__dict__)
    return kept
