"""The keeper: the deployment that wakes the fleet's experts, and puts them to sleep.

It does what the books (``residency``) say. An expert that is asleep is no application at all: two hundred
idle applications at zero replicas take Serve's controller a quarter of a core, and starting one anew takes no
longer than having a replica started (docs/architecture.md). Callers hold leases; a lease is granted when the
expert is awake.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from deployments import fleet, launch
from deployments.book import Book
from deployments.errors import FleetError, NoMemberError
from deployments.media import Limits
from deployments.member import Member, Sleep, State
from deployments.standing import Standing
from deployments.tending import Tending
from deployments.waking import WAKE_S
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")


LIFELESS_S = 60.0
"""How long an expert may be without a replica before it counts as failed."""


class Keeper(Tending):
    """Keeps the books of the fleet, and the fleet as they say; one replica."""

    async def __init__(  # type: ignore[misc]
        self,
        cards: Sequence[ModelCard],
        folder: str,
        limits: Limits | None = None,
        token: SecretStr | None = None,
        idle_s: float = 0.0,
    ) -> None:
        """Take the fleet in as it is: what runs already is awake.

        Args:
            cards: the experts of the settings, which are in the fleet unless they were taken out of it.
            folder: where its book lies.
            limits: what one file may be.
            token: the operator's for the Hugging Face Hub.
            idle_s: after how long without use an expert sleeps; 0 for never.

        """
        book = await asyncio.to_thread(Book.read, Path(folder))
        super().__init__(book, Path(folder), limits, token, idle_s)
        self._doubted: set[str] = set()
        for card in [*cards, *self._book.added.values()]:
            if card.id not in self._book.removed:
                self._take(card)
        await self._look()
        await self._recover()
        self._prepare(*self._cards.values())
        self._wake_pinned()

    # Calls ---------------------------------------------------------------------------------------------

    async def lease(self, model: str, lease: str, wait: float, until: float) -> int:
        """Wait until an expert is awake, and keep it so until ``release``, or ``until`` at the latest.

        Args:
            model: its model's id.
            lease: a fresh name for the lease.
            wait: until when to wait for room, in seconds since the epoch.
            until: when the lease ends by itself, likewise.

        Returns:
            A number of its present application: a new one means a new application.

        Raises:
            BusyError: there will be no room for it in time.
            FleetError: it cannot be woken here.

        """
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._granted[lease] = granted
        self._do(self._books.ask(model, lease, time.time(), wait, until))
        try:
            return await granted
        except asyncio.CancelledError:
            self._do(self._books.release(lease, time.time()))
            raise
        finally:
            del self._granted[lease]

    async def release(self, lease: str, calls: int = 1, worked_s: float | None = None) -> None:
        """A lease is given back; see ``Residency.release``."""
        self._do(self._books.release(lease, time.time(), calls, worked_s))

    async def expect(self, model: str) -> None:
        """An expert will probably be called soon: it is woken if nothing that was just used has to leave."""
        self._do(self._books.expect(model, time.time()))

    async def doubt(self, model: str) -> None:
        """A call of an expert failed as if it were gone: look whether its application has failed."""
        member = self._books.members.get(model)
        if member is None or member.state is not State.WARM or model in self._doubted:
            return
        self._doubted.add(model)
        try:
            await self._look()
            card = self._cards[model]
            why = await asyncio.to_thread(launch.trouble, card)
            if why is None and await asyncio.to_thread(launch.lifeless, card):
                await asyncio.sleep(LIFELESS_S)  # Serve replaces what has died
                if await asyncio.to_thread(launch.lifeless, card):
                    why = "it has no replica, and Serve brings none up"
        finally:
            self._doubted.discard(model)
        if why is not None and member.state is State.WARM:
            logger.warning("%s is gone: %s", model, why)
            self._do([*self._books.failed(model, why, time.time()), Sleep(model)])

    # The operator --------------------------------------------------------------------------------------

    async def add(self, card: ModelCard) -> Standing:
        """Take an expert in, asleep; one of that model takes the new card when it next wakes.

        Raises:
            FleetError: this cluster can never run it.

        """
        if (reason := fleet.obstacle(card)) is not None:
            raise FleetError(f"{card.id} cannot be taken into the fleet: {reason}.")
        self._take(card)
        self._book.added[card.id] = card
        self._book.removed.discard(card.id)
        await self._save()
        self._prepare(card)
        self._after()
        return self._standing(card.id)

    async def remove(self, model: str) -> None:
        """Take an expert out of the fleet for good; what it has begun is finished.

        Raises:
            NoMemberError: it is not of the fleet.

        """
        self._known(model)
        self._do(self._books.remove(model, time.time()))
        self._book.added.pop(model, None)
        self._book.pinned.discard(model)
        self._book.removed.add(model)
        self._news.gone(model)
        await self._save()
        self._after()

    async def stop(self, model: str) -> Standing:
        """Put an expert to sleep; what it has begun is finished.

        Raises:
            NoMemberError: it is not of the fleet.

        """
        self._known(model)
        self._do(self._books.stop(model, time.time()))
        return self._standing(model)

    async def wake(self, model: str) -> Standing:
        """Wake an expert, and wait until it is awake.

        Raises:
            BusyError: there will be no room for it in time.
            FleetError: it is not of the fleet, or cannot be woken here.

        """
        self._known(model)
        lease, late = secrets.token_hex(8), time.time() + WAKE_S
        await self.lease(model, lease, late, late)
        await self.release(lease)
        return self._standing(model)

    async def pin(self, model: str, pinned: bool = True) -> Standing:
        """Wake an expert and keep it awake for ever, or no more.

        Raises:
            NoMemberError: it is not of the fleet.

        """
        self._known(model).pinned = pinned
        (self._book.pinned.add if pinned else self._book.pinned.discard)(model)
        await self._save()
        self._after()
        self._wake_pinned()
        return self._standing(model)

    def _wake_pinned(self) -> None:
        """Have those awake that are to be for ever."""
        for model, member in self._books.members.items():
            if member.pinned and member.state is State.ASLEEP:
                self._later(self._awaken(model))

    async def _awaken(self, model: str) -> None:
        with suppress(FleetError):  # it says itself why it cannot be
            await self.wake(model)

    async def standings(self) -> list[Standing]:
        """How every expert of the fleet is."""
        return self._present()

    def _known(self, model: str) -> Member:
        member = self._books.members.get(model)
        if member is None or member.removed:
            raise NoMemberError(f"{model} is not of the fleet; hugginggpt ps shows what is.")
        return member
