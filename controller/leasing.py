"""Leases: an expert that sleeps while it is idle is woken for a call, and stays awake until that has ended.

A call of such an expert is made when the tasks it needs have ended well: an expert that waited for its inputs
awake would keep its room from the very task that makes them. What waits is the call alone; inputs stay where
they were made.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from controller.events import Event, TaskWaking
from controller.handles import Experts, Response
from controller.selector import Selector
from model_catalog.card import ModelCard

LAST_S = 1.0
"""How long before its run's end a call that waits for room is told that there is none."""


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
        self._kept: set[asyncio.Task[None]] = set()

    def expect(self, card: ModelCard) -> None:
        """Tell that an expert will be called once its inputs are there; it may wake meanwhile."""
        if card.id in self._selector.fleet.cold:
            self._experts.wake(card)

    @asynccontextmanager
    async def held(self, task: int, card: ModelCard, last: bool) -> AsyncIterator[None]:
        """The time of one call: an expert that sleeps is awake meanwhile; others need no lease.

        Args:
            task: the task's id.
            card: the expert's card.
            last: whether no other expert could run it; else half of the time that is left is for the next.

        Raises:
            BusyError: there is no room for the expert in time.
            FleetError: it cannot be woken.

        """
        if not self._experts.sleeps(card):
            yield
            return
        seconds = self._selector.fleet.cold.get(card.id)
        if seconds is not None:
            self._emit(TaskWaking(run=self._run, id=task, model=card.id, seconds=round(seconds, 1)))
        left = self._deadline - time.time()
        wait = left - min(LAST_S, left / 2) if last else left / 2
        async with self._experts.lease(card, time.time() + wait, self._deadline):
            yield

    async def kept(self, card: ModelCard, call: Callable[[], Response]) -> Response:
        """Make a call that nobody waits for directly; its expert is held awake until there is an answer."""
        if not self._experts.sleeps(card):
            return call()
        called: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        keeping = asyncio.create_task(self._keep(card, call, called))
        self._kept.add(keeping)
        keeping.add_done_callback(self._kept.discard)
        first: list[asyncio.Future[Any]] = [keeping, called]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not called.done():
            keeping.result()  # it could not be woken
        return called.result()

    async def _keep(
        self, card: ModelCard, call: Callable[[], Response], called: "asyncio.Future[Response]"
    ) -> None:
        async with self._experts.lease(card, self._deadline, self._deadline):
            response = call()
            called.set_result(response)
            await response.arrived()

    async def end(self) -> None:
        """Give back what is held."""
        kept = list(self._kept)
        for keeping in kept:
            keeping.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
