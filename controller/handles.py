"""The one place that touches Serve handles: experts and artifacts, called by reference.

``_by_reference=True`` keeps payloads in Ray's object store even where ``RAY_SERVE_THROUGHPUT_OPTIMIZED``
makes Serve send values through the caller (Ray 2.60).
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol, cast

from ray import serve
from ray.serve.handle import DeploymentResponse

from controller.errors import StoreError
from controller.identity import Scope, caller
from controller.roster import Expert
from controller.selector import Fleet
from deployments import fleet
from deployments.account import Artifact, Stored
from deployments.links.reading import Read
from deployments.result import Call
from deployments.standing import Standing
from model_catalog.card import ModelCard
from model_catalog.tasks import Modality

STORE_S = 30.0
"""How long the artifact deployment may take for one small answer."""

LINK_S = 90.0
"""How long a link may take, waiting for its turn included."""


class Response(Protocol):
    """A call under way: awaited for its value, given on to other calls, cancelled."""

    def __await__(self) -> Generator[Any, None, Any]: ...

    async def arrived(self) -> None:
        """Wait until there is a value, or an error; nothing of it is brought here."""

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

    async def arrived(self) -> None:
        """Wait until there is a value, or an error, in some node's object store."""
        present = asyncio.ensure_future(self._present())
        try:
            await asyncio.wait({present})
        finally:
            present.cancel()

    async def _present(self) -> None:
        with suppress(Exception):  # the call itself tells it
            reference = await self.inner._to_object_ref()
            await reference._ready()  # as Serve's own router waits for what goes along with a call

    def cancel(self) -> None:
        """Give the call up; nothing happens where it has ended."""
        with suppress(Exception):
            self.inner.cancel()


class Experts(Protocol):
    """What a dispatcher needs of a cluster; calls return at once."""

    def sleeps(self, card: ModelCard) -> bool:
        """Whether an expert holds no replica while it is idle, so that a call of it needs a lease."""
        ...

    def lease(self, card: ModelCard, wait: float, until: float) -> AbstractAsyncContextManager[None]:
        """The time of a call to an expert that sleeps: it is woken, and stays awake meanwhile.

        Args:
            card: the expert's card.
            wait: until when room for it is waited for, in seconds since the epoch.
            until: when the call has ended at the latest.

        Raises:
            BusyError: there is no room for it in time.
            FleetError: it cannot be woken.

        """
        ...

    def wake(self, card: ModelCard) -> None:
        """Have an expert woken that will probably be called soon; returns at once."""
        ...

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

    def told(self, changed: Sequence[Standing], gone: Sequence[str]) -> Fleet:
        """What runs, now that experts of the fleet have changed, or left it."""
        ...

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> Fleet:
        """Look up which experts run; ``cards`` are those of experts that were just deployed."""
        ...

    async def experts(self) -> list[Expert]:
        """Every expert, those that sleep among them."""
        ...

    async def add(self, card: ModelCard) -> Expert:
        """Take an expert into the fleet, asleep.

        Raises:
            FleetError: this cluster can never run it, or has no fleet.

        """
        ...

    async def remove(self, model: str) -> None:
        """Take an expert out of the fleet.

        Raises:
            FleetError: it is not of the fleet.

        """
        ...

    async def act(self, model: str, action: str) -> Expert:
        """Wake an expert of the fleet, put it to ``sleep``, ``pin`` or ``unpin`` it.

        Raises:
            FleetError: it is not of the fleet, or cannot be woken.

        """
        ...

    async def stat(self, path: str) -> Artifact:
        """What lies under a path.

        Raises:
            NotFoundError: nothing does.

        """
        ...

    async def link(self, url: str, wanted: Sequence[Modality]) -> Read:
        """Fetch what a web link names and store it, as the caller's.

        Args:
            url: the link.
            wanted: what it may hold, the likeliest first; empty for anything.

        Raises:
            LinkError: it is not followed, or gives nothing of that.
            MediaError: it gives a broken file, or too much.

        """
        ...


def inner(response: Response) -> Any:
    """What Serve takes as an argument."""
    return response.inner if isinstance(response, ServeResponse) else response


async def answer(response: DeploymentResponse[Any]) -> Any:
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


def reading() -> str | None:
    """Whose files the caller may read, list and remove: their own, or everybody's (None)."""
    who = caller()
    return None if who.may(Scope.ADMIN) else who.owner


class ServeStore:
    """The artifact deployment behind its Serve handle; what is stored, and what is there, is the caller's."""

    def __init__(self) -> None:
        self._handle = serve.get_app_handle(fleet.ARTIFACTS)

    async def begin(self) -> str:
        """Open an upload; returns its ticket."""
        ticket: str = await answer(self._handle.begin.remote())
        return ticket

    async def append(self, ticket: str, data: bytes) -> None:
        """Add bytes to an upload."""
        await answer(self._handle.append.remote(ticket, data))

    async def finish(self, ticket: str, name: str, life_s: float | None = None) -> Artifact:
        """Check an uploaded file and give it its id."""
        artifact: Artifact
        artifact = await answer(self._handle.finish.remote(ticket, name, caller().owner, life_s))
        return artifact

    async def abort(self, ticket: str) -> None:
        """Give an upload up."""
        await answer(self._handle.abort.remote(ticket))

    async def stat(self, path: str) -> Artifact:
        """What lies under a path."""
        artifact: Artifact = await answer(self._handle.stat.remote(path, reading()))
        return artifact

    async def about(self, path: str) -> Stored:
        """The same with its own name, its digest and its times."""
        found: Stored = await answer(self._handle.about.remote(path, reading()))
        return found

    async def find(self, number: str) -> Stored:
        """The stored file with that id."""
        found: Stored = await answer(self._handle.find.remote(number, reading()))
        return found

    async def listed(self, limit: int, after: str = "", newest: bool = True) -> tuple[list[Stored], bool]:
        """Stored files, and whether there are more."""
        page: tuple[list[Stored], bool]
        page = await answer(self._handle.listed.remote(limit, after, newest, reading()))
        return page

    async def read(self, path: str, start: int, size: int) -> bytes:
        """A piece of a file."""
        data: bytes = await answer(self._handle.read.remote(path, start, size, reading()))
        return data

    async def remove(self, path: str) -> None:
        """Remove a stored file."""
        await answer(self._handle.remove.remote(path, reading()))

    async def location(self) -> str:
        """The folder that holds the files."""
        folder: str = await answer(self._handle.location.remote())
        return folder
