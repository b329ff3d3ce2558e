"""Whatever an endpoint or the client of it does wrong is an error of ours: what it is, and what to do."""

import asyncio
import pickle
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from deployments.errors import DeploymentError
from deployments.llm import errors
from deployments.llm.client import Llm
from deployments.llm.endpoint import Endpoint
from deployments.llm.errors import (
    LlmAuthError,
    LlmError,
    LlmLengthError,
    LlmRateError,
    LlmRefusedError,
    LlmRequestError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from tests.deployments.llm.asking import KEY, Heard, asking, heard, keyed
from tests.support.endpoint import Reply, ScriptedEndpoint, broken, limited, problem


async def _failed(script: Any, **changes: Any) -> tuple[Heard, int, float]:
    """What came of one call, after how many requests and how long."""
    began = time.monotonic()
    with ScriptedEndpoint(script) as server:
        async with asking(server, **changes) as llm, asyncio.timeout(10):
            found = await heard(llm)
        return found, len(server.requests), time.monotonic() - began


# What is not tried anew ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (401, LlmAuthError, "refuses the key (401); set OPENAI_API_KEY"),
        (403, LlmAuthError, "refuses the key (403)"),
        (404, LlmRequestError, "has no model 'tiny', or its address is wrong (404); set HUGGINGGPT_MODEL"),
        (400, LlmRequestError, "does not take the request (400): Not so."),
        (422, LlmRequestError, "does not take the request (422): Not so."),
        (418, LlmRequestError, "does not take the request (418): Not so."),
    ],
)
async def test_a_request_that_is_refused_is_not_sent_again(
    status: int, kind: type[LlmError], told: str
) -> None:
    refusal = Reply(status=status, error=problem("Not so.", param="model"))
    found, requests, _ = await _failed([refusal])
    assert type(found.error) is kind
    assert told in found.error.message
    assert (requests, found.pieces) == (1, [])


async def test_a_used_up_quota_is_not_asked_again() -> None:
    used = Reply(status=429, error=problem("You exceeded your quota.", code="insufficient_quota"))
    found, requests, _ = await _failed([used])
    assert isinstance(found.error, LlmRateError)
    assert "quota is used up" in found.error.message
    assert requests == 1


async def test_an_endpoint_may_say_that_trying_anew_is_of_no_use() -> None:
    refusal = Reply(status=503, error="Closed.", headers={"x-should-retry": "false"})
    found, requests, _ = await _failed([refusal])
    assert isinstance(found.error, LlmUnavailableError)
    assert requests == 1


# What is tried anew --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        limited(0.01),
        broken(500),
        broken(503),
        Reply(status=408, error="Late."),
        Reply(status=409, error="Locked."),
        Reply("One two", cut_after=0),
        Reply("", finish=None, usage=False),
    ],
    ids=["429", "500", "503", "408", "409", "cut before the first token", "ended before it began"],
)
async def test_what_fails_before_its_first_token_is_tried_anew(trouble: Reply) -> None:
    found, requests, _ = await _failed([trouble, "Well."])
    assert (found.text, found.error, requests, found.usage.calls) == ("Well.", None, 2, 1)


async def test_tries_are_counted() -> None:
    found, requests, _ = await _failed([limited(0)] * 4, retries=3)
    assert isinstance(found.error, LlmRateError)
    assert "takes no more requests now (429)" in found.error.message
    assert requests == 4
    found, requests, _ = await _failed([broken()], retries=0)
    assert isinstance(found.error, LlmUnavailableError)
    assert "failed (500)" in found.error.message
    assert requests == 1


@pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms"])
async def test_retry_after_is_kept_to(name: str) -> None:
    wait = {"Retry-After": "0.4", "retry-after-ms": "400"}[name]
    with ScriptedEndpoint([Reply(status=429, headers={name: wait}), "Well."]) as server:
        async with asking(server) as llm:
            assert (await heard(llm)).text == "Well."
        first, second = (asked.at for asked in server.requests)
    assert 0.4 <= second - first < 5


async def test_retry_after_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    with ScriptedEndpoint([limited(soon), "Well."]) as server:
        async with asking(server) as llm:
            assert (await heard(llm)).text == "Well."
        first, second = (asked.at for asked in server.requests)
    assert 0.2 <= second - first < 10


@pytest.mark.parametrize("told", ["soon", "nan", "inf", ""])
async def test_a_retry_after_that_cannot_be_read_is_passed_over(told: str) -> None:
    found, requests, _ = await _failed([limited(told), "Well."])
    assert (found.text, requests) == ("Well.", 2)


async def test_a_wait_beyond_the_time_for_a_first_token_is_an_error_at_once() -> None:
    found, requests, seconds = await _failed([limited(30)], timeout_s=20)
    assert isinstance(found.error, LlmRateError)
    assert requests == 1
    assert seconds < 10


async def test_nothing_is_tried_anew_after_the_first_token() -> None:
    found, requests, _ = await _failed([Reply("One two three", cut_after=2), "Never."])
    assert found.pieces == ["One", " two"]
    assert isinstance(found.error, LlmUnavailableError)
    assert "broke its answer off" in found.error.message
    assert requests == 1


async def test_nobody_listens_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    llm = Llm(Endpoint(model="tiny", base_url=f"http://127.0.0.1:{port}/v1", retries=1))
    found = await heard(llm)
    await llm.close()
    assert isinstance(found.error, LlmUnavailableError)
    assert f"127.0.0.1:{port} cannot be reached" in found.error.message


async def test_a_connection_that_is_not_taken_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.llm.client._CONNECT_S", 0.05)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # the one place in the queue is taken
            llm = Llm(Endpoint(model="tiny", base_url=f"http://127.0.0.1:{port}/v1", retries=0))
            found = await heard(llm)
            await llm.close()
    assert isinstance(found.error, LlmTimeoutError)
    assert "did not take the connection in time" in found.error.message


async def test_what_the_client_itself_trips_over_is_an_error_of_ours_too() -> None:
    with ScriptedEndpoint("Hi") as server:
        async with asking(server, timeout_s=2) as llm:
            found = await heard(llm, temperature=object())
        assert isinstance(found.error, LlmUnavailableError)
        assert "the client met a TypeError" in found.error.message
        assert server.requests == []


# Answers that are none, or not whole ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind", "text", "told"),
    [
        (Reply("One two", finish="length"), LlmLengthError, "One two", "reached its limit of tokens"),
        (Reply("One two", finish="content_filter"), LlmRefusedError, "One two", "content filter"),
        (Reply(refusal="I cannot."), LlmRefusedError, "", "The LLM tiny refuses: I cannot."),
        (Reply("One two", finish=None), LlmUnavailableError, "One two", "broke its answer off"),
        (Reply("One two", cut_after=1), LlmUnavailableError, "One", "broke its answer off"),
    ],
    ids=["length", "filter", "refusal", "no end", "cut"],
)
async def test_what_came_is_told_before_what_went_wrong(
    reply: Reply, kind: type[LlmError], text: str, told: str
) -> None:
    found, requests, _ = await _failed([reply])
    assert (found.text, type(found.error), requests) == (text, kind, 1)
    assert told in str(found.error)


SAID = 'data: {"choices": [{"index": 0, "delta": {"content": "One"}}]}\n\n'


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ('data: {"error": {"message": "Out of memory", "type": "server_error"}}\n\n', LlmUnavailableError,
         "broke its answer off: Out of memory"),
        ('data: {"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}\n\n', LlmRateError,
         "too many requests"),
        ('data: {"error": {"message": "No.", "code": "content_filter"}}\n\n', LlmRefusedError, "filter"),
        ("data: {not json\n\n", LlmUnavailableError, "no stream of chat completions"),
    ],
    ids=["error", "limit", "filter", "nonsense"],
)  # fmt: skip
async def test_errors_inside_a_stream(line: str, kind: type[LlmError], told: str) -> None:
    found, requests, _ = await _failed([Reply(lines=(SAID, line))])
    assert (found.text, type(found.error), requests) == ("One", kind, 1)
    assert told in str(found.error)


@pytest.mark.parametrize("body", ["<html>Welcome</html>", "", "data: \n\n", '{"choices": []}'])
async def test_a_page_that_is_no_endpoint(body: str) -> None:
    found, _, _ = await _failed(Reply(body=body), retries=0)
    assert isinstance(found.error, LlmUnavailableError)
    assert "/chat/completions" in found.error.message


# Keys and processes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=400, error=problem(f"What is {KEY}?", param="model")),
        Reply(status=401, error=problem(f"Incorrect API key provided: {KEY}.")),
        Reply(status=500, error=f"Config: {KEY}"),
        Reply(refusal=f"I will not say {KEY}."),
        Reply(lines=(f'data: {{"error": {{"message": "{KEY} broke"}}}}\n\n',)),
        Reply("One", cut_after=1),
        Reply("One", stall_after=0),
    ],
    ids=["400", "401", "500", "refusal", "error", "cut", "late"],
)
async def test_no_error_holds_the_key(reply: Reply) -> None:
    found, _, _ = await _failed([reply], api_key=keyed(), retries=0, timeout_s=0.3)
    error = found.error
    assert error is not None
    assert KEY not in f"{error!r} {error} {error.args} {vars(error)}"
    assert (error.__cause__, error.__context__) == (None, None), "the client's own holds the request"


def test_errors_travel_between_processes_and_each_has_a_code() -> None:
    kinds = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LlmError)
    ]
    assert len({kind.code for kind in kinds}) == len(kinds) == 8
    for kind in kinds:
        assert issubclass(kind, DeploymentError)
        again = pickle.loads(pickle.dumps(kind("Do this.")))
        assert (type(again), again.message) == (kind, "Do this.")
        assert kind.code in (errors.__doc__ or "")
