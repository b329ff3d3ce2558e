"""Chat completions by OpenAI's own client: plans, experts, streams, files in and out, errors."""

import base64
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from controller.planner import Reply
from deployments.decode import decode
from deployments.llm.client import Usage
from deployments.media import Audio, File
from model_catalog.tasks import Modality
from tests.api.openai_client import BASE, world
from tests.deployments.samples import PICTURES, sound
from tests.support.brains import FakeResponder
from tests.support.fakes import Called, busy
from tests.support.stage import FAULTY

PNG = PICTURES["image/png"]
PICTURE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SAID: Any = [{"role": "user", "content": "do it"}]
DRAW = [{"task": "text-to-image", "id": 0, "args": {"text": "a cat"}}]
PATH = "/images/" + "0123456789abcdef" * 2 + ".png"


async def test_the_planner_answers_with_its_files_and_account(tmp_path: Path) -> None:
    pieces = ("Here: ", f"{PATH}.", " Enjoy ", "it.")
    async with world(tmp_path, DRAW, responder=FakeResponder(pieces)) as here:
        told = await here.client.chat.completions.create(model="hugginggpt", messages=SAID)
    (choice,) = told.choices
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert choice.message.content == f"Here: ![image]({BASE}{PATH}). Enjoy it."
    account: Any = choice.message.model_extra
    account = account["hugginggpt"]
    assert account["run"].startswith("run-")
    assert account["plan"][0]["task"] == "text-to-image"
    assert account["outcomes"][0]["status"] == "done"
    (file,) = account["artifacts"]
    assert file["url"] == f"{BASE}{file['path']}"
    assert file["modality"] == "image"
    assert told.usage is not None
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens > 0
    assert told.usage.model_extra == {"estimated": True}
    assert told._request_id
    assert told.id == f"chatcmpl-{told._request_id}"


async def test_a_stream_has_a_role_deltas_an_end_and_the_usage(tmp_path: Path) -> None:
    pieces = ("See ", PATH[:9], PATH[9:], " and", " that.")
    async with world(tmp_path, DRAW, responder=FakeResponder(pieces)) as here:
        stream = await here.client.chat.completions.create(
            model="hugginggpt", messages=SAID, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == f"See ![image]({BASE}{PATH}) and that."
    thoughts = "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas)
    assert "text-to-image (task 0) is planned." in thoughts
    assert "Task 0 is done by test/draw." in thoughts
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "stop"
    ]
    account = (deltas[-1].model_extra or {})["hugginggpt"]
    assert account["artifacts"][0]["task"] == "text-to-image"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_ends_as_the_protocol_wants(tmp_path: Path) -> None:
    async with world(tmp_path, [Reply("hi")]) as here:
        body = {"model": "gpt-4o", "messages": SAID, "stream": True}
        answer = await here.http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    lines = answer.text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["model"] == "gpt-4o" for line in lines[:-1])


async def test_the_helper_of_the_client_gathers_a_stream(tmp_path: Path) -> None:
    async with (
        world(tmp_path, DRAW) as here,
        here.client.chat.completions.stream(model="hugginggpt", messages=SAID) as stream,
    ):
        told = await stream.get_final_completion()
    assert told.choices[0].message.content == "All done."


async def test_tokens_that_an_llm_counted_are_told_as_they_are(tmp_path: Path) -> None:
    class Counting(FakeResponder):
        async def respond(self, *args: Any, usage: Usage | None = None, **more: Any) -> Any:
            assert usage is not None
            usage += Usage(1, 70, 30)
            yield "well"

    async with world(tmp_path, DRAW, responder=Counting()) as here:
        told = await here.client.chat.completions.create(model="hugginggpt", messages=SAID)
    assert told.usage is not None
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (70, 30)
    assert told.usage.model_extra == {"estimated": False}


# Files that come along ------------------------------------------------------------------------------------


async def test_files_come_as_data_as_addresses_and_as_ids(tmp_path: Path) -> None:
    words = base64.b64encode(b"some words").decode()
    async with world(tmp_path, [Reply("seen")]) as here:
        stored = await here.client.files.create(file=("b.png", PICTURES["image/jpeg"]), purpose="vision")
        url = (stored.model_extra or {})["url"]
        content: Any = [
            {"type": "text", "text": "what are these?"},
            {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "image_url", "image_url": {"url": "/examples/sign.png"}},
            {"type": "file", "file": {"file_id": stored.id}},
            {"type": "file", "file": {"file_data": words, "filename": "a.txt"}},
            {"type": "input_audio",
             "input_audio": {"data": base64.b64encode(sound("WAV")).decode(), "format": "wav"}},
        ]  # fmt: skip
        messages: Any = [{"role": "user", "content": content}]
        for _ in range(2):
            await here.client.chat.completions.create(model="hugginggpt", messages=messages)
        first, second = here.stage.planner.asked
        kinds = [item.modality for item in first.attachments]
        page = await here.client.files.list()
    assert kinds == [*[Modality.IMAGE] * 4, Modality.TEXT, Modality.AUDIO]
    assert first.text == "what are these?"
    assert first.attachments[1].path == first.attachments[3].path
    assert first.attachments == second.attachments, "what comes again is not stored again"
    assert len(page.data) == 4


async def test_files_of_earlier_turns_are_named_where_they_came(tmp_path: Path) -> None:
    async with world(tmp_path, [Reply("ok")]) as here:
        messages: Any = [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "look"},
                                         {"type": "image_url", "image_url": {"url": PICTURE}}]},
            {"role": "assistant", "content": f"I made ![image]({BASE}{PATH}), see {BASE}{PATH}"},
            {"role": "tool", "tool_call_id": "x", "content": "ignored"},
            {"role": "user", "content": "again"},
            {"role": "system", "content": "Answer in English."},
        ]  # fmt: skip
        await here.client.chat.completions.create(model="hugginggpt", messages=messages)
    (request,) = here.stage.planner.asked
    roles = [message.role for message in request.messages]
    assert roles == ["system", "user", "assistant", "system", "user"]
    words, path = request.messages[1].content.split("\n")
    assert words == "look"
    assert path.startswith("/images/")
    assert request.messages[2].content == f"I made {PATH}, see {PATH}"
    assert request.text == "again"
    assert request.attachments == ()


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "image_url", "image_url": {"url": "https://evil.example/x.png"}}, "was not read"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,###"}}, "damaged"),
        ({"type": "image_url", "image_url": {"url": PATH}}, "no file"),
        ({"type": "file", "file": {"file_id": "file-nothing"}}, "no file"),
        ({"type": "file", "file": {}}, "names none"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named_by_its_field(tmp_path: Path, part: Any, told: str) -> None:
    async with world(tmp_path, [Reply("ok")]) as here:
        content: Any = [{"type": "text", "text": "look"}, part]
        with pytest.raises(openai.BadRequestError, match=told) as raised:
            await here.client.chat.completions.create(
                model="hugginggpt", messages=[{"role": "user", "content": content}]
            )
    assert raised.value.param == "messages.0.content.1"
    assert raised.value.type == "invalid_request_error"


# Sound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["hugginggpt", "test/shorten"])
async def test_answers_can_be_spoken(tmp_path: Path, model: str) -> None:
    async with world(tmp_path, [Reply(f"It is {PATH} here.")]) as here:
        told = await here.client.chat.completions.create(
            model=model,
            messages=SAID,
            modalities=["text", "audio"],
            audio={"voice": "coral", "format": "flac"},
        )
    message = told.choices[0].message
    assert message.content is None
    assert message.audio is not None
    assert message.audio.transcript
    spoken = decode(File(base64.b64decode(message.audio.data), "audio/flac"), Modality.AUDIO)
    assert isinstance(spoken, Audio)
    assert here.asked("voice")[0]["voice"] == "coral"
    assert "/images/" not in here.asked("voice")[0]["text"] or model != "hugginggpt"


async def test_a_spoken_answer_is_what_the_run_made_as_sound(tmp_path: Path) -> None:
    steps = [{"task": "text-to-speech", "id": 0, "args": {"text": "hello"}}]
    async with world(tmp_path, steps) as here:
        stream = await here.client.chat.completions.create(
            model="hugginggpt", messages=SAID, modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "pcm16"}, stream=True,
        )  # fmt: skip
        told: list[Any] = [chunk.choices[0].delta.to_dict() async for chunk in stream]
    sounds = [delta["audio"] for delta in told if "audio" in delta]
    assert len(here.asked("voice")) == len(sounds) == 1
    assert len(base64.b64decode(sounds[0]["data"])) == 2 * 24_000


# What is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages.0.content"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, None),
        ({"temperature": 3}, "temperature"),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_its_field(tmp_path: Path, more: Any, param: str) -> None:
    body = {"model": "hugginggpt", "messages": SAID} | more
    async with world(tmp_path, [Reply("ok")]) as here:
        with pytest.raises(openai.BadRequestError) as raised:
            await here.client.chat.completions.create(**body)
    assert param is None or raised.value.param == param
    assert raised.value.type == "invalid_request_error"


async def test_tools_that_are_only_offered_are_left_alone(tmp_path: Path) -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with world(tmp_path, [Reply("ok")]) as here:
        told = await here.client.chat.completions.create(
            model="hugginggpt", messages=SAID, tools=[tool], tool_choice="auto", user="me", top_p=1
        )
    assert told.choices[0].message.content == "ok"
    assert told.choices[0].message.tool_calls is None


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plan_that_fails_is_an_error_before_anything_is_told(tmp_path: Path, stream: bool) -> None:
    async with world(tmp_path, [FAULTY]) as here:
        with pytest.raises(openai.UnprocessableEntityError, match="No task of the plan can run"):
            await here.client.chat.completions.create(model="hugginggpt", messages=SAID, stream=stream)


async def test_what_fails_in_mid_stream_is_told_there(tmp_path: Path) -> None:
    responder = FakeResponder(("so far ", RuntimeError("inner words")))
    async with world(tmp_path, DRAW, responder=responder) as here:
        stream = await here.client.chat.completions.create(model="hugginggpt", messages=SAID, stream=True)
        with pytest.raises(openai.APIError, match="unexpected RuntimeError") as raised:
            async for _ in stream:
                pass
    assert "inner words" not in str(raised.value)


async def test_a_busy_expert_is_a_limit_of_rate(tmp_path: Path) -> None:
    def full(called: Called) -> Exception:
        return busy()

    async with world(tmp_path, script=full) as here:
        with pytest.raises(openai.RateLimitError) as raised:
            await here.client.chat.completions.create(model="test/shorten", messages=SAID)
    assert raised.value.code == "busy"
    assert raised.value.type == "rate_limit_error"
    assert int(raised.value.response.headers["retry-after"]) > 0


async def test_every_answer_has_a_request_id(tmp_path: Path) -> None:
    async with world(tmp_path, [Reply("ok")]) as here:
        mine = {"x-request-id": "mine-1"}
        told = await here.client.chat.completions.create(
            model="hugginggpt", messages=SAID, extra_headers=mine
        )
        assert told._request_id == "mine-1"
        for odd in ("", "a b", "x" * 200):
            answer = await here.http.get("/healthz", headers={"x-request-id": odd})
            assert answer.headers["x-request-id"].startswith("req-")
        assert (await here.http.get("/nowhere")).headers["x-request-id"]
        refused = await here.http.get("/healthz", headers={"host": "evil.example"})
        assert (refused.status_code, bool(refused.headers["x-request-id"])) == (403, True)
    async with world(tmp_path, [RuntimeError("inner")]) as here:
        answer = await here.http.post("/hugginggpt", json={"messages": SAID}, headers=mine)
        assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine-1")
