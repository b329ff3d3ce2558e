"""The experts of the fleet, as a controller sees them: how they stand, leases, and handles that hold."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from ray import serve
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from controller.failure import GONE, failure
from controller.handles import ServeResponse
from controller.spares import SHARED_S, Held, Spares
from deployments import fleet
from deployments.errors import FleetError
from deployments.standing import Standing
from model_catalog.card import ModelCard

ASK_S = 10.0
"""How long the keeper may take to tell how the fleet stands."""

REACH_S = 5.0
"""How long it may take until this process knows of a replica that the keeper knows of."""

_AGAIN_S = 0.05


class Members:
    """The fleet's experts, behind the keeper's handle and their own."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        self._keeper: DeploymentHandle | None = None
        self._handles: dict[str, tuple[int, DeploymentHandle]] = {}
        self._reaching: dict[str, asyncio.Lock] = {}
        self._quiet: set[asyncio.Future[None]] = set()
        self._spares = Spares(self._give_back)

    @property
    def standings(self) -> Sequence[Standing]:
        """How each of them stands, as far as the keeper has told."""
        return tuple(self._standings.values())

    def has(self, model: str) -> bool:
        """Whether a model is of the fleet."""
        return model in self._standings

    def told(self, changed: Sequence[Standing], gone: Sequence[str]) -> None:
        """Take in what the keeper tells."""
        self._standings |= {standing.card.id: standing for standing in changed}
        for model in [standing.card.id for standing in changed if not standing.awake]:
            self._spares.drop(model)
        for model in gone:
            self._standings.pop(model, None)
            self._handles.pop(model, None)
            self._spares.drop(model)

    async def ask(self) -> None:
        """Ask the keeper how the fleet stands; nothing happens where there is none."""
        try:
            async with asyncio.timeout(ASK_S):
                keeper = await self.keeper()
                found: list[Standing] = await keeper.standings.remote()
        except Exception:  # there is none, or it starts anew and tells us when it is there
            return
        self._standings = {standing.card.id: standing for standing in found}

    async def keeper(self) -> DeploymentHandle:
        """The keeper's handle.

        Raises:
            FleetError: there is no keeper on this cluster.

        """
        if self._keeper is None:
            try:
                self._keeper = await asyncio.to_thread(serve.get_app_handle, fleet.KEEPER)
            except Exception:
                raise FleetError(
                    "This server has no fleet, as it was started for named experts; use hugginggpt up."
                ) from None
        return self._keeper

    def expect(self, model: str) -> None:
        """Tell the keeper that an expert will probably be called soon; returns at once."""
        if self._keeper is not None:
            self.aside(self._keeper.expect.remote(model))

    @asynccontextmanager
    async def lease(self, card: ModelCard, wait: float, until: float) -> AsyncIterator[None]:
        """See ``controller.handles.Experts``."""
        keeper = await self.keeper()
        clock, ended_well = asyncio.get_running_loop().time, False
        held = self._spares.take(card.id, until) or await self._granted(keeper, card, wait, until)
        began = clock()
        try:
            await self._reach(card, held.epoch)
            yield
            ended_well = True
        except Exception as error:
            if failure(error).code in GONE:
                self._spares.drop(card.id)
                self.aside(keeper.doubt.remote(card.id))
            raise
        finally:
            held.served(clock() - began)
            if ended_well:
                self._spares.keep(card.id, held)
            else:
                self._give_back(held)

    async def _granted(self, keeper: DeploymentHandle, card: ModelCard, wait: float, until: float) -> Held:
        """A lease of the keeper's, once the expert is awake."""
        held = Held(until + SHARED_S)
        asked = ServeResponse(keeper.lease.remote(card.id, held.name, wait, held.until))
        try:
            held.granted(await asked)
        except BaseException:
            asked.cancel()
            self._give_back(held)
            raise
        return held

    def _give_back(self, held: Held) -> None:
        if self._keeper is not None:
            self.aside(self._keeper.release.remote(held.name, held.calls, held.worked_s))

    async def do(self, method: str, *arguments: Any) -> Any:
        """Have the keeper do something; see ``deployments.keeper.Keeper``.

        Raises:
            FleetError: there is no keeper here, or it refuses.

        """
        keeper = await self.keeper()
        return await getattr(keeper, method).remote(*arguments)

    def handle(self, card: ModelCard) -> DeploymentHandle:
        """The handle of an expert that is awake, under a lease."""
        return self._handles[card.id][1]

    async def _reach(self, card: ModelCard, epoch: int) -> None:
        """Have a handle of an expert that knows its replicas.

        Serve tells each process of new replicas on its own time; until then a handle of an application whose
        namesake ended lately says that it is unavailable.

        Raises:
            FleetError: this process does not come to know of them.

        """
        async with self._reaching.setdefault(card.id, asyncio.Lock()):  # many are granted a lease at once
            if self._handles.get(card.id, (-1, None))[0] != epoch:
                self._handles[card.id] = (epoch, await self._found(card))

    async def _found(self, card: ModelCard) -> DeploymentHandle:
        """The handle of an expert, once it answers."""
        loop = asyncio.get_running_loop()
        late = loop.time() + REACH_S
        while True:
            try:
                handle: DeploymentHandle = await asyncio.to_thread(serve.get_app_handle, fleet.app_name(card))
                await handle.figures.remote()
                return handle.options(method_name="infer", _by_reference=True)
            except (RayServeException, DeploymentUnavailableError):  # no such application, or none yet
                if loop.time() > late:
                    self.aside((await self.keeper()).doubt.remote(card.id))
                    raise FleetError(f"{card.id} is awake, but cannot be reached; try again.") from None
                await asyncio.sleep(_AGAIN_S)

    def aside(self, response: DeploymentResponse[Any]) -> None:
        """Let a call go on whose answer nobody needs."""
        waiting = asyncio.ensure_future(_quietly(response))
        self._quiet.add(waiting)
        waiting.add_done_callback(self._quiet.discard)


async def _quietly(response: DeploymentResponse[Any]) -> None:
    with suppress(Exception):
        await response
