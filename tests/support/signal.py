"""Signals between processes: something happened, and a test that waits for it is woken."""

import asyncio
import secrets
from typing import Any, cast

import ray

_NAMESPACE = "tests"


@ray.remote(num_cpus=0)
class _Board:
    """Which signals were given."""

    def __init__(self) -> None:
        self._given: dict[str, asyncio.Event] = {}

    def _event(self, name: str) -> asyncio.Event:
        return self._given.setdefault(name, asyncio.Event())

    async def give(self, name: str) -> None:
        self._event(name).set()

    async def wait(self, name: str) -> None:
        await self._event(name).wait()


class Signals:
    """The signals of one test, over a board that every process of the cluster can find by name."""

    def __init__(self) -> None:
        self.name = f"board-{secrets.token_hex(4)}"
        self._board: Any = cast("Any", _Board).options(name=self.name, namespace=_NAMESPACE).remote()

    async def wait(self, signal: str, seconds: float = 30.0) -> None:
        """Wait until a signal is given."""
        async with asyncio.timeout(seconds):
            await self._board.wait.remote(signal)


def give(board: str, signal: str) -> None:
    """Give a signal, from any process of the cluster."""
    ray.get(ray.get_actor(board, namespace=_NAMESPACE).give.remote(signal), timeout=30)
