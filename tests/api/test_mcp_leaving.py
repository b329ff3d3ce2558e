"""Clients of the MCP door that cancel or go away: what they asked for is given up, down to the model."""

import asyncio

import httpx2
import pytest
from mcp import Client

from controller.outcome import Status
from model_catalog.tasks import Modality
from tests.api.speaking import ERAS, served, tasks_end
from tests.support.dispatching import ONE
from tests.support.fakes import Called, FakeCluster
from tests.support.stage import EDGES, Stage

_SECONDS = 5


class Held:
    """Experts that never answer, and tell when they are called and given up."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.given_up = asyncio.Event()

    def __call__(self, called: Called) -> None:
        called.response.on_cancel = self.given_up.set
        self.begun.set()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["fill_mask", "ask"])
async def test_a_call_that_is_cancelled_is_given_up(era: str, tool: str) -> None:
    held = Held()
    stage = Stage(ONE, cluster=FakeCluster(held))
    async with tasks_end(), served(stage) as url, Client(f"{url}/mcp", mode=era) as client:
        call = asyncio.create_task(client.call_tool(tool, {"text": "x"}))
        async with asyncio.timeout(_SECONDS):
            await held.begun.wait()
            call.cancel()
            await held.given_up.wait()
        await asyncio.gather(call, return_exceptions=True)
        assert (await client.list_tools()).tools, "the client goes on"
    assert stage.cluster.calls[0].response.cancelled
    assert [outcome.status for outcome in stage.meter.tasks] == [Status.CANCELLED]
    assert [ended for ended, _ in stage.meter.runs] == ["cancelled"]


@pytest.mark.parametrize("version", ["2026-07-28", "2025-06-18"])
async def test_a_connection_that_breaks_gives_the_call_up_and_its_files(version: str) -> None:
    held = Held()
    cluster = FakeCluster(held, slow_files=True, files={"/images/x.png": Modality.IMAGE})
    stage = Stage([EDGES, *ONE], cluster=cluster)
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "ask",
            "arguments": {"text": "x"},
            "_meta": {
                "progressToken": 1,
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": version}
    headers |= {"mcp-method": "tools/call", "mcp-name": "ask"}
    async with (
        tasks_end(),
        served(stage) as url,
        httpx2.AsyncClient(base_url=url, timeout=_SECONDS) as http,
    ):
        async with http.stream("POST", "/mcp", json=body, headers=headers) as answer:
            assert answer.status_code == 200
            await anext(answer.aiter_lines())
            async with asyncio.timeout(_SECONDS):
                await held.begun.wait()
        async with asyncio.timeout(_SECONDS):
            await held.given_up.wait()
    assert all(promise.ended for promise in cluster.promises), "nothing of it goes on, files on their way too"
    assert cluster.fetched
    assert [ended for ended, _ in stage.meter.runs] == ["cancelled"]
