"""Clients that go away in the middle, time and again: what they asked for is given up and forgotten."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from controller.api import media
from controller.api.app import Backend, build
from controller.dispatcher import Dispatcher
from deployments import uploads
from deployments.artifacts import Artifacts
from deployments.errors import NotFoundError
from tests.api.doors import Stored, asked
from tests.api.leaving import Visit
from tests.api.speaking import tasks_end
from tests.deployments.samples import PICTURES
from tests.support.dispatching import ONE
from tests.support.fakes import Called
from tests.support.stage import Stage
from tests.support.stored import kept

PNG = PICTURES["image/png"]
_CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "fill_mask", "arguments": {"text": "x"}},
}
_ACCEPT = {"accept": "application/json, text/event-stream"}
_CHAT = {"model": "hugginggpt", **asked()}

DOORS: dict[str, tuple[str, Any, dict[str, str]]] = {
    "a run": ("/v1/runs", asked(), {}),
    "a streamed run": ("/v1/runs", asked(stream=True), {}),
    "a chat": ("/v1/chat/completions", _CHAT, {}),
    "a streamed chat": ("/v1/chat/completions", {**_CHAT, "stream": True}, {}),
    "a response": ("/v1/responses", {"model": "hugginggpt", "input": "do it", "stream": True}, {}),
    "a model": ("/models/test/see", PNG, {}),
    "a task": ("/pipeline/fill-mask", {"inputs": "x"}, {}),
    "jarvis": ("/hugginggpt", asked(), {}),
    "mcp": ("/mcp", _CALL, _ACCEPT),
}
"""What is asked, by a path, a body and headers."""


class Held:
    """Experts that never answer; each call is told as it comes."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[Called] = asyncio.Queue()

    def __call__(self, called: Called) -> None:
        self.calls.put_nowait(called)


def _files(folder: Path) -> list[Path]:
    return kept(folder)


def _alive(kind: type[object]) -> int:
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


@pytest.mark.parametrize("door", DOORS)
async def test_clients_that_go_away_leave_nothing(door: str, tmp_path: Path) -> None:
    path, body, headers = DOORS[door]
    held, store = Held(), Artifacts(str(tmp_path))
    stage = Stage(ONE, cluster=Stored(held, store_of_files=store))
    app = build(Backend(stage.controller, store))
    before = _alive(Dispatcher)
    async with tasks_end():
        for _ in range(20):
            async with Visit(app, path, body, **headers):
                async with asyncio.timeout(20):
                    called = await held.calls.get()
                assert not called.response.ended
    assert stage.cluster.calls
    assert all(promise.ended for promise in stage.cluster.promises)
    assert all(called.response.cancelled for called in stage.cluster.calls)
    assert [ended for ended, _ in stage.meter.runs] == ["cancelled"] * 20
    assert not store._uploads
    assert not _files(tmp_path)
    del called
    stage.cluster.calls.clear()
    assert _alive(Dispatcher) == before


async def test_an_upload_that_rests_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Artifacts(str(tmp_path))
    forgotten = await store.begin()
    kept = await store.begin()
    assert len(_files(tmp_path)) == 2
    monkeypatch.setattr(uploads, "UPLOAD_S", -1.0)
    await store.begin()
    assert len(_files(tmp_path)) == 1
    for ticket in (forgotten, kept):
        with pytest.raises(NotFoundError, match="given up"):
            await store.append(ticket, b"x")


class _Slow(Artifacts):
    """A store that takes no bytes until it is let."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def append(self, ticket: str, data: bytes) -> None:
        self.asked.set()
        await self.let.wait()
        await super().append(ticket, data)


@pytest.mark.parametrize("data", [PNG, b"no picture"])
async def test_an_upload_that_is_cancelled_time_and_again_leaves_nothing(data: bytes, tmp_path: Path) -> None:
    store = _Slow(str(tmp_path))
    async with tasks_end():
        work = asyncio.create_task(media.keep(Backend(Stage().controller, store), data, "a.png"))
        await store.asked.wait()
        while not work.done():  # as anyio does, until the task has ended
            work.cancel()
            await asyncio.sleep(0)
        store.let.set()
    assert work.cancelled()
    assert not store._uploads
    assert not _files(tmp_path)
