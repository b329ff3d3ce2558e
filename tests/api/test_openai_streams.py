"""Streams of OpenAI's dialect: when they begin, what they say meanwhile, and clients that go away."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from controller.api.openai.asking import BEAT_S, OPENING_S, Stream
from controller.errors import PlanError
from controller.events import AnswerDelta, Event, PlanDone, RunCreated, RunDone, RunFailed
from controller.outcome import Failure
from tests.api.openai_client import World, world
from tests.support.fakes import Called, after, now, turns, virtual

BEGUN = RunCreated(run="r", brain="b")
PLANNED = PlanDone(run="r", plan=[])
SAID: Any = [{"role": "user", "content": "x"}]
DRAW = [{"task": "text-to-image", "id": 0, "args": {"text": "a cat"}}]


class Source:
    """Steps at times of virtual seconds; remembers when it was closed."""

    def __init__(self, *steps: tuple[float, Event | Exception]) -> None:
        self.steps = steps
        self.closed: float | None = None

    async def events(self) -> AsyncGenerator[Event]:
        try:
            for seconds, step in self.steps:
                await after(seconds)
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.closed = now()


@virtual
async def test_a_stream_begins_once_the_plan_is_known() -> None:
    began = now()
    source = Source((0, BEGUN), (2, PLANNED), (9, RunDone(run="r", answer="")))
    stream = Stream(source.events())
    await stream.open()
    assert now() == began + 2
    assert [event.type for event in [e async for e in stream.beaten()] if event] == [
        "run.created", "plan.done", "run.done",
    ]  # fmt: skip
    assert source.closed == began + 11


@virtual
async def test_a_stream_begins_after_a_while_and_beats() -> None:
    began = now()
    source = Source((0, BEGUN), (40, PLANNED), (1, AnswerDelta(run="r", text="hi")))
    stream = Stream(source.events())
    await stream.open()
    assert now() == began + OPENING_S
    told = [(event.type if event else "beat", now() - began) async for event in stream.beaten()]
    assert told == [
        ("run.created", OPENING_S),
        ("beat", OPENING_S + BEAT_S),
        ("beat", OPENING_S + 2 * BEAT_S),
        ("plan.done", 40),
        ("answer.delta", 41),
    ]


@virtual
async def test_a_run_that_fails_before_it_begins_is_an_error() -> None:
    failed = RunFailed(run="r", error=Failure(code="invalid_plan", message="no"))
    ends: list[list[tuple[float, Event | Exception]]] = [
        [(1, failed), (0, PlanError("no"))],
        [(1, PlanError("no"))],
    ]
    for end in ends:
        source = Source((1, BEGUN), *end)
        with pytest.raises(PlanError, match="no"):
            await Stream(source.events()).open()
        assert source.closed is not None


@virtual
async def test_a_stream_that_nobody_reads_on_gives_its_run_up() -> None:
    source = Source((0, BEGUN), (0, PLANNED), (100, RunDone(run="r", answer="")))
    stream = Stream(source.events())
    await stream.open()
    steps = stream.beaten()
    assert await anext(steps) == BEGUN
    await steps.aclose()
    assert source.closed == now()
    await stream.close()


# Clients that go away --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"prompt": "a cat", "n": 2}),
        ("/v1/audio/speech", {"input": "hello"}),
        ("/v1/embeddings", {"input": "hello"}),
        ("/v1/chat/completions", {"model": "test/shorten", "messages": SAID}),
        ("/v1/chat/completions", {"messages": SAID}),
        ("/v1/chat/completions", {"messages": SAID, "stream": True}),
        ("/v1/responses", {"model": "test/shorten", "input": "x"}),
        ("/v1/responses", {"input": "x", "stream": True}),
    ],
)
async def test_a_client_that_goes_away_frees_the_expert(tmp_path: Path, path: str, body: Any) -> None:
    begun = asyncio.Event()

    def hang(called: Called) -> None:
        begun.set()

    async with world(tmp_path, DRAW, script=hang) as here:
        await _leave(here, path, body, begun)
        await turns()
        assert here.stage.cluster.calls
        assert all(called.response.cancelled for called in here.stage.cluster.calls)


async def _leave(here: World, path: str, body: Any, begun: asyncio.Event) -> None:
    """Ask the application itself, and go away once an expert works."""
    transport: Any = here.http._transport
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": here.http.build_request("POST", path, json=body).content}
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await asyncio.wait_for(transport.app(scope, receive, send), 10)
