"""The official SDK's client against the application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from controller.api.app import Backend, build
from deployments.artifacts import Artifacts
from tests.api.doors import Stored, doors
from tests.support.serving import serving
from tests.support.stage import Stage

ERAS = ("auto", "legacy")
"""How a client speaks: the protocol of today, and that of clients that still shake hands."""

_END_S = 20


@asynccontextmanager
async def served(stage: Stage, folder: Path | None = None) -> AsyncIterator[str]:
    """The application over the stage's controller; its URL. With a folder, files are stored there."""
    store: Any = Artifacts(str(folder)) if folder is not None else None
    if isinstance(stage.cluster, Stored):
        stage.cluster.store_of_files = store
    async with serving(build(Backend(stage.controller, store))) as url:
        yield url


@asynccontextmanager
async def connected(stage: Stage, folder: Path | None = None, era: str = "auto") -> AsyncIterator[Client]:
    """A client of the MCP door over the stage's controller, without a socket between them."""
    async with doors(stage, folder) as http:
        transport = streamable_http_client(f"{http.base_url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            yield client


def words(result: CallToolResult) -> list[str]:
    """The texts of a result."""
    return [block.text for block in result.content if isinstance(block, TextContent)]


@asynccontextmanager
async def tasks_end() -> AsyncIterator[None]:
    """What was begun within has ended afterwards: no task of the event loop is left."""
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(_END_S):
        while left := [task for task in asyncio.all_tasks() - before if not _watches(task)]:
            await asyncio.wait(left)


def _watches(task: "asyncio.Task[object]") -> bool:
    """Whether it is the one task by which sse-starlette waits for the end of the process."""
    return getattr(task.get_coro(), "__name__", "") == "_shutdown_watcher"
