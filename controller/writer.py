"""The way of records to the history: in groups, one under way at a time, each until it has arrived."""

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from controller.history import History
from deployments.history.records import Begun, Ended, Made, Record, Step, Tasked, run_of

logger = logging.getLogger("ray.serve")

PATIENCE_S = 20.0
"""How long anybody waits for a history that is away, in seconds since that began."""

GATHER_S = 0.1
"""How long records that nobody waits for may gather, in seconds."""

MAX_RECORDS = 1_000
"""The most records of one group."""

MAX_BYTES = 64 << 20
"""The most bytes that wait for the history, about; of runs beyond it only the end is written."""

_GROUP_BYTES = 4 << 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_EACH = 200  # bytes of a record beside its texts


@dataclass(slots=True)
class _Waiting:
    """A record on its way, and who waits for it."""

    record: Record
    size: int
    written: "asyncio.Future[bool] | None" = None

    def tell(self, written: bool) -> None:
        """Tell who waits."""
        if self.written is not None and not self.written.done():
            self.written.set_result(written)


@dataclass(slots=True)
class Writer:
    """Brings records to a history.

    Attributes:
        history: where to.
        instance: the ingress whose records they are; runs of others without an end are marked first.

    """

    history: History
    instance: str
    _queue: deque[_Waiting] = field(default_factory=deque)
    _bytes: int = 0
    _partly: set[str] = field(default_factory=set)
    _unknown: set[str] = field(default_factory=set)
    _failing: float | None = None
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _claimed: bool = False
    _worker: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        """Mark what earlier ingresses left without an end, as soon as the history answers."""
        self._work()

    def put(self, records: Sequence[Record], *, awaited: bool = False) -> "asyncio.Future[bool] | None":
        """Let records of one run go along.

        Args:
            records: what is to be written, in its order.
            awaited: whether somebody waits for them, so that they go at once.

        Returns:
            Whether they are written, once that is known; None where nobody waits.

        """
        taken = self._taken(records)
        written = asyncio.get_running_loop().create_future() if awaited else None
        if taken:
            taken[-1].written = written
        elif written is not None:
            written.set_result(False)
        self._queue.extend(taken)
        self._bytes += sum(waiting.size for waiting in taken)
        if awaited:
            self._hurry.set()
        self._work()
        return written

    async def written(self, *futures: "asyncio.Future[bool] | None") -> bool:
        """Whether all of these were written, as far as it is known when patience ends."""
        waiting = [future for future in futures if future is not None]
        if not all(future.done() for future in waiting):
            await asyncio.wait(waiting, timeout=self._patience())
        return all(future.done() and future.result() for future in waiting)

    def _patience(self) -> float:
        """How long to wait now: not at all where the history has been away for long."""
        if self._failing is None:
            return PATIENCE_S
        return max(0.0, self._failing + PATIENCE_S - time.monotonic())

    def _taken(self, records: Sequence[Record]) -> list[_Waiting]:
        """The records for which there is room; a run that has lost some is written without its steps."""
        if not records:
            return []
        run = run_of(records[0])
        ends = any(isinstance(record, Ended) for record in records)
        waiting = [_Waiting(record, size(record)) for record in records]
        if self._bytes + sum(one.size for one in waiting) > MAX_BYTES:
            (self._unknown if isinstance(records[0], Begun) else self._partly).add(run)
        if run in self._unknown:
            waiting = []
        elif run in self._partly:
            waiting = [one for one in waiting if isinstance(one.record, Ended)]
        if ends:
            self._unknown.discard(run)
            self._partly.discard(run)
        return waiting

    # The way -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """See that somebody brings what waits; Ray Serve cancels what runs in a request's context with it."""
        if self._worker is None or self._worker.done():
            loop = asyncio.get_running_loop()
            self._worker = loop.create_task(self._bring(), context=contextvars.Context())

    async def _bring(self) -> None:
        pause = _FIRST_PAUSE_S
        while self._queue or not self._claimed:
            if self._claimed and not self._hurry.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_S):
                        await self._hurry.wait()
            group = self._group()
            since = time.monotonic()
            try:
                await self._claim()
                refused = await self.history.write([one.record for one in group]) if group else frozenset()
            except Exception as error:
                self._returned(group, since, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            self._arrived(group, refused)
            pause = _FIRST_PAUSE_S

    async def _claim(self) -> None:
        if not self._claimed:
            lost = await self.history.interrupt(self.instance)
            self._claimed = True
            if lost:
                logger.warning("%d runs were interrupted: %s", len(lost), ", ".join(lost[:20]))

    def _group(self) -> list[_Waiting]:
        """What goes next."""
        self._hurry.clear()
        group: list[_Waiting] = []
        room = _GROUP_BYTES
        while self._queue and len(group) < MAX_RECORDS and room > 0:
            group.append(self._queue.popleft())
            room -= group[-1].size
        if any(waiting.written is not None for waiting in self._queue):
            self._hurry.set()
        return group

    def _returned(self, group: Iterable[_Waiting], since: float, error: Exception) -> None:
        """A group that was sent did not arrive: it is first in the queue again."""
        if self._failing is None:
            self._failing = since
            logger.warning("the history cannot be reached: %s", error)
        self._queue.extendleft(reversed(list(group)))
        if any(waiting.written is not None for waiting in self._queue):
            self._hurry.set()

    def _arrived(self, group: Iterable[_Waiting], refused: frozenset[str]) -> None:
        if self._failing is not None:
            logger.warning("the history answers again, after %.1f s", time.monotonic() - self._failing)
        self._failing = None
        for waiting in group:
            self._bytes -= waiting.size
            waiting.tell(run_of(waiting.record) not in refused)


def size(record: Record) -> int:
    """About how many bytes a record has."""
    match record:
        case Begun():
            return _EACH + 2 * len(str(record.request))
        case Step():
            return _EACH + len(record.data)
        case Tasked():
            return _EACH + len(str(record.outcome or ""))
        case Ended():
            return _EACH + len(record.answer) + len(str(record.plan or ""))
        case Made():
            return _EACH
