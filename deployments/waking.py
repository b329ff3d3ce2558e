"""The keeper's hands: experts' applications started, awaited, resized and ended, each step by step."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from pydantic import SecretStr
from ray import serve
from ray.serve.exceptions import DeploymentUnavailableError

from deployments import fleet, launch
from deployments.errors import FleetError
from deployments.figures import Figures
from deployments.media import Limits
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

logger = logging.getLogger("ray.serve")

WAKE_S = 3600.0
"""How long an expert may take to wake: a node may have to be started, and its weights fetched there."""

ASK_S = 20.0
"""How long an expert that ran before the keeper did may take to tell its figures."""

RESIZE_S = 120.0
"""How long a further replica may take; its room may be taken by somebody else."""

ENDED_S = 300.0
"""How long an application may take to end: its replicas finish what they have begun."""

_FIRST_S = 0.05
_AGAIN_S = 0.1
_WATCH_S = 2.0
_SLOWEST_WATCH_S = 15.0


class Hands:
    """What is done to experts' applications; the steps of one expert follow each other."""

    def __init__(self, limits: Limits | None, token: SecretStr | None) -> None:
        self._limits = limits
        self._token = token
        self._steps: dict[str, list[asyncio.Task[None]]] = {}

    def begin(self, model: str, work: Callable[[], Coroutine[Any, Any, None]], *, over: bool = False) -> None:
        """Begin a step of an expert after those before it, which are given up where ``over`` is set."""
        before = self._steps.setdefault(model, [])
        if over:
            for task in before:
                task.cancel()
        earlier = list(before)

        async def step() -> None:
            if earlier:
                await asyncio.wait(earlier)
            await work()

        task = asyncio.create_task(step())
        before.append(task)
        task.add_done_callback(lambda done: self._ended(model, done))

    def _ended(self, model: str, task: "asyncio.Task[None]") -> None:
        self._steps[model].remove(task)
        if not self._steps[model]:
            del self._steps[model]
        if not task.cancelled() and task.exception() is not None:
            logger.error("a step of %s failed", model, exc_info=task.exception())

    async def wake(self, card: ModelCard, memory: int) -> list[Figures]:
        """Start an expert, and wait until its replica is ready.

        Args:
            card: its card, with the share that it takes.
            memory: bytes of a node's memory to reserve, on the CPU.

        Raises:
            FleetError: it could not be started; the message says why. Nothing of it is left.

        """
        start = asyncio.create_task(asyncio.to_thread(launch.start, card, self._limits, self._token, memory))
        try:
            await asyncio.shield(start)
            return await self.ready(card, 1)
        except asyncio.CancelledError:
            await asyncio.wait(
                {start}
            )  # a thread cannot be stopped; what ends the application comes after it
            raise
        except Exception as error:
            with suppress(Exception):
                await self.end(card)
            told = error.message if isinstance(error, HuggingGPTError) else f"{type(error).__name__}"
            if not isinstance(error, HuggingGPTError | TimeoutError):
                logger.exception("%s could not be started", card.id)
            raise FleetError(told) from error

    async def resize(self, card: ModelCard, replicas: int) -> list[Figures]:
        """Have as many replicas of an expert, and wait for them a while; one alone where they do not come.

        Raises:
            Exception: it has not even one.

        """
        try:
            await asyncio.to_thread(launch.resize, card, replicas)
            return await self.ready(card, replicas, RESIZE_S)
        except Exception as error:
            logger.warning("%s did not get %d replicas (%s)", card.id, replicas, type(error).__name__)
            await asyncio.to_thread(launch.resize, card, 1)
            return await self.ready(card, 1, RESIZE_S)

    async def end(self, card: ModelCard) -> None:
        """End an expert's application, and wait until nothing is left; what it has begun is finished."""
        name = fleet.app_name(card)
        await asyncio.to_thread(launch.delete, name)
        pause, late = _FIRST_S, time.monotonic() + ENDED_S
        while not await asyncio.to_thread(launch.gone, name):  # Serve has no event for this
            if time.monotonic() > late:
                logger.warning("%s did not end in time", card.id)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    async def asked(self, card: ModelCard, seconds: float = ASK_S) -> list[Figures] | None:
        """The figures of an expert that runs; None where it does not answer in time."""
        try:
            async with asyncio.timeout(seconds):
                handle = await asyncio.to_thread(serve.get_app_handle, fleet.app_name(card))
                return await asyncio.to_thread(_all, handle, seconds)
        except Exception:
            return None

    async def ready(self, card: ModelCard, replicas: int, seconds: float = WAKE_S) -> list[Figures]:
        """The figures of an expert's replicas, once there are so many.

        Raises:
            FleetError: its application failed.
            TimeoutError: they are not ready in time.

        """
        asked = asyncio.create_task(_figures(card, replicas))
        watch = asyncio.create_task(_watch(card))
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait({asked, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise FleetError(watch.result())
            return asked.result()
        finally:
            for task in (asked, watch):
                task.cancel()
            await asyncio.gather(asked, watch, return_exceptions=True)


async def _figures(card: ModelCard, replicas: int) -> list[Figures]:
    """Ask an expert's replicas for their figures until so many answer.

    A handle that was made soon after an application of the same name ended is told that it is unavailable,
    until Serve has told this process of the new one.
    """
    while True:
        handle = await asyncio.to_thread(serve.get_app_handle, fleet.app_name(card))
        try:
            first: Figures = await handle.figures.remote()
            told = [first] if replicas == 1 else await asyncio.to_thread(_all, handle, ASK_S)
        except DeploymentUnavailableError:
            told = []
        if len(told) == replicas or (replicas == 1 and told):
            return told
        await asyncio.sleep(_AGAIN_S)


def _all(handle: Any, seconds: float) -> list[Figures]:
    return list(handle.broadcast("figures").results(timeout_s=seconds))


async def _watch(card: ModelCard) -> str:
    """Look now and then whether an application that starts has failed, for Serve tells nobody; says why."""
    pause = _WATCH_S
    while True:
        await asyncio.sleep(pause)
        if (why := await asyncio.to_thread(launch.trouble, card)) is not None:
            return why
        pause = min(1.5 * pause, _SLOWEST_WATCH_S)
