"""Leases: an expert that sleeps while it is idle is woken for a call, and stays awake until that has ended.

A call of such an expert is made when its inputs are there: an expert that waited for them awake would keep
its room from the very task that makes them. What waits is the call alone; inputs stay where they were made.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from controller.errors import DeadlineError
from controller.events import Event, TaskWaking
from controller.handles import Experts, Response
from controller.selector import Selector
from model_catalog.card import ModelCard

Upstream = Callable[[], Sequence[Response]]
"""The responses that a call needs, as they are now: one may be replaced while others are waited for."""


class Leases:
    """The leases of one run's calls."""

    def __init__(
        self, run: str, experts: Experts, selector: Selector, emit: Callable[[Event], None], deadline: float
    ) -> None:
        self._run = run
        self._experts = experts
        self._selector = selector
        self._emit = emit
        self._deadline = deadline
        self._kept = AsyncExitStack()

    def expect(self, card: ModelCard) -> None:
        """Tell that an expert will be called once its inputs are there; it may wake meanwhile."""
        if card.id in self._selector.fleet.cold:
            self._experts.wake(card)

    @asynccontextmanager
    async def held(self, task: int, card: ModelCard, upstream: Upstream) -> AsyncIterator[None]:
        """The time of one call: an expert that sleeps is awake meanwhile; others need no lease.

        Raises:
            DeadlineError: the run is over before the inputs are there.
            BusyError: there is no room for the expert in time.
            FleetError: it cannot be woken.

        """
        if not self._experts.sleeps(card):
            yield
            return
        await self._arrived(upstream)
        seconds = self._selector.fleet.cold.get(card.id)
        if seconds is not None:
            self._emit(TaskWaking(run=self._run, id=task, model=card.id, seconds=round(seconds, 1)))
        async with self._experts.lease(card, self._deadline):
            yield

    async def keep(self, card: ModelCard) -> None:
        """Hold an expert awake until ``end``, for a call that nobody waits for directly."""
        if self._experts.sleeps(card):
            await self._kept.enter_async_context(self._experts.lease(card, self._deadline))

    async def end(self) -> None:
        """Give back what ``keep`` holds."""
        await self._kept.aclose()

    async def _arrived(self, upstream: Upstream) -> None:
        """Wait until what a call needs exists, be it an error: nothing of it is brought here."""
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.time())):
                waited: set[int] = set()
                while waiting := [one for one in upstream() if id(one) not in waited]:
                    await asyncio.gather(*(one.arrived() for one in waiting))
                    waited.update(map(id, waiting))
        except TimeoutError:
            raise DeadlineError("The run's time was over before this task's inputs were there.") from None
