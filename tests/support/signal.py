"""Signals between processes: something happened, and a test that waits for it is woken."""

import asyncio
import secrets
from collections import Counter
from typing import Any, cast

import ray

_NAMESPACE = "tests"


@ray.remote(num_cpus=0)
class _Board:
    """Which signals were given, and how often."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    async def give(self, name: str) -> None:
        async with self._changed:
            self._given[name] += 1
            self._changed.notify_all()

    async def wait(self, name: str, times: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._given[name] >= times)


class Signals:
    """The signals of one test, over a board that every process of the cluster can find by name."""

    def __init__(self) -> None:
        self.name = f"board-{secrets.token_hex(4)}"
        self._board: Any = cast("Any", _Board).options(name=self.name, namespace=_NAMESPACE).remote()

    async def wait(self, signal: str, seconds: float = 30.0, times: int = 1) -> None:
        """Wait until a signal was given, that often."""
        async with asyncio.timeout(seconds):
            await self._board.wait.remote(signal, times)


def give(board: str, signal: str) -> None:
    """Give a signal, from any process of the cluster."""
    ray.get(ray.get_actor(board, namespace=_NAMESPACE).give.remote(signal), timeout=30)
