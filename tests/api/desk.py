"""A desk for the unchanged client of the inference protocol: what reached a model, and what it says."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.utils._http import default_async_client_factory

from controller.api.app import Backend, build
from deployments.account import Account
from deployments.artifacts import Artifacts
from deployments.result import Result
from model_catalog.card import ModelCard
from model_catalog.tasks import TASKS
from tests.api.doors import Stored
from tests.support.cluster import card
from tests.support.fakes import Called, now, selector
from tests.support.stage import Stage
from tests.support.stored import kept, stored

URL = "http://127.0.0.1:8000"

CARDS = tuple(card(f"{task}-model", task, "Echo") for task in TASKS)
"""A model for each task."""

MANY = tuple(
    card(name, tasks[0], "Echo").model_copy(update={"tasks": tasks})
    for name, tasks in (
        ("llm", ("text2text-generation", "conversational", "text-generation")),
        ("looks", ("image-to-text", "image-text-to-text")),
        ("near", ("depth-estimation", "depth-control", "normal-control")),
    )
)
"""Models of several tasks."""


@dataclass
class Desk:
    """A server, and what its models were asked.

    Attributes:
        client: asks the server.
        app: the server's application.
        stage: the controller behind it.
        folder: where its files lie.
        store: what holds them.
        answers: what each call ends with, the last one again and again; an exception is raised.
        asked: the arguments of each call, files as their bytes.
        calls: the calls themselves.
        called: set when there is one.

    """

    client: httpx2.AsyncClient
    app: FastAPI
    stage: Stage
    folder: Path
    store: Any
    answers: list[Result | Exception] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    def says(self, **result: Any) -> None:
        """Have the models answer with this."""
        self.answers = [Result(**result)]

    def script(self, called: Called) -> Result | BaseException | None:
        """What a model does."""
        self.calls.append(called)
        self.called.set()
        args = called.call.args
        files = {name: stored(self.folder, value) for name, value in args.items() if value[:1] == "/"}
        self.asked.append(dict(args) | files)
        if not self.answers:
            return None
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Result):
            answer.model, answer.started, answer.finished = called.card.id, now(), now()
        return answer

    def model(self, task: str) -> AsyncInferenceClient:
        """The unchanged client of the model of a task."""
        return AsyncInferenceClient(model=f"{URL}/models/test/{task}-model")

    def kept(self) -> list[Path]:
        """Every file that lies on the server."""
        return kept(self.folder)


@asynccontextmanager
async def desk(folder: Path, *cards: ModelCard) -> AsyncIterator[Desk]:
    """A server with a model for each task, which the client of the inference protocol reaches."""
    store: Any = Artifacts(str(folder))
    cluster = Stored(store_of_files=store)
    stage = Stage(cluster=cluster)
    known = selector([*CARDS, *MANY, *cards])
    stage.controller.selector.catalog = known.catalog
    stage.controller.selector.fleet = cluster.fleet = known.fleet
    app = build(Backend(stage.controller, store))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=URL) as client:
        made = Desk(client, app, stage, folder, store)
        cluster.script = made.script
        cluster.keep = lambda result: Account.of(
            result,
            tuple(store._store(v) for v in (result.image, result.audio, result.video) if v is not None),
        )
        with _reached(transport):
            yield made


@contextmanager
def _reached(transport: httpx2.ASGITransport) -> Iterator[None]:
    """Have the client's sessions go to an application here, with the hooks that they have anyway."""

    def session() -> httpx2.AsyncClient:
        usual = default_async_client_factory()
        return httpx2.AsyncClient(transport=transport, event_hooks=usual.event_hooks)

    set_async_client_factory(session)
    try:
        yield
    finally:
        set_async_client_factory(default_async_client_factory)
