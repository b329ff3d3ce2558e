"""Experts behind Serve handles: those that always run, and those of the fleet, which sleep when idle."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from controller import roster
from controller.errors import StoreError
from controller.handles import LINK_S, Response, ServeResponse, answer, inner, reading
from controller.identity import caller
from controller.members import Members
from controller.roster import Expert
from controller.selector import Fleet
from deployments import fleet, launch
from deployments.account import Artifact
from deployments.fleet import ExpertStatus
from deployments.links.reading import Read
from deployments.member import GUESS_S
from deployments.result import Call
from deployments.standing import Standing
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS, Modality

_ACTIONS: Mapping[str, tuple[Any, ...]] = {
    "wake": ("wake",),
    "sleep": ("stop",),
    "pin": ("pin", True),
    "unpin": ("pin", False),
}

CARD_S = 5.0
"""How long an expert may take to tell its card."""


class ServeExperts:
    """Experts and artifacts behind Serve handles."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._handles: dict[str, DeploymentHandle] = {}
        self._running = Fleet()
        self.members = Members()
        self._artifacts = serve.get_app_handle(fleet.ARTIFACTS).options(_by_reference=True)
        self._links: DeploymentHandle | None = None

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> Fleet:
        """Look up which experts run; off the event loop, since Serve blocks.

        Args:
            cards: those of experts that were just deployed; they count above the catalog's.

        """
        await self.members.ask()
        self._learn([standing.card for standing in self.members.standings])
        apps = await asyncio.to_thread(fleet.status)
        known = {fleet.app_name(card) for card in (*self._catalog, *cards)}
        unknown = [app.app for app in apps.values() if _expert(app) and app.app not in known]
        asked = await asyncio.gather(*map(self._card_of, unknown))
        learned = (*cards, *(card for card in asked if card is not None))
        self._learn(learned)
        self._running = await asyncio.to_thread(self._fleet, apps, learned)
        return self._with_members()

    def told(self, changed: Sequence[Standing], gone: Sequence[str]) -> Fleet:
        """See ``controller.handles.Cluster``."""
        self.members.told(changed, gone)
        self._learn([standing.card for standing in changed])
        return self._with_members()

    def _learn(self, cards: Sequence[ModelCard]) -> None:
        """Know cards that the catalog lacks, or has otherwise."""
        if not all(card in self._catalog for card in cards):
            self._catalog = Catalog([*self._catalog, *cards])

    def _with_members(self) -> Fleet:
        """What runs: what Serve tells, and the fleet's experts as the keeper does."""
        base, standings = self._running, self.members.standings
        able = [standing for standing in standings if standing.obstacle is None]
        unable = {standing.card.id: standing.obstacle for standing in standings if standing.obstacle}
        return Fleet(
            running=base.running - unable.keys() | {standing.card.id for standing in able},
            starting=base.starting,
            obstacles={**base.obstacles, **unable},
            learned=(*base.learned, *(standing.card for standing in standings)),
            cold={**base.cold, **{one.card.id: one.wake_s for one in able if not one.awake}},
            replicas={**base.replicas, **{one.card.id: one.replicas for one in able if one.awake}},
        )

    async def _card_of(self, app: str) -> ModelCard | None:
        """The card of an expert that was deployed while nobody told us; None for another's application."""
        try:
            handle: DeploymentHandle = serve.get_app_handle(app).options(method_name="card")
            async with asyncio.timeout(CARD_S):
                card: ModelCard = await handle.remote()
        except Exception:
            return None
        return card

    def _fleet(self, apps: Mapping[str, ExpertStatus], learned: tuple[ModelCard, ...]) -> Fleet:
        running, starting, cold, obstacles = set(), set(), {}, {}
        replicas: dict[str, int] = {}
        for card in self._catalog:
            if self.members.has(card.id):
                continue
            app = apps.get(fleet.app_name(card))
            if app is not None and fleet.serving(app):
                running.add(card.id)
                replicas[card.id] = app.replicas
                if not app.replicas:
                    cold[card.id] = GUESS_S
                if app.app not in self._handles:
                    handle = serve.get_app_handle(app.app)
                    self._handles[app.app] = handle.options(method_name="infer", _by_reference=True)
            elif app is not None:
                if app.status in ("DEPLOYING", "NOT_STARTED"):
                    starting.add(card.id)
                obstacles[card.id] = f"its deployment is {app.status}: {app.message[:200]}"
            elif (reason := fleet.obstacle(card)) is not None:
                obstacles[card.id] = reason
        return Fleet(frozenset(running), frozenset(starting), obstacles, learned, cold, replicas)

    def sleeps(self, card: ModelCard) -> bool:
        """See ``controller.handles.Experts``."""
        return self.members.has(card.id)

    def lease(self, card: ModelCard, wait: float, until: float) -> AbstractAsyncContextManager[None]:
        """See ``controller.handles.Experts``."""
        return self.members.lease(card, wait, until)

    def infer(self, card: ModelCard, call: Call, upstream: Sequence[Response]) -> Response:
        """See ``controller.handles.Experts``."""
        handle = self.members.handle(card) if self.sleeps(card) else self._handles[fleet.app_name(card)]
        return ServeResponse(handle.remote(call, *map(inner, upstream)))

    def fetch(self, path: str) -> Response:
        """See ``controller.handles.Experts``."""
        return ServeResponse(self._artifacts.fetch.remote(path, reading()))

    def store(self, response: Response) -> Response:
        """See ``controller.handles.Experts``."""
        return ServeResponse(self._artifacts.store.remote(inner(response), caller().owner))

    def wake(self, card: ModelCard) -> None:
        """See ``controller.handles.Experts``; one that Serve put to sleep is woken by a small call on it."""
        if self.sleeps(card):
            self.members.expect(card.id)
            return
        call = self._handles[fleet.app_name(card)].options(method_name="figures").remote()
        self.members.aside(call)

    async def experts(self) -> list[Expert]:
        """See ``controller.handles.Cluster``."""
        apps = await asyncio.to_thread(fleet.status)
        await self.members.ask()  # calls and times change without being told
        names = await asyncio.to_thread(launch.names) if self.members.standings else {}
        named = {fleet.app_name(card): card for card in self._catalog if not self.members.has(card.id)}
        always = [roster.running(named[app.app], app) for app in apps.values() if app.app in named]
        return [*always, *(roster.member(standing, names) for standing in self.members.standings)]

    async def add(self, card: ModelCard) -> Expert:
        """See ``controller.handles.Cluster``."""
        return self._told(await self.members.do("add", card))

    async def remove(self, model: str) -> None:
        """See ``controller.handles.Cluster``."""
        await self.members.do("remove", model)

    async def act(self, model: str, action: str) -> Expert:
        """See ``controller.handles.Cluster``."""
        method, *arguments = _ACTIONS[action]
        return self._told(await self.members.do(method, model, *arguments))

    def _told(self, standing: Standing) -> Expert:
        return roster.member(standing, {})

    async def stat(self, path: str) -> Artifact:
        """What lies under a path.

        Raises:
            NotFoundError: nothing does.

        """
        artifact: Artifact = await answer(self._artifacts.stat.remote(path, reading()))
        return artifact

    async def link(self, url: str, wanted: Sequence[Modality]) -> Read:
        """See ``controller.handles.Cluster``.

        Raises:
            StoreError: the deployment that fetches links does not answer.

        """
        try:
            if self._links is None:
                self._links = await asyncio.to_thread(serve.get_app_handle, fleet.LINKS)
            links: DeploymentHandle = self._links
        except RayServeException:
            raise StoreError("The deployment that fetches links is not there; try again soon.") from None
        response = ServeResponse(links.read.remote(url, tuple(wanted), caller().owner))
        try:
            async with asyncio.timeout(LINK_S):
                read: Read = await response
        except TimeoutError:
            raise StoreError("The deployment that fetches links does not answer; try again soon.") from None
        finally:
            response.cancel()
        return read


def _expert(app: ExpertStatus) -> bool:
    """Whether an application answers and is named as experts are: by a task and a model."""
    return fleet.serving(app) and app.app.partition("--")[0] in TASKS
