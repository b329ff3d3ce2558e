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
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deployments import fleet, launch
from deployments.ahead import Ahead
from deployments.book import Book
from deployments.errors import FleetError, NoMemberError
from deployments.figures import Figures
from deployments.media import Limits
from deployments.member import Action, Grant, Member, Refuse, Resize, Sleep, State, Wake
from deployments.needs import need, note, placed, places
from deployments.news import News
from deployments.residency import Residency
from deployments.rooms import Place
from deployments.standing import Standing
from deployments.waking import WAKE_S, Hands
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")

LAST_WORD_S = 1.0
"""How long an expert that leaves may take to tell what it has measured."""

MOST_REPLICAS = 4
"""How many replicas a popular expert has at the most."""


class Keeper:
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
        self._folder = Path(folder)
        self._book = await asyncio.to_thread(Book.read, self._folder)
        self._books = Residency(idle_s=idle_s)
        self._hands = Hands(limits, token)
        self._token = token
        self._cards: dict[str, ModelCard] = {}
        self._peaks: dict[str, int] = {}
        self._doubted: set[str] = set()
        self._granted: dict[str, asyncio.Future[int]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._news = News(lambda: [self._standing(model) for model in self._books.members])
        self._saving = asyncio.Lock()
        self._ahead = Ahead(self._book, token, self._learned)
        for card in [*cards, *self._book.added.values()]:
            if card.id not in self._book.removed:
                self._take(card)
        await self._look()
        await self._recover()
        self._prepare(*self._cards.values())

    # Calls ---------------------------------------------------------------------------------------------

    async def lease(self, model: str, lease: str, until: float) -> int:
        """Wait until an expert is awake, and keep it so until ``release``, or ``until`` at the latest.

        Args:
            model: its model's id.
            lease: a fresh name for the lease.
            until: seconds since the epoch.

        Returns:
            How often it was woken so far: a new number means a new application.

        Raises:
            BusyError: there will be no room for it in time.
            FleetError: it cannot be woken here.

        """
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._granted[lease] = granted
        self._do(self._books.ask(model, lease, time.time(), until))
        try:
            return await granted
        except asyncio.CancelledError:
            self._do(self._books.release(lease, time.time()))
            raise
        finally:
            del self._granted[lease]

    async def release(self, lease: str) -> None:
        """A call has ended."""
        self._do(self._books.release(lease, time.time()))

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
            why = await asyncio.to_thread(launch.trouble, self._cards[model])
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
        lease = secrets.token_hex(8)
        await self.lease(model, lease, time.time() + WAKE_S)
        await self.release(lease)
        return self._standing(model)

    async def pin(self, model: str, pinned: bool = True) -> Standing:
        """Keep an expert awake for ever once it is, or no more.

        Raises:
            NoMemberError: it is not of the fleet.

        """
        self._known(model).pinned = pinned
        (self._book.pinned.add if pinned else self._book.pinned.discard)(model)
        await self._save()
        self._after()
        return self._standing(model)

    async def standings(self) -> list[Standing]:
        """How every expert of the fleet is."""
        return [self._standing(model) for model in self._books.members]

    # Inside: what the books say ------------------------------------------------------------------------

    def _do(self, actions: Sequence[Action]) -> None:
        """Do what the books say; what takes long is a step of its own."""
        for action in actions:
            match action:
                case Grant():
                    self._settle(action.lease, self._books.members[action.model].wakes)
                case Refuse():
                    self._settle(action.lease, action.error())
                case Wake(model=model, place=place):
                    self._hands.begin(model, partial(self._wake, model, place))
                case Sleep(model=model):
                    self._hands.begin(model, partial(self._sleep, model), over=True)
                case Resize(model=model, replicas=replicas):
                    self._hands.begin(model, partial(self._resize, model, replicas))
        self._after()

    def _settle(self, lease: str, answer: int | Exception) -> None:
        waiting = self._granted.get(lease)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    async def _wake(self, model: str, place: Place) -> None:
        began, card = time.time(), await self._pinned(model)
        sized = placed(card, place, self._books.devices)
        memory = 0 if sized.gpu else self._books.members[model].need.ram_bytes
        try:
            figures = await self._hands.wake(sized, memory)
        except FleetError as error:
            logger.warning("%s could not be woken: %s", model, error.message)
            self._do(self._books.failed(model, error.message, time.time()))
            return
        self._seen(card, figures, time.time() - began)
        await self._found(figures)
        there = places(figures, place.amount, self._books.devices)
        self._do(self._books.woken(model, there, time.time() - began, time.time()))
        await self._save()

    def _seen(self, card: ModelCard, figures: Sequence[Figures], wake_s: float) -> None:
        """Remember what fresh replicas measured; the next one takes room by it."""
        note(self._book, card, figures)
        self._book.wake_s[card.id] = round(wake_s, 3)
        self._peaks[card.id] = max(one.peak_bytes for one in figures)
        if (member := self._books.members.get(card.id)) is not None:
            member.need = need(card, self._book)
        where = ", ".join(one.gpus[0] if one.gpus else "the CPU" for one in figures)
        logger.info("%s is awake after %.2f s on %s", card.id, wake_s, where)

    async def _pinned(self, model: str) -> ModelCard:
        """The card with the commits that all its replicas take, now and later."""
        card = await asyncio.to_thread(fleet.pinned, self._cards[model], self._token)
        if model in self._book.added:
            self._book.added[model] = card
        self._cards[model] = card
        return card

    async def _sleep(self, model: str) -> None:
        card = self._cards[model]
        if figures := await self._hands.asked(card, LAST_WORD_S):  # its largest call may have come since
            note(self._book, card, figures)
        await self._hands.end(card)
        self._do(self._books.left(model, time.time()))

    async def _resize(self, model: str, replicas: int) -> None:
        card = self._cards[model]
        figures = await self._hands.resize(card, replicas)
        member = self._books.members.get(model)
        if member is not None and member.places:
            there = places(figures, member.places[0].amount, self._books.devices)
            self._do(self._books.resized(model, there, time.time()))

    # Inside: what is known -----------------------------------------------------------------------------

    def _take(self, card: ModelCard) -> None:
        self._cards[card.id] = card
        member = Member(
            card.id,
            need(card, self._book),
            capacity=max(2, 2 * card.batch_size),
            most=MOST_REPLICAS,
            pinned=card.id in self._book.pinned,
        )
        member.wake_s = self._book.wake_s.get(card.id, member.wake_s)
        self._books.add(member)

    def _known(self, model: str) -> Member:
        member = self._books.members.get(model)
        if member is None:
            raise NoMemberError(f"{model} is not of the fleet; hugginggpt ps shows what is.")
        return member

    async def _found(self, figures: Sequence[Figures]) -> None:
        """Look for new nodes where a replica is on one that is not known."""
        known = {device.node for device in self._books.devices}
        if any(one.node not in known for one in figures):
            await self._look()

    async def _look(self) -> None:
        """Take in the cluster's devices."""
        devices, growable = await asyncio.to_thread(lambda: (launch.devices(), launch.growable()))
        self._do(self._books.see(devices, time.time(), growable=growable))

    def _prepare(self, *cards: ModelCard) -> None:
        """Do ahead of the first call what can be."""
        if any(map(fleet.sleeps, self._cards.values())):
            self._ahead.prepare({device.node for device in self._books.devices})
        if self._books.growable or any(device.gpu is not None for device in self._books.devices):
            for card in cards:
                self._ahead.study(card)

    async def _learned(self, card: ModelCard) -> None:
        if (member := self._books.members.get(card.id)) is not None:
            member.need = need(card, self._book)
        await self._save()

    async def _recover(self) -> None:
        """Take in the fleet's experts that run already, as after a restart of the keeper."""
        apps = await asyncio.to_thread(fleet.status)
        there = [card for card in self._cards.values() if fleet.app_name(card) in apps]
        for card, figures in zip(there, await asyncio.gather(*map(self._hands.asked, there)), strict=True):
            member = self._books.members[card.id]
            if figures is None:
                member.state = State.LEAVING
                self._do([Sleep(card.id)])
                continue
            member.state = State.WAKING
            self._peaks[card.id] = figures[0].peak_bytes
            whole = places(figures, 1.0, self._books.devices)
            seats = [Place(one.devices, member.need.amount(one.devices[0])) for one in whole]
            self._do(self._books.woken(card.id, seats, member.wake_s, time.time()))

    def _standing(self, model: str) -> Standing:
        member = self._books.members[model]
        devices = [device for place in member.places for device in place.devices]
        return Standing(
            card=self._cards[model],
            state=member.state,
            share=member.places[0].amount if devices and devices[0].gpu is not None else 0.0,
            pinned=member.pinned,
            replicas=len(member.places) if member.state is State.WARM else 0,
            calls=len(member.leases),
            wake_s=member.wake_s,
            epoch=member.wakes,
            obstacle=self._books.obstacle(model, time.time()),
            places=tuple(d.node if d.gpu is None else f"{d.node}:{d.gpu}" for d in devices),
            peak_bytes=self._peaks.get(model, 0),
            used=member.used,
            sleeps=self._books.leaves_at(model),
            hits=member.hits,
            evictions=member.evictions,
        )

    # Inside: telling and keeping -----------------------------------------------------------------------

    def _after(self) -> None:
        """Set the clock for the books' next tick, and tell the controllers what has changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (at := self._books.next_tick()) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, at - time.time()) + 0.001, self._tick)
        self._news.spread()

    def _tick(self) -> None:
        if self._books.waiting:  # a node may have come or gone meanwhile
            self._later(self._look())
        self._do(self._books.tick(time.time()))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _save(self) -> None:
        async with self._saving:
            await asyncio.to_thread(self._book.model_copy(deep=True).write, self._folder)
