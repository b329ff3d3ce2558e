"""What doors share: files that come and go, one task run directly, clients that leave."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from controller.api import media
from controller.errors import (
    AttachmentError,
    BodyTooLargeError,
    GoneError,
    PlanError,
    RequestError,
    TaskError,
    UnfitModelError,
)
from controller.outcome import Status
from deployments.errors import MediaError, NotFoundError
from deployments.media import Image
from model_catalog.errors import UnknownModelError
from tests.api.desk import Desk, desk
from tests.deployments.samples import PICTURES, gradient
from tests.support.fakes import busy

PNG = PICTURES["image/png"]


def _backend(here: Desk) -> Any:
    return here.app.state.backend


def _leaving(left: asyncio.Event) -> Request:
    """A request whose client goes away when a test says so."""

    async def receive() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


# Files ---------------------------------------------------------------------------------------------------


async def test_a_file_is_kept_and_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "CHUNK", 100)
    async with desk(tmp_path) as here:
        kept = await media.keep(_backend(here), PNG, "a.png")
        assert await media.read(_backend(here), kept.path) == (PNG, "image/png")
        with pytest.raises(NotFoundError):
            await media.read(_backend(here), "/images/" + "0" * 32 + ".png")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\nbroken"])
async def test_what_is_no_file_is_not_kept(data: bytes, tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        with pytest.raises(MediaError):
            await media.keep(_backend(here), data)
        assert here.kept() == []


async def test_a_file_over_the_limit_of_uploads_is_not_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        controller = here.stage.controller
        controller.settings = controller.settings.model_copy(update={"max_upload_bytes": len(PNG) - 1})
        with pytest.raises(BodyTooLargeError, match="send a smaller one"):
            await media.keep(_backend(here), PNG)


async def test_lent_files_go_whatever_happens(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        async with media.lent(_backend(here)) as files:
            path = await files.keep(PNG)
            await files.keep(b"words", "words.txt")
            assert len(here.kept()) == 2
            await here.store.remove(path)  # what is gone already does no harm
        assert here.kept() == []


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("data:image/png;base64,aGk=", b"hi"),
        ("DATA:;base64,aG\nk=", b"hi"),
        ("data:,a%20b", b"a b"),
        ("/images/x.png", None),
        ("http://127.0.0.1/x.png", None),
    ],
)
def test_data_urls(value: str, data: bytes | None) -> None:
    assert media.data_url(value) == data


@pytest.mark.parametrize("value", ["data:image/png;base64", "data:;base64,%%", "data:;base64,aGk"])
def test_damaged_data_urls(value: str) -> None:
    with pytest.raises(AttachmentError, match="damaged"):
        media.data_url(value)


async def test_long_data_urls_are_the_same_beside_the_event_loop() -> None:
    long = f"data:;base64,{'YWJj' * 100_000}"
    assert await media.decoded(long) == media.data_url(long) == b"abc" * 100_000
    assert await media.decoded("x" * 300_000) is None
    with pytest.raises(AttachmentError, match="damaged"):
        await media.decoded(f"{long}%")


# Calls ---------------------------------------------------------------------------------------------------


async def test_one_task_is_run_by_the_usual_model_or_the_named_one(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(text="short", image=Image(gradient()))
        outcome = await media.call(_backend(here), "summarization", {"text": "long"})
        assert (outcome.status, outcome.text) == (Status.DONE, "short")
        drawn = await media.call(
            _backend(here), "text-to-image", {"text": "x"}, model="test/text-to-image-model"
        )
        assert drawn.artifacts[0].media_type == "image/png"
        assert len(here.kept()) == 1, "whoever asked has the file, and may keep it"


async def test_words_stand_for_themselves(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(text="said")
        words = "<GENERATED>-0, <resource>-7"
        await media.call(_backend(here), "summarization", {"text": words})
        assert here.asked == [{"text": words.encode()}]
        assert here.kept() == []


@pytest.mark.parametrize(
    ("task", "args", "model", "error"),
    [
        ("summarization", {}, None, PlanError),
        ("summarization", {"text": "x", "colour": "red"}, None, PlanError),
        ("summarization", {"text": "x"}, "no/such", UnknownModelError),
        ("summarization", {"text": "x"}, "test/translation-model", UnfitModelError),
        ("image-classification", {"image": "/images/" + "0" * 32 + ".png"}, None, AttachmentError),
        ("image-classification", {"image": "/images/../x.png"}, None, RequestError),
    ],
)
async def test_what_cannot_be_run_is_refused(
    task: str, args: dict[str, str], model: str | None, error: type[Exception], tmp_path: Path
) -> None:
    async with desk(tmp_path) as here:
        with pytest.raises(error):
            await media.call(_backend(here), task, args, model=model)
        assert here.calls == []


async def test_a_task_that_fails_has_its_own_code_and_status(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.answers = [busy()]
        with pytest.raises(TaskError, match="too many calls waiting") as failed:
            await media.call(_backend(here), "summarization", {"text": "x"}, model="test/summarization-model")
        assert (failed.value.code, failed.value.status) == ("busy", 429)


# Clients that leave --------------------------------------------------------------------------------------


async def test_a_call_is_given_up_when_its_client_leaves(tmp_path: Path) -> None:
    left = asyncio.Event()
    async with desk(tmp_path) as here:
        calling = asyncio.create_task(
            media.call(_backend(here), "summarization", {"text": "x"}, request=_leaving(left))
        )
        await asyncio.wait_for(here.called.wait(), 20)
        left.set()
        with pytest.raises(GoneError):
            await calling
        assert here.calls[0].response.cancelled


async def test_work_that_ends_first_is_given(tmp_path: Path) -> None:
    async def work() -> int:
        return 7

    assert await media.attended(_leaving(asyncio.Event()), work()) == 7

    async def fails() -> int:
        raise PlanError("no")

    with pytest.raises(PlanError):
        await media.attended(_leaving(asyncio.Event()), fails())
