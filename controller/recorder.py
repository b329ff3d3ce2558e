"""The recorder: writes down what runs tell, before their clients rely on it.

A run's beginning is on the disk before its first event is told, and its end before that is told; what lies
between goes along in groups. So nothing that was acknowledged is lost, and no run waits for its steps.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from controller.controller import Controller, fresh_id
from controller.events import AnswerDelta, Event, PlanTask, RunCreated, RunDone, RunFailed
from controller.failure import failure
from controller.history import History
from controller.identity import caller
from controller.keeping import Account
from controller.registry import CANCELLED
from controller.request import Request
from controller.writer import Writer
from deployments.errors import HistoryError
from deployments.history.records import Begun

OPENING_S = 0.05
"""How long a run's first steps wait for what tells whether it was let in, in seconds."""

SHOWN = 200
"""How many characters of a request lists of runs show."""

NOT_KEPT = "This run may be missing in the history, whose database cannot be reached now."
"""What an answer says of a run that could not be written down in time."""


_ENDS = (RunDone, RunFailed)
_NOT_LET_IN = frozenset({"overloaded", "too_many_runs"})


@dataclass(slots=True)
class Recorder:
    """Writes runs down in a history.

    Attributes:
        history: where; None keeps nothing.
        instance: this ingress, whose runs are under way for as long as it lives.

    """

    history: History | None = None
    instance: str = field(default_factory=lambda: f"ingress-{secrets.token_hex(8)}")
    _made: Writer | None = None

    @property
    def _writer(self) -> Writer:
        assert self.history is not None  # noqa: S101
        if self._made is None:
            self._made = Writer(self.history, self.instance)
        return self._made

    def start(self) -> None:
        """Mark the runs that earlier ingresses left without an end, as soon as the history answers."""
        if self.history is not None:
            self._writer.start()

    def run(self, controller: Controller, asked: Request, host: str, door: str) -> AsyncGenerator[Event]:
        """Run a request of the caller's and write it down.

        Args:
            controller: runs it.
            asked: the request.
            host: the name it was sent to.
            door: which of the doors it came by.

        """
        name = fresh_id()
        return self.keep(controller.run(asked, host, name), begun(name, asked, host, door))

    async def keep(self, events: AsyncGenerator[Event], first: Begun) -> AsyncGenerator[Event]:
        """The steps of a run, each written down; closing it closes the run, which is cancelled then.

        Args:
            events: the run's steps.
            first: what is known of it before it begins.

        Raises:
            HistoryError: it is to go on in the background, and cannot be written down.
            HuggingGPTError: the run cannot be run at all.

        """
        if self.history is None:
            async with aclosing(events):
                async for event in events:
                    yield event
            return
        account = Account(first.id)
        try:
            async with aclosing(self._told(events, first, account)) as told:
                async for event in told:
                    yield event
        except Exception as error:
            await self._end(account, RunFailed(run=first.id, error=failure(error)))
            raise
        except BaseException:  # closed, or cancelled
            await self._end(account, RunFailed(run=first.id, error=CANCELLED))
            raise

    async def _told(
        self, events: AsyncGenerator[Event], first: Begun, account: Account
    ) -> AsyncGenerator[Event]:
        writer = self._writer
        kept: asyncio.Future[bool] | None = None
        async with aclosing(_opened(events)) as groups:
            async for group in groups:
                if kept is None:
                    if _refused(group):
                        account.ended = True
                        for event in group:
                            yield event
                        continue
                    kept = writer.put([replace(first, instance=self.instance)], awaited=True)
                    if not await writer.written(kept) and first.background:
                        raise HistoryError(
                            "A run in the background begins once it is written down, and the database of "
                            "the history cannot be reached now; try again soon, or wait for the answer."
                        )
                for event in group:
                    ends = isinstance(event, _ENDS)
                    written = writer.put(account.records(event), awaited=ends)
                    whole = not ends or await writer.written(kept, written)
                    for told in [event] if whole or not isinstance(event, RunDone) else _unkept(event):
                        yield told

    async def _end(self, account: Account, event: RunFailed) -> None:
        """Write down that a run is over, where that was not told."""
        if not account.ended:
            written = self._writer.put(account.records(event), awaited=True)
            await self._writer.written(written)


def begun(name: str, asked: Request, host: str, door: str) -> Begun:
    """What is known of a run of the caller's before it begins.

    Args:
        name: its id.
        asked: the request.
        host: the name it was sent to.
        door: which of the doors it came by.

    """
    request = asked.model_dump(mode="json") | {"host": host}
    words = asked.text[:SHOWN]
    return Begun(name, caller().owner, "", door, words, request, time.time())


async def _opened(events: AsyncGenerator[Event]) -> AsyncGenerator[list[Event]]:
    """The steps one by one, but those together by which it is clear whether the run was let in."""
    opening: list[Event] = []
    coming: asyncio.Future[Event | None] | None = asyncio.ensure_future(anext(events, None))
    try:
        until = time.monotonic() + OPENING_S
        while coming is not None:
            await asyncio.wait({coming}, timeout=max(0.0, until - time.monotonic()))
            if not coming.done() or coming.exception() is not None or (event := coming.result()) is None:
                break
            opening.append(event)
            planning = isinstance(event, RunCreated | PlanTask)
            coming = asyncio.ensure_future(anext(events, None)) if planning else None
        yield opening
        if coming is not None and (event := await coming) is not None:
            yield [event]
        coming = None
        async for event in events:
            yield [event]
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await events.aclose()


def _refused(opening: Sequence[Event]) -> bool:
    """Whether a run was not let in at all: writing that down would be work too."""
    last = opening[-1] if opening else None
    return isinstance(last, RunFailed) and last.error.code in _NOT_LET_IN


def _unkept(done: RunDone) -> list[Event]:
    """The end of a run that may be missing in the history: its answer says so."""
    if not done.answer:
        return [done.model_copy(update={"notes": (*done.notes, NOT_KEPT)})]
    more = f"\n\n{NOT_KEPT}"
    end = done.model_copy(update={"answer": done.answer + more, "notes": (*done.notes, NOT_KEPT)})
    return [AnswerDelta(run=done.run, text=more), end]
