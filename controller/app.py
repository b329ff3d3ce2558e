"""The Serve applications of the whole product, and the ingress that holds the controller."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr
from ray import serve
from ray.serve.config import BackpressureConfig
from starlette.types import ASGIApp

from controller.api.app import Backend, build
from controller.api.gate import ONGOING
from controller.brain import brain
from controller.controller import Controller
from controller.endpoints import endpoint
from controller.errors import SettingsError
from controller.experts import ServeExperts
from controller.handles import ServeStore
from controller.history import ServeHistory
from controller.metrics import Metrics
from controller.profile import Mode, members, mode
from controller.recorder import Recorder
from controller.selector import Selector
from controller.settings import Settings
from deployments import fleet, membership, placing
from deployments.errors import FleetError
from deployments.history.engine import address
from deployments.history.history import History
from deployments.links.links import links_app
from deployments.llm.card import llm_card
from deployments.llm.endpoint import Endpoint
from deployments.media import Limits
from deployments.standing import Standing
from deployments.storage import Keeping, vet
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.errors import CatalogError
from model_catalog.overlay import layered

_DAY_S = 86_400.0

_LLM_APPS = fleet.app_name(llm_card(Endpoint(model="x"))).removesuffix("x")
"""How the names of all applications begin whose experts are LLMs of the settings."""


@serve.ingress()
class Ingress:
    """The HTTP doors and the controller, in one deployment: a hop less for every request."""

    async def __init__(  # type: ignore[misc]
        self,
        settings: Settings,
        catalog: Catalog,
        planner: Endpoint | None = None,
        responder: Endpoint | None = None,
        history: tuple[SecretStr, float] | None = None,
    ) -> None:
        """Build the controller; experts that come later are told by ``refresh``.

        Args:
            settings: the settings, without keys.
            catalog: what may be deployed.
            planner: the LLM that plans, with its key; None for the embedded brain.
            responder: the LLM that answers, with its key; None for the embedded brain.
            history: the database of a history in this process, and its days; None where it has its own.

        """
        selector = Selector(catalog, settings.top_k)
        thinking = brain(planner, responder, settings.run_seconds, lambda: selector.fleet.cold)
        self._controller = Controller(
            settings,
            thinking.planner,
            thinking.responder,
            selector,
            ServeExperts(catalog),
            Metrics(),
        )
        own = None if history is None else await asyncio.to_thread(History, *history)
        self._history = own or ServeHistory()
        self._recorder = Recorder(self._history)
        await self._controller.refresh()
        self._recorder.start()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Serve once the constructor is through."""
        backend = Backend(self._controller, ServeStore(), self._history, self._recorder)
        return build(backend, proxied=True)

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> None:
        """Look up anew which experts run; ``cards`` are those of experts that were just deployed."""
        await self._controller.refresh(cards)

    async def standings(self, changed: Sequence[Standing], gone: Sequence[str]) -> None:
        """Take in how experts of the fleet stand now; called by the keeper."""
        self._controller.told(changed, gone)


def catalog(settings: Settings) -> Catalog:
    """The shipped catalog, with what a sync read and the operator's own cards over it, as it is to be served.

    Where an LLM is set for text tasks, its card is there too.

    Raises:
        SettingsError: the operator's file cannot be read, or models elsewhere could not be asked.

    """
    known = _placed_all(settings)
    llm = endpoint(settings, "expert")
    return known if llm is None else Catalog([*known, llm_card(llm)])


def _placed_all(settings: Settings) -> Catalog:
    try:
        known = layered(settings.data_dir, settings.catalog)
    except (CatalogError, OSError) as error:
        raise SettingsError(f"The catalog file cannot be used: {error}") from None
    where = mode(settings)
    if where == "local":
        return known
    if settings.huggingface_access_token is None and settings.inference_endpoint is None:
        raise SettingsError(
            f"The inference_mode of the settings or their profile is {where!r}, and models elsewhere are "
            "asked with a token: set HUGGINGFACE_ACCESS_TOKEN, or inference_endpoint for a service of your "
            "own."
        )
    return Catalog(_placed(card, settings, where) for card in known)


def _placed(card: ModelCard, settings: Settings, where: Mode) -> ModelCard:
    """The card of a model where the settings want it."""
    if where == "hybrid":
        away = placing.servable(card) and fleet.obstacle(card) is not None
    else:
        away = placing.movable(card)
    return placing.elsewhere(card, settings.inference_endpoint) if away else card


def chosen(settings: Settings, known: Catalog) -> list[ModelCard]:
    """The models to deploy: those the settings name, else the embedded ones and those of the profile.

    Of either, those that this machine can run now.

    The LLM of the settings is one of them: it takes nothing of this machine.

    Args:
        settings: the settings.
        known: their ``catalog``.

    Raises:
        UnknownModelError: the settings name a model that the catalog does not have.
        ProfileError: they name no profile, or one with such a model.

    """
    if settings.experts:
        named = [known.get(model) for model in settings.experts]
    else:
        wanted = [card for card in known if card.embedded and fleet.obstacle(card) is None]
        wanted += [card for card in members(settings, known) if not card.embedded]
        named = [card for card in wanted if not card.blocked]
    llm = endpoint(settings, "expert")
    own = () if llm is None else (llm_card(llm),)
    return [*named, *(card for card in own if card not in named)]


def limits(settings: Settings) -> Limits:
    """What one file may be, and how many bytes of weights a node keeps in RAM."""
    return Limits(max_bytes=settings.max_upload_bytes, max_weights_ram=settings.weights_ram_bytes)


def keeping(settings: Settings) -> Keeping:
    """Where files are kept, how long, and how many bytes of them.

    Raises:
        FleetError: this machine lacks what that storage needs.

    """
    place = settings.artifacts
    if place is not None:
        vet(place)
        place = place if "://" in place else str(Path(place).expanduser().absolute())
    return Keeping(place, settings.artifact_days * _DAY_S, settings.artifact_bytes)


def applications(
    settings: Settings, known: Catalog, experts: Sequence[ModelCard], lasting: bool = True
) -> list[serve.RunTarget]:
    """Every Serve application: artifacts, history, experts, their keeper, links, the controller.

    Args:
        settings: the settings.
        known: their ``catalog``.
        experts: the models to deploy.
        lasting: whether this outlives one command; else the controller's own process keeps the history, since
            each process takes seconds of a core to start.

    Raises:
        FleetError: this machine cannot run one of the experts, or use the storage of files.

    """
    held = limits(settings)
    artifacts = fleet.artifacts_app(
        str(settings.data_dir), held, settings.artifacts_resources, keeping(settings)
    )
    database = address(settings.database, settings.data_dir)
    history = fleet.history_app(database, settings.history_days, settings.artifacts_resources)
    ingress = serve.deployment(
        Ingress,
        name="controller",
        max_ongoing_requests=ONGOING,
        max_queued_requests=ONGOING,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=2),
        ray_actor_options={"num_cpus": 0, "resources": dict(settings.controller_resources)},
        health_check_period_s=fleet.HEALTH_PERIOD_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=settings.run_seconds,
    ).bind(
        settings.public().model_copy(update={"experts": tuple(card.id for card in experts)}),
        known,
        endpoint(settings, "planner"),
        endpoint(settings, "responder"),
        None if lasting else (database, settings.history_days),
    )
    token = settings.huggingface_access_token
    asleep = [card for card in experts if fleet.sleeps(card)]
    always = [card for card in experts if card not in asleep]
    return [
        serve.RunTarget(artifacts, name=fleet.ARTIFACTS, route_prefix=None),
        *([serve.RunTarget(history, name=fleet.HISTORY, route_prefix=None)] if lasting else []),
        *fleet.targets(always, held, token, endpoint(settings, "expert")),
        *([_keeper(settings, asleep)] if asleep or not settings.experts else []),
        *([_links(settings)] if settings.fetches else []),
        serve.RunTarget(ingress, name=fleet.CONTROLLER, route_prefix="/"),
    ]


def _keeper(settings: Settings, members: Sequence[ModelCard]) -> serve.RunTarget:
    """The keeper's application; a server for a single request by embedded experts goes without."""
    keeper = membership.keeper_app(
        members,
        str(settings.data_dir),
        limits(settings),
        settings.huggingface_access_token,
        idle_s=settings.idle_seconds,
        resources=settings.artifacts_resources,
    )
    return serve.RunTarget(keeper, name=fleet.KEEPER, route_prefix=None)


def _links(settings: Settings) -> serve.RunTarget:
    """The application that fetches web links, on the node of the controller."""
    links = links_app(settings.max_link_bytes, limits(settings), settings.controller_resources)
    return serve.RunTarget(links, name=fleet.LINKS, route_prefix=None)


def install(
    settings: Settings, known: Catalog | None = None, lasting: bool = True
) -> tuple[list[ModelCard], dict[str, str]]:
    """Deploy everything on the cluster this process is connected to.

    The expert of an LLM that earlier settings named, and these do not, is removed; others stay.

    Args:
        settings: the settings.
        known: the catalog; that of the settings where none is given.
        lasting: see ``applications``.

    Returns:
        The experts that are ready, and why others are not, by the name of their application.

    Raises:
        SettingsError: the operator's catalog cannot be read, or models elsewhere could not be asked.
        FleetError: the controller, or a deployment that it needs, did not become ready, or no runner fits an
            expert.

    """
    known = catalog(settings) if known is None else known
    experts = chosen(settings, known)
    failed = fleet.run(applications(settings, known, experts, lasting))
    _remove_former(known)
    if not settings.fetches and fleet.LINKS in serve.status().applications:  # of earlier settings
        serve.delete(fleet.LINKS)
    for name in (fleet.ARTIFACTS, fleet.HISTORY, fleet.KEEPER, fleet.LINKS, fleet.CONTROLLER):
        if name in failed:
            raise FleetError(f"The application {name} did not become ready ({failed[name]}).")
    return [card for card in experts if fleet.app_name(card) not in failed], failed


def _remove_former(known: Catalog) -> None:
    """Remove experts of LLMs that the settings no longer name: nothing more is to be sent there.

    They stay until what replaces them is up. One that the operator's catalog has is the operator's own.
    """
    kept = {fleet.app_name(card) for card in known}
    former = [name for name in fleet.status() if name.startswith(_LLM_APPS) and name not in kept]
    for name in former:
        with suppress(TimeoutError):  # it finishes what it has begun, and is deleted then
            serve.delete(name)
    if former:
        fleet.announce()
