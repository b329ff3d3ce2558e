"""Tending: what the books of the fleet say is done, and what comes of it is told to them.

Everything here runs on the event loop; what blocks is in threads, what takes long is a step apart.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deployments import fleet, launch
from deployments.ahead import Ahead
from deployments.book import Book
from deployments.errors import FleetError
from deployments.figures import Figures
from deployments.media import Limits
from deployments.member import Action, Grant, Member, Refuse, Resize, Sleep, State, Wake
from deployments.needs import Slots, need, note, placed
from deployments.news import News
from deployments.residency import Residency
from deployments.rooms import Place
from deployments.standing import Standing
from deployments.waking import Hands
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")

LAST_WORD_S = 1.0
"""How long an expert that leaves may take to tell what it has measured."""

MOST_REPLICAS = 4
"""How many replicas a popular expert has at the most."""


class Tending:
    """The fleet as its books say."""

    def __init__(
        self, book: Book, folder: Path, limits: Limits | None, token: SecretStr | None, idle_s: float
    ) -> None:
        """Begin with an empty fleet; see ``Keeper``."""
        self._folder = folder
        self._book = book
        self._books = Residency(idle_s=idle_s)
        self._hands = Hands(limits, token)
        self._token = token
        self._cards: dict[str, ModelCard] = {}
        self._peaks: dict[str, int] = {}
        self._slots = Slots()
        self._sought: set[str] = set()
        self._granted: dict[str, asyncio.Future[int]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._news = News(self._present)
        self._saving = asyncio.Lock()
        self._ahead = Ahead(self._book, token, self._learned)

    # What the books say ------------------------------------------------------------------------

    def _do(self, actions: Sequence[Action]) -> None:
        """Do what the books say; what takes long is a step of its own."""
        for action in actions:
            match action:
                case Grant():
                    self._settle(action.lease, self._books.members[action.model].epoch)
                case Refuse():
                    self._settle(action.lease, action.error())
                case Wake(model=model, place=place):
                    self._begin(model, self._wake, place)
                case Sleep(model=model):
                    self._begin(model, self._sleep, over=True)
                case Resize(model=model, replicas=replicas):
                    self._begin(model, self._resize, replicas)
        self._after()

    def _begin(
        self,
        model: str,
        step: Callable[..., Coroutine[Any, Any, None]],
        *arguments: Any,
        over: bool = False,
    ) -> None:
        """Begin a step of an expert; whatever goes wrong in it, the expert is not stuck."""
        card = self._cards[model]

        async def safely() -> None:
            try:
                await step(card, *arguments)
            except Exception:
                logger.exception("the fleet's work on %s failed", model)
                with suppress(Exception):
                    await self._hands.end(card)
                self._do(self._books.failed(model, "an unexpected error; see the fleet's log", time.time()))

        self._hands.begin(model, safely, over=over)

    def _settle(self, lease: str, answer: int | Exception) -> None:
        waiting = self._granted.get(lease)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    async def _wake(self, card: ModelCard, place: Place) -> None:
        began, model = time.time(), card.id
        card = await self._pinned(card)
        needed = need(card, self._book)
        sized = placed(card, place, needed, self._books.devices)
        self._book.awake[model] = card
        try:
            figures = await self._hands.wake(sized, 0 if sized.gpu else needed.ram_bytes)
        except FleetError as error:
            logger.warning("%s could not be woken: %s", model, error.message)
            self._book.awake.pop(model, None)
            self._do(self._books.failed(model, error.message, time.time()))
            return
        self._seen(card, figures, time.time() - began)
        await self._found(figures)
        self._do(self._books.woken(model, self._at(figures, place.amount), time.time() - began, time.time()))
        await self._save()

    def _at(self, figures: Sequence[Figures], amount: float) -> list[Place]:
        return self._slots.places(figures, amount, self._books.devices)

    def _seen(self, card: ModelCard, figures: Sequence[Figures], wake_s: float) -> None:
        """Remember what fresh replicas measured; the next one takes room by it."""
        note(self._book, card, figures)
        self._book.wake_s[card.id] = round(wake_s, 3)
        self._peaks[card.id] = max(one.peak_bytes for one in figures)
        if (member := self._books.members.get(card.id)) is not None:
            member.need = need(card, self._book)
        where = ", ".join(one.gpus[0] if one.gpus else "the CPU" for one in figures)
        logger.info("%s is awake after %.2f s on %s", card.id, wake_s, where)

    async def _pinned(self, card: ModelCard) -> ModelCard:
        """The card with the commits that all its replicas take, now and later."""
        pinned = await asyncio.to_thread(fleet.pinned, card, self._token)
        if card.id in self._book.added:
            self._book.added[card.id] = pinned
        self._cards[card.id] = pinned
        return pinned

    async def _sleep(self, card: ModelCard) -> None:
        if figures := await self._hands.asked(card, LAST_WORD_S):  # its largest call may have come since
            note(self._book, card, figures)
        await self._hands.end(card)
        self._book.awake.pop(card.id, None)
        self._do(self._books.left(card.id, time.time()))
        await self._save()

    async def _resize(self, card: ModelCard, replicas: int) -> None:
        figures = await self._hands.resize(card, replicas)
        member = self._books.members.get(card.id)
        if member is not None and member.places:
            there = self._at(figures, member.places[0].amount)
            self._do(self._books.resized(card.id, there, time.time()))

    # What is known -----------------------------------------------------------------------------

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

    async def _found(self, figures: Sequence[Figures]) -> None:
        """Look for new nodes where a replica is on one that is not known."""
        known = {device.node for device in self._books.devices}
        if any(one.node not in known for one in figures):
            await self._look()

    async def _look(self) -> None:
        """Take in the cluster's devices."""
        devices, growable = await asyncio.to_thread(lambda: (launch.devices(), launch.growable()))
        self._do(self._books.see(devices, time.time(), growable=growable))
        there = {device.node for device in devices}
        for model, member in self._books.members.items():
            held = {device.node for place in member.places for device in place.devices}
            if member.state is State.WARM and not held <= there and model not in self._sought:
                self._sought.add(model)
                self._begin(model, self._seek)

    async def _seek(self, card: ModelCard) -> None:
        """Find an expert whose node was lost: Serve starts its replicas on another."""
        try:
            member = self._books.members.get(card.id)
            if member is None or member.state is not State.WARM:
                return
            figures = await self._hands.ready(card, len(member.places))
            amount = member.places[0].amount if member.places else 0.0
            self._do(self._books.moved(card.id, self._at(figures, amount), time.time()))
        finally:
            self._sought.discard(card.id)

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
        for model, card in list(self._book.awake.items()):
            if model not in self._cards and fleet.app_name(card) in apps:  # no more of the settings
                self._later(self._hands.end(card))
                del self._book.awake[model]
        there = [card for card in self._cards.values() if fleet.app_name(card) in apps]
        for card, figures in zip(there, await asyncio.gather(*map(self._hands.asked, there)), strict=True):
            self._books.members[card.id].state = State.WAKING
            if figures:
                self._adopt(card, figures)
            else:  # at work, or being replaced: it says so when it can
                self._begin(card.id, self._adopted)

    async def _adopted(self, card: ModelCard) -> None:
        self._adopt(card, await self._hands.ready(card, 1))

    def _adopt(self, card: ModelCard, figures: Sequence[Figures]) -> None:
        member = self._books.members[card.id]
        self._peaks[card.id] = max(one.peak_bytes for one in figures)
        first = self._at(figures, 1.0)
        amount = member.need.amount(first[0].devices[0]) if first else 0.0
        self._do(self._books.woken(card.id, self._at(figures, amount), member.wake_s, time.time()))

    def _present(self) -> list[Standing]:
        """How every expert stands that is of the fleet."""
        return [self._standing(model) for model, one in self._books.members.items() if not one.removed]

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
            epoch=member.epoch,
            wakes=member.wakes,
            obstacle=self._books.obstacle(model, time.time()),
            places=tuple(d.node if d.gpu is None else f"{d.node}:{d.gpu}" for d in devices),
            peak_bytes=self._peaks.get(model, 0),
            used=member.used,
            sleeps=self._books.leaves_at(model),
            hits=member.hits,
            evictions=member.evictions,
        )

    # Telling and keeping -----------------------------------------------------------------------

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
