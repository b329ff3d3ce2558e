"""The client of LLM endpoints: what is asked, what comes, and when connections end."""

import asyncio
import json
import logging
from contextlib import aclosing
from typing import Any

import pytest

from deployments.llm.client import Llm, Usage
from deployments.llm.endpoint import AZURE_VERSION, OPENAI, Endpoint
from deployments.llm.errors import LlmLengthError, LlmTimeoutError
from tests.deployments.llm.asking import HELLO, KEY, PLAN, asking, endpoint, heard, keyed
from tests.support.endpoint import Reply, ScriptedEndpoint, limited

TAKEN = {
    "model",
    "messages",
    "stream",
    "stream_options",
    "temperature",
    "response_format",
    "top_p",
    "seed",
    "reasoning_effort",
}
"""All that a request may hold: no endpoint of today refuses any of these without saying so."""


# What is asked -------------------------------------------------------------------------------------------


async def test_words_come_as_they_are_written() -> None:
    with ScriptedEndpoint(["One two three four."], rate=4) as server:
        async with asking(server) as llm, aclosing(llm.stream(HELLO)) as pieces:
            assert await anext(pieces) == "One"
            assert server.requests[0].sent < 4, "the rest is not written yet"
            assert "".join([piece async for piece in pieces]) == " two three four."
        assert server.requests[0].body == {
            "model": "tiny",
            "messages": HELLO,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


async def test_nothing_is_asked_for_that_an_endpoint_may_not_know() -> None:
    with ScriptedEndpoint("{}") as server:
        async with asking(server, reasoning_effort="low") as llm:
            await heard(llm, PLAN, temperature=0.5, top_p=0.9, seed=3)
        body = server.requests[0].body
        assert body.keys() == TAKEN
        assert (body["temperature"], body["top_p"], body["seed"]) == (0.5, 0.9, 3)
        assert body["reasoning_effort"] == "low"


async def test_a_plan_is_asked_for_at_temperature_zero_and_words_are_not() -> None:
    with ScriptedEndpoint("{}") as server:
        async with asking(server) as llm:
            await heard(llm, PLAN)
            await heard(llm)
        assert server.requests[0].body["temperature"] == 0
        assert "temperature" not in server.requests[1].body


async def test_the_key_is_sent_and_without_one_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with ScriptedEndpoint("Hi") as server:
        for key in (keyed(), None):
            async with asking(server, api_key=key) as llm:
                assert (await heard(llm)).text == "Hi"
        assert [asked.headers.get("authorization") for asked in server.requests] == [f"Bearer {KEY}", None]


async def test_azure_is_asked_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "of-another")
    with ScriptedEndpoint("Hi", key=KEY) as server:
        azure = Endpoint(model="my-gpt", base_url=f"{server.azure_url}/", api_key=keyed(), azure=True)
        for made, version in (
            (azure, AZURE_VERSION),
            (azure.model_copy(update={"api_version": "2030-01-01"}), "2030-01-01"),
        ):
            llm = Llm(made)
            found = await heard(llm)
            await llm.close()
            assert (found.text, found.usage.completion_tokens) == ("Hi", 1)
            asked = server.requests[-1]
            assert asked.target == f"/openai/deployments/my-gpt/chat/completions?api-version={version}"
            assert asked.headers["api-key"] == KEY
            assert "authorization" not in asked.headers


@pytest.mark.parametrize(("azure", "key"), [(False, True), (False, False), (True, True)])
async def test_nothing_of_the_environment_is_sent(
    azure: bool, key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's client would tell it to any endpoint, and put it in the place of the key."""
    with ScriptedEndpoint("Hi") as server:
        made = Endpoint(
            model="tiny",
            base_url=server.azure_url if azure else server.url,
            api_key=keyed() if key else None,
            azure=azure,
        )

        async def sent() -> dict[str, str]:
            llm = Llm(made)
            assert (await heard(llm)).text == "Hi"
            await llm.close()
            return server.requests[-1].headers

        usual = await sent()
        custom = ["X-Own: of-env", "authorization: Bearer of-env", "Api-Key: of-env", "User-Agent: of-env"]
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "\n".join(custom))
        for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
            monkeypatch.setenv(f"OPENAI_{name}", "of-env")
        for name in ("API_KEY", "AD_TOKEN"):
            monkeypatch.setenv(f"AZURE_OPENAI_{name}", "of-env")
        now = await sent()
    assert "of-env" not in str(now)
    assert now == usual
    assert now.get("api-key" if azure else "authorization", "").endswith(KEY if key else "")


async def test_openais_own_address_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    llm = Llm(Endpoint(model="tiny", api_key=keyed()))
    assert str(llm._client.base_url).rstrip("/") == OPENAI
    await llm.close()


async def test_a_redirect_is_not_followed() -> None:
    with ScriptedEndpoint("Hi") as other, ScriptedEndpoint() as server:
        server.say(Reply(status=307, body="", headers={"Location": f"{other.url}/chat/completions"}))
        async with asking(server, api_key=keyed()) as llm:
            found = await heard(llm)
        assert found.error is not None
        assert "307" in found.error.message
        assert other.requests == []


# What it took --------------------------------------------------------------------------------------------


async def test_calls_and_tokens_are_added_up() -> None:
    with ScriptedEndpoint(["One two.", "Three.", Reply("Four.", usage=False)]) as server:
        async with asking(server) as llm:
            usage = Usage()
            for _ in range(3):
                async for _piece in llm.stream(HELLO, usage=usage):
                    pass
    assert usage == Usage(calls=3, prompt_tokens=10, completion_tokens=3), "the last one told none"
    usage += Usage(1, 2, 3)
    assert usage == Usage(4, 12, 6)


async def test_what_is_refused_counts_for_nothing_and_what_is_cut_for_a_call() -> None:
    with ScriptedEndpoint([Reply(status=401), Reply("One two three", cut_after=1)]) as server:
        async with asking(server) as llm:
            assert (await heard(llm)).usage == Usage()
            assert (await heard(llm)).usage == Usage(calls=1)


async def test_the_count_of_tokens_is_not_waited_for_long() -> None:
    with ScriptedEndpoint([Reply("Hi", late_usage_s=30)]) as server:
        async with asking(server, timeout_s=4) as llm, asyncio.timeout(30):
            found = await heard(llm)
        assert (found.text, found.error, found.usage) == ("Hi", None, Usage(calls=1))


async def test_the_log_tells_run_and_request_and_never_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedEndpoint([limited(0.01), "Hi", Reply(status=401)], key=KEY) as server:
        async with asking(server, api_key=keyed()) as llm:
            await heard(llm, run="run-7")
            await heard(llm, run="run-8")
        refused = await _refused(server)
    told = [record.getMessage() for record in caplog.records if record.name == "ray.serve"]
    assert any("run run-7" in line and "asked again" in line and "req-scripted-1" in line for line in told)
    assert any("run run-7" in line and "answered request req-scripted-2" in line for line in told)
    assert any("run run-8" in line and "llm_auth" in line and "req-scripted-3" in line for line in told)
    assert "openai" in {record.name.partition(".")[0] for record in caplog.records}, "the client logs too"
    assert KEY not in caplog.text
    assert refused not in caplog.text


async def _refused(server: ScriptedEndpoint) -> str:
    """A key that the server refuses, and repeats as some servers do."""
    wrong = "sk-wrong-0123456789"
    async with asking(server, api_key=wrong) as llm:
        found = await heard(llm)
    assert found.error is not None
    assert wrong not in f"{found.error!r} {found.error}"
    return wrong


async def test_neither_the_endpoint_nor_its_client_show_the_key() -> None:
    with ScriptedEndpoint() as server:
        made = endpoint(server, api_key=keyed())
        async with asking(server, api_key=keyed()) as llm:
            for shown in (repr(made), str(made), made.model_dump_json(), repr(llm), str(vars(llm))):
                assert KEY not in shown


# Thoughts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<think>Let me see. A plan.</think>\n\nThe answer.", "The answer."),
        (" \n<think>\nhm\n</think>The answer.", "The answer."),
        ("<think>never ends", ""),
        ("<thin", "<thin"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("Say <think>x</think>", "Say <think>x</think>"),
        ("\n</think>\n\nThe answer.", "The answer."),
        ("  indented", "  indented"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7, 60])
async def test_what_is_thought_aloud_first_is_left_out(text: str, told: str, pieces: int) -> None:
    with ScriptedEndpoint([Reply(text, tokens=pieces)]) as server:
        async with asking(server) as llm:
            found = await heard(llm)
    assert (found.text, found.error) == (told, None)


def _chunk(*choices: dict[str, Any], **more: Any) -> str:
    """A line of a stream."""
    return f"data: {json.dumps({'choices': choices} | more)}\n\n"


async def test_thoughts_apart_from_the_answer_are_a_sign_of_life() -> None:
    thought = _chunk({"index": 0, "delta": {"reasoning_content": "hm"}})
    said = _chunk({"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"})
    with ScriptedEndpoint([Reply(lines=(thought, thought, said, "data: [DONE]\n\n"))]) as server:
        async with asking(server) as llm:
            assert (await heard(llm)).text == "Hi"


async def test_other_answers_beside_the_first_are_passed_over() -> None:
    lines = (
        ": a comment\n\n",
        'data: {"choices": []}\n\n',
        _chunk({"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "A"}}),
        _chunk({"index": 0, "delta": None}),
        _chunk({"index": 0, "delta": {"content": None}}),
        _chunk({"index": 0, "delta": {"content": "B"}, "finish_reason": "stop"}, usage={}),
    )
    with ScriptedEndpoint([Reply(lines=lines)]) as server:
        async with asking(server) as llm:
            found = await heard(llm)
    assert (found.text, found.error, found.usage) == ("AB", None, Usage(calls=1))


async def test_characters_that_come_in_halves_are_whole() -> None:
    lines = tuple(
        _chunk({"index": 0, "delta": {"content": text}, "finish_reason": end})
        for text, end in (
            ("a\ud83d", None),
            ("\ude00é", None),
            ("\ud800x", None),
            ("\udc00", None),
            ("b\ud83d", "stop"),
        )
    )
    with ScriptedEndpoint([Reply(lines=lines)]) as server:
        async with asking(server) as llm:
            found = await heard(llm)
    assert found.pieces == ["a", "😀é", "\ufffdx", "\ufffd", "b"]
    assert found.text.encode()


async def test_what_cannot_be_sent_as_it_is_is_sent_nearly_so() -> None:
    with ScriptedEndpoint("Hi") as server:
        async with asking(server) as llm:
            pieces = [
                piece async for piece in llm.stream([{"role": "user", "content": "a\ud800 \ud83d\ude00"}])
            ]
        assert pieces == ["Hi"]
        assert server.requests[0].user == "a\ufffd 😀"


# Time and place ------------------------------------------------------------------------------------------


async def test_a_reader_may_take_its_time() -> None:
    with ScriptedEndpoint(["One two."]) as server:
        async with asking(server, timeout_s=3) as llm:
            heard_of = []
            async for piece in llm.stream(HELLO):
                heard_of.append(piece)
                await asyncio.sleep(3.1)  # longer than the endpoint may take
    assert heard_of == ["One", " two."]


async def test_a_first_token_that_does_not_come() -> None:
    with ScriptedEndpoint([Reply("One", stall_after=0)]) as server:
        async with asking(server, timeout_s=0.2) as llm, asyncio.timeout(10):
            found = await heard(llm)
        assert isinstance(found.error, LlmTimeoutError)
        assert "began no answer within 0.2 s" in found.error.message
        assert len(server.requests) == 1, "what took all the time is not asked again"
        assert server.requests[0].over.wait(5)
        assert server.requests[0].gone


async def test_a_next_token_that_does_not_come() -> None:
    with ScriptedEndpoint([Reply("One two three", stall_after=2)]) as server:
        async with asking(server, timeout_s=4) as llm, asyncio.timeout(30):
            found = await heard(llm)
        assert found.pieces == ["One", " two"]
        assert isinstance(found.error, LlmTimeoutError)
        assert "went on with no token" in found.error.message
        assert server.requests[0].over.wait(5)
        assert server.requests[0].gone


async def test_empty_tokens_are_no_answer() -> None:
    with ScriptedEndpoint([Reply("", tokens=400, rate=40)]) as server:
        async with asking(server, timeout_s=0.3) as llm, asyncio.timeout(10):
            assert isinstance((await heard(llm)).error, LlmTimeoutError)


async def test_an_answer_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.llm.client.MOST", 100)
    with ScriptedEndpoint([Reply("word " * 100, stall_after=90)]) as server:
        async with asking(server) as llm, asyncio.timeout(10):
            found = await heard(llm)
        assert isinstance(found.error, LlmLengthError)
        assert len(found.text) <= 100
        assert server.requests[0].over.wait(5)


async def test_closing_the_generator_closes_the_connection() -> None:
    with ScriptedEndpoint([Reply("One two three", stall_after=1)]) as server:
        async with asking(server) as llm:
            pieces = llm.stream(HELLO)
            assert await anext(pieces) == "One"
            await pieces.aclose()
            assert await asyncio.to_thread(server.requests[0].over.wait, 5)
            assert (server.requests[0].gone, server.requests[0].whole) == (True, False)


@pytest.mark.parametrize("stall", [0, 1])
async def test_a_reader_that_is_cancelled_closes_the_connection(stall: int) -> None:
    with ScriptedEndpoint([Reply("One two three", stall_after=stall)]) as server:
        async with asking(server) as llm:
            reading = asyncio.create_task(heard(llm))
            await asyncio.to_thread(server.wait_for, 1)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await asyncio.to_thread(server.requests[0].over.wait, 5)
            assert server.requests[0].gone


async def test_so_many_answers_are_written_at_once_and_no_more() -> None:
    with ScriptedEndpoint("One two three four", rate=100) as server:
        async with asking(server, concurrency=2) as llm:
            found = await asyncio.gather(*(heard(llm) for _ in range(6)))
        assert [item.text for item in found] == ["One two three four"] * 6
        assert server.most_at_once == 2


async def test_a_place_is_free_again_when_a_call_ends_however_it_ends() -> None:
    script: list[Reply | str] = [
        Reply("One two", stall_after=1),
        Reply(status=401),
        Reply("One", cut_after=1),
        "Two",
    ]
    with ScriptedEndpoint(script) as server:
        async with asking(server, concurrency=1) as llm, asyncio.timeout(5):
            pieces = llm.stream(HELLO)
            await anext(pieces)
            await pieces.aclose()
            assert (await heard(llm)).error is not None
            assert (await heard(llm)).error is not None
            assert (await heard(llm)).text == "Two"


async def test_connections_are_kept_for_the_next_call() -> None:
    with ScriptedEndpoint("Hi") as server:
        async with asking(server) as llm:
            for _ in range(5):
                await heard(llm)
        assert server.connections == 1
