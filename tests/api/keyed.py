"""A server that asks for keys, over fakes and a real store that knows whose files are whose."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from controller.api.app import Backend, build
from controller.handles import ServeStore, reading
from controller.settings import Settings
from deployments.account import Account, Artifact
from deployments.artifacts import Artifacts
from deployments.history.ring import Key, Rate, Ring, fresh_id, fresh_token
from deployments.result import Result
from tests.api.doors import Stored
from tests.api.openai_client import EXPERTS, made
from tests.support.dispatching import CARDS
from tests.support.fakes import selector
from tests.support.stage import Stage

URL = "http://127.0.0.1:8000"
SCOPES = ("run", "files")


class Keeper:
    """Keeps keys as the history deployment does."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.error: Exception | None = None

    async def ring(self) -> Ring:
        """See ``controller.keyring.Keeper``."""
        if self.error is not None:
            raise self.error
        return Ring(dict(self.keys), b"secret" * 6)

    def make(
        self,
        *scopes: str,
        rate: Rate | None = None,
        concurrency: int | None = None,
        ends: float | None = None,
    ) -> tuple[str, str]:
        """A new key: its id and its token."""
        number = fresh_id()
        token, digest = fresh_token(number)
        allowed = frozenset(scopes or SCOPES)
        self.keys[number] = Key(number, "test", digest, allowed, rate, concurrency, 0.0, ends)
        return number, token


class _Direct:
    """Stands for the handle of a deployment; each call goes to a plain object."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return _Method(getattr(self._inner, name))


class _Method:
    def __init__(self, method: Any) -> None:
        self.remote = method


class Owned(Stored):
    """A cluster that finds the files of whoever asks, and stores what models make as theirs."""

    async def stat(self, path: str) -> Artifact:
        """See ``FakeCluster``."""
        assert self.store_of_files is not None
        return await self.store_of_files.stat(path, reading())


@dataclass
class Keyed:
    """A server with keys.

    Attributes:
        app: its application.
        stage: the controller behind it.
        keeper: keeps its keys.
        http: a client that sends no key.
        store: its files.

    """

    app: FastAPI
    stage: Stage
    keeper: Keeper
    http: httpx2.AsyncClient
    store: Artifacts
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    def client(self, token: str) -> httpx2.AsyncClient:
        """A client that sends a key."""
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {token}"}
        self.clients.append(httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers))
        return self.clients[-1]


@asynccontextmanager
async def keyed(folder: Path, steps: Any = (), script: Any = made, **settings: Any) -> AsyncIterator[Keyed]:
    """A server that asks everybody for a key."""
    store = Artifacts(str(folder))
    behind = ServeStore.__new__(ServeStore)
    behind._handle = _Direct(store)
    cluster = Owned(script, store_of_files=store)
    cluster.keep = lambda result: _kept(store, result)
    stage = Stage(steps, cluster=cluster, settings=Settings(**{"keys": "required", **settings}))
    known = selector([*CARDS, *EXPERTS])
    stage.controller.selector.catalog = known.catalog
    stage.controller.selector.fleet = cluster.fleet = known.fleet
    keeper = Keeper()
    app = build(Backend(stage.controller, behind, keeper))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=URL) as http:
        made_here = Keyed(app, stage, keeper, http, store)
        yield made_here
        for client in made_here.clients:
            await client.aclose()


def _kept(store: Artifacts, result: Result) -> Account:
    from controller.identity import caller

    media = [value for value in (result.image, result.audio, result.video) if value is not None]
    return Account.of(result, tuple(store._store(value, caller().owner) for value in media))
