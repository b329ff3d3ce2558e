"""The whole ASGI application over fakes and a real store, without Ray."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from controller.api.app import Backend, build
from deployments.account import Artifact
from deployments.artifacts import Artifacts
from tests.support.fakes import FakeCluster
from tests.support.stage import Stage


@dataclass(slots=True)
class Stored(FakeCluster):
    """A cluster that finds the files of a real store."""

    store_of_files: Artifacts | None = None

    async def stat(self, path: str) -> Artifact:
        """See ``FakeCluster``."""
        assert self.store_of_files is not None
        return await self.store_of_files.stat(path)


@asynccontextmanager
async def doors(stage: Stage, folder: Path | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of every door over the stage's controller; with a folder, uploads are stored there."""
    store: Any = Artifacts(str(folder)) if folder is not None else None
    if isinstance(stage.cluster, Stored):
        stage.cluster.store_of_files = store
    transport = httpx2.ASGITransport(app=build(Backend(stage.controller, store)), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


def asked(text: str = "do it", **more: Any) -> dict[str, Any]:
    """The body of a request."""
    return {"messages": [{"role": "user", "content": text}], **more}
