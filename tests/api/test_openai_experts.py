"""Experts under their own ids: which task of a card answers a chat, what it is given, and what is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.desk import desk
from tests.api.openai_client import world
from tests.deployments.samples import PICTURES
from tests.support.cluster import card
from tests.support.fakes import answer

PICTURE = f"data:image/png;base64,{base64.b64encode(PICTURES['image/png']).decode()}"
SAID: Any = [{"role": "user", "content": "do it"}]


async def test_an_expert_answers_for_itself(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        told = await here.client.chat.completions.create(
            model="test/shorten", messages=SAID, max_completion_tokens=40, temperature=0.5
        )
    assert told.choices[0].message.content == "shorten: {'text': 'do it', 'max_new_tokens': '40'}"
    assert told.model == "test/shorten"
    assert here.stage.planner.asked == []
    (outcome,) = (told.choices[0].message.model_extra or {})["hugginggpt"]["outcomes"]
    assert outcome["choice"]["model"] == "test/shorten"


async def test_an_expert_that_talks_knows_the_conversation(tmp_path: Path) -> None:
    messages: Any = [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": "cat?"},
        {"role": "assistant", "content": "hat"},
        {"role": "user", "content": "dog?"},
    ]
    async with world(
        tmp_path, script=lambda called: called.fail(RuntimeError(called.call.args["text"]))
    ) as here:
        with pytest.raises(openai.InternalServerError):
            await here.client.chat.completions.create(model="test/talk", messages=messages)
    (args,) = here.asked("talk")
    assert args["text"] == "dog?"
    assert json.loads(args["history"]) == messages[:-1]


@pytest.mark.parametrize(
    ("written", "told"),
    [("do it now", "now"), ("Instructions: x\n\nUser: do it\n\nAssistant: done", "done"), ("other", "other")],
)
async def test_of_a_text_that_goes_on_only_what_is_new_is_the_answer(
    tmp_path: Path, written: str, told: str
) -> None:
    cards = (card("writer", "text-generation", "Echo"),)
    async with world(tmp_path, script=lambda called: answer(called.card, written), cards=cards) as here:
        found = await here.client.chat.completions.create(model="test/writer", messages=SAID)
    assert found.choices[0].message.content == told


async def test_of_a_long_conversation_the_notes_and_the_latest_turns_are_known(tmp_path: Path) -> None:
    turns: Any = [{"role": ("user", "assistant")[n % 2], "content": f"{n} " + "x" * 9_000} for n in range(8)]
    messages: Any = [{"role": "system", "content": "Rhyme."}, *turns, {"role": "user", "content": "so?"}]
    async with world(tmp_path) as here:
        await here.client.chat.completions.create(model="test/talk", messages=messages)
    (args,) = here.asked("talk")
    assert json.loads(args["history"]) == [messages[0], *turns[-4:]]


async def test_an_expert_takes_the_picture_of_a_message(tmp_path: Path) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": PICTURE}}]
    async with world(tmp_path) as here:
        stream = await here.client.chat.completions.create(
            model="test/ocr", messages=[{"role": "user", "content": content}], stream=True, stop=["."]
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        with pytest.raises(openai.BadRequestError, match="takes one image"):
            await here.client.chat.completions.create(model="test/ocr", messages=SAID)
    assert text.startswith("ocr: {'image': '/images/")
    assert "." not in text, "the answer ends at the words that stop it"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("test/draw", "/v1/images/generations"), ("test/voice", "/v1/audio/speech"),
        ("test/vectors", "/v1/embeddings"), ("test/edge", "/pipeline/canny-control"),
    ],
)  # fmt: skip
async def test_an_expert_that_cannot_chat_says_where_it_is_asked(
    tmp_path: Path, model: str, told: str
) -> None:
    async with world(tmp_path) as here:
        with pytest.raises(openai.BadRequestError, match=told) as raised:
            await here.client.chat.completions.create(model=model, messages=SAID)
    assert raised.value.param == "model"


async def test_models_are_listed_and_found(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        models = [model async for model in here.client.models.list()]
        assert models[0].id == "hugginggpt"
        assert {model.id for model in models[1:]} >= {"test/draw", "test/ear"}
        one = await here.client.models.retrieve("test/draw")
        assert one.owned_by == "test"
        assert (one.model_extra or {})["tasks"] == ["text-to-image"]
        for unknown in ("test/nothing", "nothing"):
            with pytest.raises(openai.NotFoundError, match="GET /v1/models") as raised:
                await here.client.chat.completions.create(model=unknown, messages=SAID)
            assert raised.value.code == "model_not_found"
            assert raised.value.param == "model"
        here.stage.controller.selector.fleet = type(here.stage.controller.selector.fleet)()
        with pytest.raises(openai.NotFoundError, match="hugginggpt deploy --expert test/draw"):
            await here.client.models.retrieve("test/draw")


async def test_an_experts_own_address_takes_chats_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        answer = await here.http.post("/models/test/shorten/v1/chat/completions", json={"messages": SAID})
    assert answer.json()["choices"][0]["message"]["content"].startswith("shorten: ")


async def test_a_question_without_a_picture_is_about_the_last_one(tmp_path: Path) -> None:
    cards = (card("see", "visual-question-answering", "Echo"), card("ear", "audio-classification", "Echo"))
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    messages: Any = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": "and what colour?"},
    ]
    async with world(tmp_path, cards=cards) as here:
        await here.client.chat.completions.create(model="test/see", messages=messages)
        with pytest.raises(openai.BadRequestError, match="takes one audio"):
            await here.client.chat.completions.create(model="test/ear", messages=messages)
    (args,) = here.asked("see")
    assert args["text"] == "and what colour?"
    assert args["image"].startswith("/images/")


async def test_the_client_of_the_inference_protocol_chats_with_a_model(tmp_path: Path) -> None:
    messages: Any = [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "cat?"}]
    async with desk(tmp_path) as here:
        here.says(text="hat")
        client = here.model("conversational")
        whole = await client.chat_completion(messages, max_tokens=9)
        stream = await client.chat_completion(messages, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert whole.choices[0].message.content == "".join(pieces) == "hat"
    assert here.asked[0]["max_new_tokens"] == "9"
    assert json.loads(here.asked[0]["history"]) == messages[:1]
