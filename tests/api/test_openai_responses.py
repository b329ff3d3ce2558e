"""Responses by OpenAI's own client: items, streamed events, errors."""

import base64
from pathlib import Path
from typing import Any

import openai
import pytest

from controller.planner import Reply
from deployments.errors import InputError
from model_catalog.tasks import Modality
from tests.api.openai_client import BASE, made, world
from tests.deployments.samples import PICTURES
from tests.support.brains import FakeResponder
from tests.support.fakes import Called, busy, wrapped
from tests.support.stage import FAULTY

PICTURE = f"data:image/png;base64,{base64.b64encode(PICTURES['image/png']).decode()}"
STEPS = [
    {"task": "text-to-image", "id": 0, "args": {"text": "a cat"}},
    {"task": "image-to-text", "id": 1, "args": {"image": "<GENERATED>-0"}},
]
PATH = "/images/" + "0123456789abcdef" * 2 + ".png"


async def test_a_response_has_its_steps_and_its_answer(tmp_path: Path) -> None:
    async with world(tmp_path, STEPS, responder=FakeResponder((f"See {PATH}",))) as here:
        told = await here.client.responses.create(
            model="hugginggpt", input="do it", instructions="Be kind.", metadata={"a": "b"}
        )
    assert told.status == "completed"
    assert told.output_text == f"See ![image]({BASE}{PATH})"
    draw, read, message = told.output
    assert draw.type == read.type == "mcp_call"
    assert (draw.name, draw.server_label, draw.status) == ("text-to-image", "hugginggpt", "completed")
    assert draw.arguments == '{"text": "a cat"}'
    assert draw.output is not None
    assert f"{BASE}/images/" in draw.output
    assert message.type == "message"
    assert told.usage is not None
    assert told.usage.total_tokens > 0
    assert (told.instructions, told.metadata) == ("Be kind.", {"a": "b"})
    assert (told.model_extra or {})["hugginggpt"]["artifacts"][0]["task"] == "text-to-image"
    (request,) = here.stage.planner.asked
    assert [(item.role, item.content) for item in request.messages] == [
        ("system", "Be kind."), ("user", "do it"),
    ]  # fmt: skip


async def test_a_stream_tells_items_as_they_grow(tmp_path: Path) -> None:
    pieces = ("Two ", "words", " here.")
    async with world(tmp_path, STEPS, responder=FakeResponder(pieces)) as here:
        stream = await here.client.responses.create(model="hugginggpt", input="do it", stream=True)
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 3
    assert kinds.count("response.mcp_call.completed") == 2
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "Two words here."
    assert len(deltas) > 1
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "Two words here."


async def test_the_helper_of_the_client_follows_a_stream(tmp_path: Path) -> None:
    async with (
        world(tmp_path, STEPS) as here,
        here.client.responses.stream(model="hugginggpt", input="do it") as stream,
    ):
        told = await stream.get_final_response()
    assert told.output_text == "All done."
    assert [item.type for item in told.output] == ["mcp_call", "mcp_call", "message"]


async def test_a_conversation_goes_on_with_what_came_out(tmp_path: Path) -> None:
    async with world(tmp_path, STEPS) as here:
        first = await here.client.responses.create(model="hugginggpt", input="do it")
        parts = [{"type": "input_text", "text": "and this?"}, {"type": "input_image", "image_url": PICTURE}]
        more: Any = [
            {"role": "user", "content": "do it"}, *(item.to_dict() for item in first.output),
            {"type": "reasoning", "id": "r", "summary": []}, {"role": "user", "content": parts},
        ]  # fmt: skip
        await here.client.responses.create(model="hugginggpt", input=more)
    request = here.stage.planner.asked[-1]
    assert [(item.role, item.content) for item in request.messages] == [
        ("user", "do it"), ("assistant", "All done."), ("user", "and this?"),
    ]  # fmt: skip
    assert [item.modality for item in request.attachments] == [Modality.IMAGE]


async def test_an_expert_responds_for_itself(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        told = await here.client.responses.create(
            model="test/shorten", input="do it", max_output_tokens=9, temperature=0.1, top_p=0.5
        )
    assert told.output_text == "shorten: {'text': 'do it', 'max_new_tokens': '9'}"
    assert here.stage.planner.asked == []


async def test_a_task_that_fails_is_an_item_that_failed(tmp_path: Path) -> None:
    def half(called: Called) -> Any:
        return made(called) if called.name == "draw" else wrapped(InputError("unreadable"))

    async with world(tmp_path, STEPS, script=half) as here:
        told = await here.client.responses.create(model="hugginggpt", input="do it")
    failed = told.output[1]
    assert failed.type == "mcp_call"
    assert failed.status == "failed"
    assert "unreadable" in str(failed.error)
    assert told.status == "completed"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"background": True}, "background"), ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"), ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"), ({"input": []}, None),
        ({"input": [{"type": "reasoning", "id": "r", "summary": []}]}, "messages"),
    ],
)  # fmt: skip
async def test_what_cannot_be_kept_is_refused_by_its_field(tmp_path: Path, more: Any, param: str) -> None:
    wanted: Any = {"model": "hugginggpt", "input": "do it"} | more
    async with world(tmp_path, [Reply("ok")]) as here:
        with pytest.raises(openai.BadRequestError) as raised:
            await here.client.responses.create(**wanted)
    assert param is None or raised.value.param == param


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plan_that_fails_is_an_error(tmp_path: Path, stream: bool) -> None:
    async with world(tmp_path, [FAULTY]) as here:
        with pytest.raises(openai.UnprocessableEntityError, match="No task of the plan can run"):
            await here.client.responses.create(model="hugginggpt", input="do it", stream=stream)


async def test_what_fails_in_mid_stream_is_a_response_that_failed(tmp_path: Path) -> None:
    responder = FakeResponder(("so far ", busy()))
    async with world(tmp_path, STEPS, responder=responder) as here:
        stream = await here.client.responses.create(model="hugginggpt", input="do it", stream=True)
        events = [event async for event in stream]
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "rate_limit_exceeded"
