"""The one place that touches Serve handles: experts and artifacts, called by reference.

``_by_reference=True`` keeps payloads in Ray's object store even where ``RAY_SERVE_THROUGHPUT_OPTIMIZED``
makes Serve send values through the caller (Ray 2.60).
"""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from ray import serve
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from controller.errors import StoreError
from controller.selector import Fleet
from deployments import fleet
from deployments.account import Artifact
from deployments.fleet import ExpertStatus
from deployments.placing import runs_elsewhere
from deployments.result import Call
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS

STORE_S = 30.0
"""How long the artifact deployment may take for one small answer."""

CARD_S = 5.0
"""How long an expert may take to tell its card."""


class Response(Protocol):
    """A call under way: awaited for its value, given on to other calls, cancelled."""

    def __await__(self) -> Generator[Any, None, Any]: ...

    def cancel(self) -> None:
        """Give the call up, down to the model."""


class ServeResponse:
    """A Serve response whose cancel only cancels: Serve's own raises what the call has failed with."""

    __slots__ = ("inner",)

    def __init__(self, inner: DeploymentResponse[Any]) -> None:
        self.inner = inner

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the value."""
        return cast("Generator[Any, None, Any]", self.inner.__await__())

    def cancel(self) -> None:
        """Give the call up; nothing happens where it has ended."""
        with suppress(Exception):
            self.inner.cancel()


class Experts(Protocol):
    """What a dispatcher needs of a cluster; calls return at once."""

    def infer(self, card: ModelCard, call: Call, upstream: Sequence[Response]) -> Response:
        """Run a task on an expert, with the upstream responses as they are; gives a ``Result``."""
        ...

    def fetch(self, path: str) -> Response:
        """Bring a stored file into the object store; gives a ``File``."""
        ...

    def store(self, response: Response) -> Response:
        """Store the media of an expert's response; gives its ``Account``."""
        ...


class Cluster(Experts, Protocol):
    """What a controller needs of a cluster."""

    def wake(self, card: ModelCard) -> None:
        """Have a replica of an expert started; returns at once."""
        ...

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> Fleet:
        """Look up which experts run; ``cards`` are those of experts that were just deployed."""
        ...

    async def experts(self) -> list[dict[str, Any]]:
        """Each deployed expert: model, tasks, and its state."""
        ...

    async def stat(self, path: str) -> Artifact:
        """What lies under a path.

        Raises:
            NotFoundError: nothing does.

        """
        ...


class ServeExperts:
    """Experts and artifacts behind Serve handles."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._handles: dict[str, DeploymentHandle] = {}
        self._waking: set[asyncio.Future[None]] = set()
        self._artifacts = serve.get_app_handle(fleet.ARTIFACTS).options(_by_reference=True)

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> Fleet:
        """Look up which experts run; off the event loop, since Serve blocks.

        Args:
            cards: those of experts that were just deployed; they count above the catalog's.

        """
        apps = await asyncio.to_thread(fleet.status)
        known = {fleet.app_name(card) for card in (*self._catalog, *cards)}
        unknown = [app.app for app in apps.values() if _expert(app) and app.app not in known]
        asked = await asyncio.gather(*map(self._card_of, unknown))
        learned = (*cards, *(card for card in asked if card is not None))
        if learned:
            self._catalog = Catalog([*self._catalog, *learned])
        return await asyncio.to_thread(self._fleet, apps, learned)

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
        running, starting, cold, obstacles = set(), set(), set(), {}
        for card in self._catalog:
            app = apps.get(fleet.app_name(card))
            if app is not None and fleet.serving(app):
                running.add(card.id)
                if not app.replicas:
                    cold.add(card.id)
                if app.app not in self._handles:
                    handle = serve.get_app_handle(app.app)
                    self._handles[app.app] = handle.options(method_name="infer", _by_reference=True)
            elif app is not None:
                if app.status in ("DEPLOYING", "NOT_STARTED"):
                    starting.add(card.id)
                obstacles[card.id] = f"its deployment is {app.status}: {app.message[:200]}"
            elif (reason := fleet.obstacle(card)) is not None:
                obstacles[card.id] = reason
        return Fleet(frozenset(running), frozenset(starting), obstacles, learned, frozenset(cold))

    def infer(self, card: ModelCard, call: Call, upstream: Sequence[Response]) -> Response:
        """See ``Experts``."""
        return ServeResponse(self._handles[fleet.app_name(card)].remote(call, *map(_inner, upstream)))

    def fetch(self, path: str) -> Response:
        """See ``Experts``."""
        return ServeResponse(self._artifacts.fetch.remote(path))

    def store(self, response: Response) -> Response:
        """See ``Experts``."""
        return ServeResponse(self._artifacts.store.remote(_inner(response)))

    def wake(self, card: ModelCard) -> None:
        """Have a replica of an expert started, by a small call on it; returns at once."""
        call = self._handles[fleet.app_name(card)].options(method_name="figures").remote()
        waiting = asyncio.ensure_future(_quietly(call))
        self._waking.add(waiting)
        waiting.add_done_callback(self._waking.discard)

    async def experts(self) -> list[dict[str, Any]]:
        """Each deployed expert: model, tasks, and its state in Serve."""
        apps = await asyncio.to_thread(fleet.status)
        named = {fleet.app_name(card): card for card in self._catalog}
        return [
            {
                "model": card.id,
                "tasks": list(card.tasks),
                "application": app.app,
                "status": app.status,
                "replicas": app.replicas,
                "gpu": card.gpu or 0.0,
                "elsewhere": runs_elsewhere(card),
                "message": app.message,
            }
            for app in apps.values()
            if (card := named.get(app.app)) is not None
        ]

    async def stat(self, path: str) -> Artifact:
        """What lies under a path.

        Raises:
            NotFoundError: nothing does.

        """
        artifact: Artifact = await _answer(self._artifacts.stat.remote(path))
        return artifact


def _expert(app: ExpertStatus) -> bool:
    """Whether an application answers and is named as experts are: by a task and a model."""
    return fleet.serving(app) and app.app.partition("--")[0] in TASKS


def _inner(response: Response) -> Any:
    """What Serve takes as an argument."""
    return response.inner if isinstance(response, ServeResponse) else response


async def _quietly(response: DeploymentResponse[Any]) -> None:
    """Wait for a call whose answer nobody needs."""
    with suppress(Exception):
        await response


async def _answer(response: DeploymentResponse[Any]) -> Any:
    """The answer of the artifact deployment, for which Serve itself would wait without end.

    Raises:
        StoreError: it does not answer in time.

    """
    try:
        async with asyncio.timeout(STORE_S):
            return await response
    except TimeoutError:
        ServeResponse(response).cancel()
        raise StoreError("The deployment that holds the files does not answer; try again soon.") from None


class ServeStore:
    """The artifact deployment behind its Serve handle."""

    def __init__(self) -> None:
        self._handle = serve.get_app_handle(fleet.ARTIFACTS)

    async def begin(self) -> str:
        """Open an upload; returns its ticket."""
        ticket: str = await _answer(self._handle.begin.remote())
        return ticket

    async def append(self, ticket: str, data: bytes) -> None:
        """Add bytes to an upload."""
        await _answer(self._handle.append.remote(ticket, data))

    async def finish(self, ticket: str, name: str) -> Artifact:
        """Check an uploaded file and give it its id."""
        artifact: Artifact = await _answer(self._handle.finish.remote(ticket, name))
        return artifact

    async def abort(self, ticket: str) -> None:
        """Give an upload up."""
        await _answer(self._handle.abort.remote(ticket))

    async def stat(self, path: str) -> Artifact:
        """What lies under a path."""
        artifact: Artifact = await _answer(self._handle.stat.remote(path))
        return artifact

    async def find(self, number: str) -> tuple[Artifact, float]:
        """The stored file with that id, and when it was stored."""
        found: tuple[Artifact, float] = await _answer(self._handle.find.remote(number))
        return found

    async def listed(
        self, limit: int, after: str = "", newest: bool = True
    ) -> tuple[list[tuple[Artifact, float]], bool]:
        """Stored files with their times, and whether there are more."""
        page: tuple[list[tuple[Artifact, float]], bool]
        page = await _answer(self._handle.listed.remote(limit, after, newest))
        return page

    async def read(self, path: str, start: int, size: int) -> bytes:
        """A piece of a file."""
        data: bytes = await _answer(self._handle.read.remote(path, start, size))
        return data

    async def remove(self, path: str) -> None:
        """Remove a stored file."""
        await _answer(self._handle.remove.remote(path))

    async def location(self) -> str:
        """The folder that holds the files."""
        folder: str = await _answer(self._handle.location.remote())
        return folder
