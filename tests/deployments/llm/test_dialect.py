"""What endpoints take: strict schemas, JSON, plain text; each refusal is learned from, once."""

import asyncio
from typing import Any

import pytest

from deployments.llm.client import Form
from deployments.llm.errors import LlmError, LlmRefusedError, LlmRequestError
from tests.deployments.llm.asking import PLAN, asking, heard
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint, problem

STEPS = ["json_schema", "json_object", "text"]


def _formats(server: ScriptedEndpoint) -> list[str]:
    return [asked.format for asked in server.requests]


@pytest.mark.parametrize(
    ("refused", "asked"),
    [
        ((), ["json_schema", "json_schema"]),
        (("json_schema",), ["json_schema", "json_object", "json_object"]),
        (("json_schema", "json_object"), [*STEPS, "text"]),
    ],
)
async def test_the_strictest_form_is_asked_for_first_and_what_is_taken_is_remembered(
    refused: tuple[str, ...], asked: list[str]
) -> None:
    with ScriptedEndpoint("{}", refuses=refused) as server:
        async with asking(server) as llm:
            for _ in range(2):
                found = await heard(llm, PLAN)
                assert (found.text, found.error, found.usage.calls) == ("{}", None, 1)
        assert _formats(server) == asked, "no call is made only to find out"
        assert server.requests[0].body["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "plan", "schema": PLAN.schema, "strict": True},
        }


@pytest.mark.parametrize("name", ["temperature", "stream_options", "seed", "top_p"])
async def test_what_is_named_is_left_out_and_the_form_stays(name: str) -> None:
    with ScriptedEndpoint("{}", refuses=[name]) as server:
        async with asking(server) as llm:
            for _ in range(2):
                assert (await heard(llm, PLAN, seed=1, top_p=0.5)).text == "{}"
        assert [name in asked.body for asked in server.requests] == [True, False, False]
        assert set(_formats(server)) == {"json_schema"}


async def test_an_endpoint_that_takes_nothing_but_words() -> None:
    refused = ("json_schema", "json_object", "temperature", "stream_options", "seed")
    with ScriptedEndpoint("{}", refuses=refused) as server:
        async with asking(server) as llm:
            assert (await heard(llm, PLAN, seed=1)).text == "{}"
            assert len(server.requests) == 6
            assert (await heard(llm, PLAN, seed=1)).text == "{}"
        assert server.requests[-1].body.keys() == {"model", "messages", "stream"}
        assert len(server.requests) == 7


async def test_calls_at_the_same_time_learn_from_one_another() -> None:
    with ScriptedEndpoint("{}", refuses=["json_schema", "temperature"]) as server:
        async with asking(server) as llm:
            found = await asyncio.gather(*(heard(llm, PLAN) for _ in range(4)))
            assert [item.text for item in found] == ["{}"] * 4
            before = len(server.requests)
            await heard(llm, PLAN)
        assert len(server.requests) == before + 1


async def test_a_refusal_without_words_has_less_asked_for_until_nothing_is_left() -> None:
    bare = Reply(status=400, error={"detail": "Bad Request"})

    def taken(asked: Asked) -> Reply | str:
        return "Hi" if asked.body.keys() == {"model", "messages", "stream"} else bare

    with ScriptedEndpoint(taken) as server:
        async with asking(server) as llm:
            assert (await heard(llm, PLAN)).text == "Hi"
        assert _formats(server) == [*STEPS, "text"]


async def test_what_did_not_help_is_not_remembered() -> None:
    with ScriptedEndpoint([Reply(status=400, error={"error": "no"})] * 4) as server:
        async with asking(server) as llm:
            found = await heard(llm, PLAN)
            assert isinstance(found.error, LlmRequestError)
            server.say("{}")
            assert (await heard(llm, PLAN)).text == "{}"
        assert _formats(server)[-1] == "json_schema"


async def test_a_schema_that_is_not_strict_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    loose = Form("plan", {"type": "object", "properties": {"tasks": {"type": "array"}}, "required": []})
    with ScriptedEndpoint("{}") as server:
        async with asking(server) as llm:
            assert (await heard(llm, loose)).text == "{}"
        assert _formats(server) == ["json_schema", "json_object"]
    assert "Invalid schema for response_format 'plan'" in caplog.text
    assert "is asked for any JSON object" in caplog.text


TOO_LONG = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
)


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (
            problem(TOO_LONG, param="messages", code="context_length_exceeded"),
            LlmRequestError,
            "longer than tiny",
        ),
        (problem(TOO_LONG), LlmRequestError, "longer than tiny"),
        (problem("Bad role.", param="messages[0].role"), LlmRequestError, "Bad role."),
        (problem("'stream' does not support true.", param="stream"), LlmRequestError, "'stream'"),
        (problem("Filtered.", param="prompt", code="content_filter"), LlmRefusedError, "content filter"),
        (problem("No such model.", param="model", code="model_not_found"), LlmRequestError, "No such model."),
    ],
)
async def test_a_refusal_of_something_else_is_an_error_at_once(
    body: dict[str, Any], kind: type[LlmError], told: str
) -> None:
    with ScriptedEndpoint([Reply(status=400, error=body)]) as server:
        async with asking(server) as llm:
            found = await heard(llm, PLAN)
        assert type(found.error) is kind
        assert told in str(found.error)
        assert len(server.requests) == 1
