"""Clients that go away from the product on a real cluster: the expert is free again, and nothing stays."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import ray
from ray.util.state import list_actors

from tests.deployments.samples import PICTURES
from tests.support.cluster import EXTRA, card, deployed, replicas
from tests.support.signal import Signals
from tests.support.stored import kept

_SECONDS = 60
_TEXT = "Estimate the depth of /examples/sign.png"
_ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": _TEXT}]}
_CHAT = {"model": "hugginggpt", **_ASKED}
_CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "ask", "arguments": {"text": _TEXT}},
}
_ACCEPT = {"accept": "application/json, text/event-stream"}

DOORS: dict[str, dict[str, Any]] = {
    "a streamed run": {"url": "/v1/runs", "json": {**_ASKED, "stream": True}},
    "a run": {"url": "/v1/runs", "json": _ASKED},
    "a streamed chat": {"url": "/v1/chat/completions", "json": {**_CHAT, "stream": True}},
    "a chat": {"url": "/v1/chat/completions", "json": _CHAT},
    "a model": {"url": f"/models/{EXTRA[0].id}", "content": PICTURES["image/png"]},
    "jarvis": {"url": "/hugginggpt", "json": _ASKED},
    "mcp": {"url": "/mcp", "json": _CALL, "headers": _ACCEPT},
}
"""What is asked, as arguments of a client's ``post``."""


class Leavers:
    """Clients that ask for something, and go away as soon as the model works on it."""

    def __init__(self, url: str, signals: Signals) -> None:
        self._url = url
        self._signals = signals
        self._count = 0

    async def leave(self, door: str, times: int) -> None:
        """Ask and go away, so many times in a row; each waits until the model has stopped."""
        for _ in range(times):
            self._count += 1
            async with httpx2.AsyncClient(base_url=self._url, timeout=_SECONDS) as http:
                asking = asyncio.create_task(http.post(**DOORS[door]))
                await self._signals.wait("begun", _SECONDS, self._count)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            await self._signals.wait("stopped", _SECONDS, self._count)


@pytest.fixture(scope="module")
def leavers(product: str) -> Iterator[Leavers]:
    """Clients of an expert that works until it is stopped."""
    signals = Signals()
    model = card("hanging", "depth-estimation", "Hangs", description=signals.name)
    with deployed([model.model_copy(update={"id": EXTRA[0].id})]):
        yield Leavers(product, signals)


def _ongoing() -> dict[str, int]:
    """The requests under way at each replica of the cluster that has any."""
    dashboard = ray._private.worker._global_node.webui_url
    actors = list_actors(address=f"http://{dashboard}", filters=[("state", "=", "ALIVE")], limit=1000)
    names = [actor.name for actor in actors if actor.class_name.startswith("ServeReplica:")]
    handles = [ray.get_actor(name, namespace="serve") for name in names]
    counts = ray.get([handle.get_num_ongoing_requests.remote() for handle in handles], timeout=30)
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _idle() -> None:
    """Wait until no replica has a request under way: Serve learns of an end a moment after the model."""
    pause = threading.Event()
    for _ in range(10 * _SECONDS):
        if not (ongoing := _ongoing()):
            return
        pause.wait(0.1)
    raise AssertionError(f"requests are still under way: {ongoing}")


def _files(home: Path) -> set[Path]:
    return set(kept(home / "artifacts"))


@pytest.mark.parametrize("door", DOORS)
async def test_a_client_that_goes_away_frees_the_expert(door: str, leavers: Leavers, home: Path) -> None:
    before = _files(home)
    await leavers.leave(door, 10 if door == "a streamed run" else 2)
    await asyncio.to_thread(_idle)
    assert _files(home) == before


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("door", DOORS)
async def test_a_hundred_clients_that_go_away_leave_nothing(door: str, leavers: Leavers, home: Path) -> None:
    await leavers.leave(door, 10)
    await asyncio.to_thread(_idle)
    processes = [psutil.Process(pid) for pid in replicas("")]
    before, files = [process.memory_full_info().uss for process in processes], _files(home)
    await leavers.leave(door, 100)
    await asyncio.to_thread(_idle)
    assert _files(home) == files
    for process, size in zip(processes, before, strict=True):
        grown = process.memory_full_info().uss - size
        assert grown < 8 << 20, f"{process.name()} grew by {grown} bytes over a hundred clients"
