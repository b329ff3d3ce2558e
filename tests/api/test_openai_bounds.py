"""Bounds of OpenAI's dialect: how many files come along, what stays behind, forms that are none."""

import base64
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from controller.planner import Reply
from tests.api.openai_client import BASE, world
from tests.api.test_openai_chores import TITLE
from tests.deployments.samples import PICTURES
from tests.support.stage import EDGE
from tests.support.stored import kept

JPEG = base64.b64encode(PICTURES["image/jpeg"]).decode()
SAID: Any = [{"role": "user", "content": "do it"}]


def _pictures(count: int, words: str = "words") -> list[dict[str, Any]]:
    """Parts that bring files, each of other bytes."""
    return [{"type": "image_url", "image_url": {"url": f"data:,{words}%20{n}"}} for n in range(count)]


def _kept(folder: Path) -> list[Path]:
    return kept(folder)


# Files that come along -------------------------------------------------------------------------------------


async def test_a_request_with_too_many_files_stores_none(tmp_path: Path) -> None:
    many: Any = [{"role": "user", "content": _pictures(101)}]
    async with world(tmp_path, [Reply("ok")]) as here:
        with pytest.raises(openai.BadRequestError, match="101 files, and 100 are taken") as raised:
            await here.client.chat.completions.create(model="hugginggpt", messages=many)
    assert raised.value.param == "messages.0.content"
    assert _kept(tmp_path) == []


async def test_of_earlier_files_only_as_many_are_stored_as_are_told(tmp_path: Path) -> None:
    talk: Any = [
        {"role": "user", "content": _pictures(70)},
        {"role": "user", "content": _pictures(90, "others")},
        {"role": "user", "content": _pictures(2)},
    ]
    async with world(tmp_path, [Reply("ok")]) as here:
        await here.client.chat.completions.create(model="hugginggpt", messages=talk)
    (request,) = here.stage.planner.asked
    assert [len(message.content.split("\n")) for message in request.messages[:-1]] == [8, 90]
    assert len(_kept(tmp_path)) == 98, "two of the eight came again in the request"


@pytest.mark.parametrize("name", ["a.jpg", None])
async def test_the_field_says_that_a_file_comes_in_base64(tmp_path: Path, name: str | None) -> None:
    assert JPEG.startswith("/9j/"), "it looks like a path"
    file = {"file_data": JPEG} | ({"filename": name} if name else {})
    async with world(tmp_path, [Reply("ok")]) as here:
        for part in ({"type": "file", "file": file}, {"type": "input_file", **file}):
            body = {"model": "hugginggpt", "messages": [{"role": "user", "content": [part]}]}
            answer = await here.http.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
        assert [item.path[:8] for item in here.stage.planner.asked[0].attachments] == ["/images/"]


# What stays behind -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["mp3", "sse"])
async def test_speech_leaves_no_file_that_nobody_knows(tmp_path: Path, form: str) -> None:
    more = {"stream_format": "sse"} if form == "sse" else {"response_format": form}
    async with world(tmp_path) as here:
        answer = await here.http.post("/v1/audio/speech", json={"input": "hello", **more})
        assert answer.status_code == 200
    assert _kept(tmp_path) == []


async def test_a_spoken_answer_leaves_only_what_its_run_made(tmp_path: Path) -> None:
    spoken: Any = {"messages": SAID, "modalities": ["text", "audio"]}
    steps = [{"task": "text-to-speech", "id": 0, "args": {"text": "hello"}}]
    for plan, count in (([Reply("Well.")], 0), (steps, 1)):
        async with world(tmp_path, plan) as here:
            told = await here.client.chat.completions.create(model="hugginggpt", **spoken)
        assert told.choices[0].message.audio is not None
        assert len(_kept(tmp_path)) == count


# Forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json_object", [1], 7, {"type": 7}, {"type": "json_schema"}])
async def test_forms_that_are_none_are_refused(tmp_path: Path, form: Any) -> None:
    async with world(tmp_path, [Reply("ok")]) as here:
        for path, body in (
            ("/v1/responses", {"input": "x", "text": {"format": form}}),
            ("/v1/responses", {"input": "x", "text": form} if not isinstance(form, dict) else {"input": ""}),
            ("/v1/chat/completions", {"messages": SAID, "response_format": form}),
        ):
            answer = await here.http.post(path, json={"model": "hugginggpt", **body})
            assert answer.status_code == 400, answer.text
        for none in ({}, {"type": "text"}, None):
            body = {"input": "x", "text": {"format": none}}
            assert (await here.http.post("/v1/responses", json=body)).status_code == 200


async def test_chores_may_ask_for_the_json_they_are_answered_in(tmp_path: Path) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "title", "schema": {}}}
    async with world(tmp_path) as here:
        told = await here.client.chat.completions.create(
            model="hugginggpt", messages=[{"role": "user", "content": TITLE}], response_format=wanted
        )
        assert set(json.loads(told.choices[0].message.content or "")) == {"title"}
        with pytest.raises(openai.BadRequestError, match="plain text"):
            await here.client.chat.completions.create(
                model="test/shorten", messages=[{"role": "user", "content": TITLE}], response_format=wanted
            )


# Pages of files, and pages ---------------------------------------------------------------------------------


async def test_an_upload_is_told_as_it_is_listed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.http.post("/v1/files", files={"file": ("b.txt", b"words")}, data={"purpose": "x"})
        listed = (await here.http.get("/v1/files")).json()["data"]
        names = {"filename": "b.txt", "purpose": "x"}
        assert sent.json() == listed[0] | names | {"created_at": sent.json()["created_at"]}
        assert sent.json()["status"] == "processed"
        answer = await here.http.get("/v1/files", params={"after": f"file-{'0' * 32}"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")
        page = await here.http.get("/v1/files", params={"after": listed[0]["id"]})
        assert page.json()["data"] == []


async def test_pages_may_read_when_to_try_again(tmp_path: Path) -> None:
    async with world(tmp_path, cards=(EDGE,)) as here:
        answer = await here.http.post(
            "/v1/images/generations", json={"prompt": "x"}, headers={"origin": "http://localhost:3000"}
        )
    told = answer.headers["access-control-expose-headers"].split(", ")
    assert {"retry-after", "x-should-retry", "x-hugginggpt-model"} <= set(told)
    assert answer.headers["retry-after"]
    assert str(answer.request.url).startswith(BASE)
