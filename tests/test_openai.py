"""OpenAI's own client on the whole product, over a real socket."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from deployments.decode import decode
from deployments.media import Audio, File, sniff
from model_catalog.tasks import Modality

SIGN = Path(__file__).resolve().parent.parent / "examples" / "sign.png"
PICTURE = f"data:image/png;base64,{base64.b64encode(SIGN.read_bytes()).decode()}"


@pytest.fixture
def client(product: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{product}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def _asked(text: str, *parts: Any) -> Any:
    return [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]


def test_a_picture_in_a_chat_is_read_and_drawn(client: OpenAI, product: str) -> None:
    part = {"type": "image_url", "image_url": {"url": PICTURE}}
    told = client.chat.completions.create(
        model="hugginggpt", messages=_asked("Read the text in this picture and show me its edges", part)
    )
    content = told.choices[0].message.content or ""
    assert "HARBOUR FERRY" in content
    account = (told.choices[0].message.model_extra or {})["hugginggpt"]
    (file,) = account["artifacts"]
    assert file["url"].startswith(f"{product}/images/")
    assert f"![image]({file['url']})" in content
    number = file["path"].rpartition("/")[2].partition(".")[0]
    assert sniff(client.files.content(f"file-{number}").content[:64]) == "image/png"


def test_a_conversation_remembers_its_files(client: OpenAI) -> None:
    messages = _asked("Show me the edges of /examples/sign.png")
    first = client.chat.completions.create(model="hugginggpt", messages=messages)
    messages += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "Now read the text in /examples/sign.png aloud"},
    ]
    stream = client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "/audios/" in text, text
    ends = [chunk.choices[0].finish_reason for chunk in chunks]
    assert ends[-2:] == ["stop", None], "the account comes after the answer"


def test_experts_answer_under_their_own_names(client: OpenAI) -> None:
    models = {model.id for model in client.models.list()}
    assert {"hugginggpt", "embedded/vader", "embedded/rapidocr", "embedded/espeak-ng"} <= models
    felt = client.chat.completions.create(model="embedded/vader", messages=_asked("What a lovely day!"))
    assert "positive" in (felt.choices[0].message.content or "").lower()
    read = client.responses.create(
        model="embedded/rapidocr",
        input=[
            {"role": "user", "content": [{"type": "input_image", "image_url": PICTURE, "detail": "auto"}]}
        ],
    )
    assert "HARBOUR FERRY" in read.output_text
    with pytest.raises(openai.BadRequestError, match="/v1/audio/speech"):
        client.chat.completions.create(model="embedded/espeak-ng", messages=_asked("hi"))
    with pytest.raises(openai.InternalServerError, match="hugginggpt deploy"):
        client.images.generate(prompt="a cat")


async def test_plans_are_told_as_items_and_speech_as_a_file(product: str) -> None:
    async with AsyncOpenAI(base_url=f"{product}/v1", api_key="none", timeout=60) as client:
        stream = await client.responses.create(
            model="hugginggpt", input="Read the text in /examples/sign.png aloud", stream=True
        )
        speech = asyncio.ensure_future(
            client.audio.speech.create(model="tts-1", voice="alloy", input="The ferry leaves at noon.")
        )
        events = [event async for event in stream]
        sound = decode(File((await speech).content, "audio/mpeg"), Modality.AUDIO)
    assert events[-1].type == "response.completed"
    items = events[-1].response.output
    assert [getattr(item, "name", item.type) for item in items] == [
        "image-to-text", "text-to-speech", "message",
    ]  # fmt: skip
    assert isinstance(sound, Audio)
    assert 1 < len(sound.samples) / sound.rate < 6


def test_every_answer_has_one_request_id(client: OpenAI) -> None:
    models = client.models.with_raw_response.list()
    assert models.headers.get_list("x-request-id") == [models.request_id]
    mine = client.models.with_raw_response.list(extra_headers={"x-request-id": "mine-7"})
    assert mine.headers.get_list("x-request-id") == ["mine-7"]
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("nobody/nothing")
    assert raised.value.request_id
    assert raised.value.code == "model_not_found"
