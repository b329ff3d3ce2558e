"""Lines of streams: no client breaks them where no line ends, and none is too long for it."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import AsyncInferenceClient

from controller.cli.client import Client
from controller.events import RunDone
from controller.planner import Reply
from controller.request import Message
from deployments.result import Result
from tests.api.desk import _reached
from tests.api.openai_client import BASE, World, made, world
from tests.support.brains import FakeResponder
from tests.support.fakes import Called

MARKS = "one\u2028two\u2029three\x85four\x0bfive"
SAID: Any = [{"role": "user", "content": "do it"}]
LONGEST = 128 << 10  # bytes of a line that aiohttp reads
STEPS = [{"task": "text-to-image", "id": number, "args": {"text": "cat " * 9_000}} for number in range(12)]


async def _lines(here: World, path: str, body: dict[str, Any]) -> list[str]:
    """The lines of a stream as Python breaks them."""
    answer = await here.http.post(path, json=body | {"stream": True})
    assert answer.status_code == 200, answer.text
    return [line for line in answer.text.splitlines() if line]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": SAID}),
        ("/v1/responses", {"input": "do it"}),
        ("/v1/runs", {"messages": SAID}),
    ],
)
async def test_no_mark_within_a_text_ends_a_line(tmp_path: Path, path: str, body: Any) -> None:
    async with world(tmp_path, [Reply(MARKS)]) as here:
        lines = await _lines(here, path, body)
    assert all(line.startswith(("data: ", "event: ", "id: ")) for line in lines)
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "".join(map(_said, told)) == MARKS


def _said(told: dict[str, Any]) -> str:
    """The words of one event of any stream."""
    if "choices" in told:
        return str(told["choices"][0]["delta"].get("content") or "")
    words = {"answer.delta": "text", "response.output_text.delta": "delta"}.get(told["type"], "")
    return str(told.get(words, ""))


async def test_the_client_of_hugging_face_reads_such_a_text(tmp_path: Path) -> None:
    async with world(tmp_path, [Reply(MARKS)]) as here:
        transport: Any = here.http._transport
        with _reached(transport):
            client = AsyncInferenceClient(base_url=f"{BASE}/v1", api_key="none")
            chunks = await client.chat_completion(model="hugginggpt", messages=SAID, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
    assert text == MARKS


def test_the_command_line_breaks_lines_where_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    done = RunDone(run="r", answer=MARKS)
    stream = f"id: 0\r\nevent: run.done\r\ndata: {done.model_dump_json()}\r\n\r\n".encode()
    client = Client("http://127.0.0.1:9")
    transport = _given(stream)
    monkeypatch.setattr(client._http, "_transport", transport)
    monkeypatch.setattr(client._http, "_mounts", {})
    assert list(client.run([Message(role="user", content="x")])) == [done]


def _given(stream: bytes) -> Any:
    pieces = [stream[start : start + 5] for start in range(0, len(stream), 5)]
    return httpx2.MockTransport(lambda request: httpx2.Response(200, content=iter(pieces)))


# Long ones -------------------------------------------------------------------------------------------------


def _much(called: Called) -> Any:
    result = made(called)
    assert isinstance(result, Result)
    few = called.call.args["text"].startswith("small")
    result.text, result.data = "word " * 9_000, [1.5] * (3 if few else 9_000)
    return result


async def test_the_account_in_a_stream_fits_any_client(tmp_path: Path) -> None:
    small = {**STEPS[0], "args": {"text": "small"}}
    async with world(
        tmp_path, [small, *STEPS[1:]], script=_much, responder=FakeResponder(("Done.",))
    ) as here:
        lines = await _lines(here, "/v1/chat/completions", {"messages": SAID})
        typed = await _lines(here, "/v1/responses", {"input": "do it"})
        whole = await here.http.post("/v1/chat/completions", json={"messages": SAID})
    assert max(len(line.encode()) for line in lines) < LONGEST
    told = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    last = [part["finish_reason"] for part in told].index("stop")
    assert "hugginggpt" not in told[last]["delta"], "an answer has ended before its account"
    accounts = [told[last + 1]["delta"]["hugginggpt"], json.loads(typed[-1][6:])["response"]["hugginggpt"]]
    for account in accounts:
        assert len(account["artifacts"]) == 12
        kept, *others = account["outcomes"]
        assert (kept["data"], "data_left_out" in kept) == ([1.5] * 3, False)
        assert all((other["data"], other["data_left_out"]) == (None, True) for other in others)
        assert all(len(step["args"]["text"]) <= 1_001 for step in account["plan"])
    full = whole.json()["choices"][0]["message"]["hugginggpt"]
    assert [len(outcome["data"]) for outcome in full["outcomes"]] == [3, *[9_000] * 11]
