"""OpenAI's own client against the application, over fakes and a real store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from openai import AsyncOpenAI

from controller.api.app import Backend, build
from controller.events import Event
from deployments.account import Account
from deployments.artifacts import Artifacts
from deployments.media import Audio, Image
from deployments.result import Result
from deployments.runners.listening import chunk
from model_catalog.card import ModelCard
from tests.api.doors import Stored
from tests.deployments.samples import tone
from tests.support.cluster import card
from tests.support.fakes import Called, answer, selector
from tests.support.stage import EDGE, Stage

BASE = "http://127.0.0.1:8000"

EXPERTS = (
    EDGE,
    card("ocr", "image-to-text", "Echo"),
    card("voice", "text-to-speech", "Echo"),
    card("ear", "automatic-speech-recognition", "Echo"),
    card("draw", "text-to-image", "Echo", downloads=9),
    card("paint", "image-to-image", "Echo"),
    card("mend", "inpainting", "Echo"),
    card("vectors", "feature-extraction", "Echo"),
    card("talk", "conversational", "Echo"),
    card("shorten", "summarization", "Echo"),
    card("english", "translation", "Echo"),
)
"""One expert for each task that the endpoints are for, and some that talk."""

HEARD: dict[str, Any] = {
    "text": "Good day. Bye.",
    "language": "en",
    "chunks": [chunk("Good day.", 0.0, 1.5), chunk("Bye.", 61.25, 3661.5)],
}
"""What a real runner gives."""


def made(called: Called) -> Result | Exception:
    """What the experts give: by their task, words that tell what they were asked."""
    result = answer(called.card, f"{called.name}: {called.call.args}")
    match called.call.task:
        case "text-to-speech":
            result.audio = Audio(tone(1.0), 16_000)
        case "text-to-image" | "image-to-image" | "inpainting" | "canny-control":
            result.image = Image(np.full((8, 12, 3), 200, np.uint8))
            result.data = {"seed": int(called.call.args.get("seed", "7"))}
        case "automatic-speech-recognition":
            result.text, result.data = HEARD["text"], HEARD
        case "feature-extraction":
            result.data = [float(len(called.call.args["text"])), 0.25, -1.5]
    return result


@dataclass
class World:
    """A server with its stage, its store, and a client."""

    stage: Stage
    store: Artifacts
    client: AsyncOpenAI
    http: httpx2.AsyncClient
    events: list[Event] = field(default_factory=list)

    def asked(self, name: str) -> list[dict[str, str]]:
        """The arguments of the calls on a model."""
        return [dict(called.call.args) for called in self.stage.cluster.named(name)]


@asynccontextmanager
async def world(
    folder: Path,
    steps: Any = (),
    script: Callable[[Called], Any] = made,
    cards: tuple[ModelCard, ...] = EXPERTS,
    **more: Any,
) -> AsyncIterator[World]:
    """The application over fakes, and OpenAI's client of it; the client tries nothing twice."""
    store = Artifacts(str(folder))
    cluster = Stored(script, keep=lambda result: _kept(store, result), store_of_files=store)
    stage = Stage(steps, cluster=cluster, **more)
    known = selector(cards)
    stage.controller.selector.catalog, stage.controller.selector.fleet = known.catalog, known.fleet
    app = build(Backend(stage.controller, store))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        client = AsyncOpenAI(base_url=f"{BASE}/v1", api_key="none", http_client=http, max_retries=0)
        yield World(stage, store, client, http)


def _kept(store: Artifacts, result: Result) -> Account:
    media = [value for value in (result.image, result.audio, result.video) if value is not None]
    return Account.of(result, tuple(store._store(value) for value in media))
