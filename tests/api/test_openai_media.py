"""Pictures, speech, transcriptions, vectors and files by OpenAI's own client."""

import base64
import io
from pathlib import Path
from typing import Any

import av
import httpx2
import numpy as np
import openai
import PIL.Image
import pytest

from controller.api.openai.masks import mask_of
from controller.api.openai.sound import convert
from controller.api.openai.transcriptions import Segment, _length
from deployments.decode import decode, seconds
from deployments.errors import InputError
from deployments.media import Audio, File
from deployments.result import Result
from model_catalog.tasks import Modality
from tests.api.openai_client import BASE, World, made, world
from tests.deployments.samples import FILMS, PICTURES, sound, tone
from tests.support.fakes import Called, wrapped
from tests.support.stage import EDGE
from tests.support.stored import kept, stored

PNG = PICTURES["image/png"]
WAV = sound("WAV", tone(2.0))


# Pictures --------------------------------------------------------------------------------------------------


async def test_pictures_come_as_addresses(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        told = await here.client.images.generate(
            model="dall-e-3", prompt="a cat", n=2, size="512x768", quality="hd", style="vivid",
            extra_body={"seed": 41, "steps": 4, "negative_prompt": "dogs"},
        )  # fmt: skip
        assert told.data is not None
        pages = [await here.http.get(str(picture.url)) for picture in told.data]
    assert {page.headers["content-type"] for page in pages} == {"image/png"}
    asked = sorted(here.asked("draw"), key=lambda args: args["seed"])
    assert [args.pop("seed") for args in asked] == ["41", "42"]
    assert (
        asked
        == [{"text": "a cat", "width": "512", "height": "768", "steps": "4", "negative_prompt": "dogs"}] * 2
    )
    assert [(picture.model_extra or {})["seed"] for picture in told.data] == [41, 42]
    assert (told.model_extra or {})["model"] == "test/draw"


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"response_format": "b64_json"}, "PNG"),
        ({"model": "gpt-image-1", "output_format": "webp", "output_compression": 80}, "WEBP"),
        ({"response_format": "b64_json", "output_format": "jpeg", "size": "auto"}, "JPEG"),
    ],
)  # fmt: skip
async def test_pictures_come_as_bytes_in_the_format_wanted(tmp_path: Path, more: Any, kind: str) -> None:
    async with world(tmp_path) as here:
        told = await here.client.images.generate(prompt="a cat", **more)
    assert told.data is not None
    (picture,) = told.data
    assert picture.url is None
    found = PIL.Image.open(io.BytesIO(base64.b64decode(str(picture.b64_json))))
    assert (found.format, found.size) == (kind, (12, 8))
    assert here.asked("draw") == [{"text": "a cat"}]


async def test_a_picture_in_another_format_has_an_address_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        told = await here.client.images.generate(prompt="a cat", output_format="jpeg")
        assert told.data is not None
        page = await here.http.get(str(told.data[0].url))
    assert page.headers["content-type"] == "image/jpeg"


async def test_pictures_are_changed_by_words(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        one: Any = ("a.png", PNG)
        told = await here.client.images.edit(
            model="hugginggpt", image=[one], prompt="bluer", response_format="b64_json",
            extra_body={"strength": 0.5},
        )  # fmt: skip
        assert told.data is not None
        assert told.data[0].b64_json
        (args,) = here.asked("paint")
        gone = await here.http.get(args["image"])
    assert (args["text"], args["strength"]) == ("bluer", "0.5")
    assert gone.status_code == 404, "what was sent is not kept"


async def test_a_mask_has_the_picture_painted_anew_there(tmp_path: Path) -> None:
    seen: list[np.ndarray[Any, Any]] = []

    def look(called: Called) -> Result | Exception:
        data = stored(tmp_path, called.call.args["mask"])
        seen.append(np.asarray(PIL.Image.open(io.BytesIO(data))))
        return made(called)

    mask = np.full((24, 40, 4), 255, np.uint8)
    mask[:12, :, 3] = 0
    buffer = io.BytesIO()
    PIL.Image.fromarray(mask).save(buffer, "PNG")
    async with world(tmp_path, script=look) as here:
        sent: Any = {"image": ("a.png", PNG), "mask": ("m.png", buffer.getvalue())}
        await here.client.images.edit(model="hugginggpt", prompt="a hat", **sent)
    assert (seen[0][:12] == 255).all()
    assert (seen[0][12:] == 0).all()


def test_a_mask_without_transparency_is_white_where_it_paints() -> None:
    levels = np.zeros((4, 4, 3), np.uint8)
    levels[0] = 250
    buffer = io.BytesIO()
    PIL.Image.fromarray(levels).save(buffer, "PNG")
    found = np.asarray(PIL.Image.open(io.BytesIO(mask_of(buffer.getvalue()))))
    assert (found[0] == 255).all()
    assert (found[1:] == 0).all()


async def test_pictures_that_cannot_be_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for more, param in (
            ({"size": "big"}, "size"),
            ({"stream": True}, "stream"),
            ({"background": "transparent"}, "background"),
            ({"n": 11}, "n"),
            ({"model": "test/ear"}, "model"),
        ):
            wanted: Any = {"prompt": "a cat"} | more
            with pytest.raises(openai.BadRequestError) as raised:
                await here.client.images.generate(**wanted)
            assert raised.value.param == param
        answer = await here.http.post("/v1/images/edits", data={"prompt": "x"}, files={"other": b"x"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "image")
        answer = await here.http.post("/v1/images/edits", json={"prompt": "x"})
        assert "multipart/form-data" in answer.json()["error"]["message"]
        with pytest.raises(openai.APIStatusError) as broken:
            await here.client.images.edit(image=("a.png", b"no picture"), prompt="x")
        assert broken.value.status_code == 415


async def test_without_an_expert_the_answer_says_what_to_do(tmp_path: Path) -> None:
    async with world(tmp_path, cards=(EDGE,)) as here:
        with pytest.raises(openai.InternalServerError, match="leave that part out") as raised:
            await here.client.images.generate(prompt="a cat")
    assert raised.value.status_code == 503
    assert raised.value.code == "no_expert"
    assert raised.value.response.headers["x-should-retry"] == "false"


async def test_one_picture_that_fails_gives_the_others_up(tmp_path: Path) -> None:
    def half(called: Called) -> Any:
        return wrapped(InputError("no such seed")) if called.call.args["seed"] == "1" else None

    async with world(tmp_path, script=half) as here:
        with pytest.raises(openai.UnprocessableEntityError, match="no such seed"):
            await here.client.images.generate(prompt="a cat", n=3, extra_body={"seed": 0})
        assert all(promise.ended for promise in here.stage.cluster.promises)


# Speech ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "kind"),
    [("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("aac", "audio/aac"), ("flac", "audio/flac"),
     ("wav", "audio/wav"), ("pcm", "audio/pcm")],
)  # fmt: skip
async def test_texts_are_read_aloud_in_every_format(tmp_path: Path, form: Any, kind: str) -> None:
    async with world(tmp_path) as here:
        told = await here.client.audio.speech.create(
            model="tts-1", voice="nova", input="hello", response_format=form, speed=2.0
        )
        assert told.response.headers["content-type"] == kind
        assert told.response.headers["x-hugginggpt-model"] == "test/voice"
        assert _seconds(told.content, form) == pytest.approx(0.5, abs=0.06)
    assert here.asked("voice") == [{"text": "hello", "voice": "nova"}]


def _seconds(data: bytes, form: str) -> float:
    if form == "pcm":
        return len(data) / 2 / 24_000
    with av.open(io.BytesIO(data), "r") as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        return samples / int(container.streams.audio[0].rate)


def test_speech_keeps_its_pitch_at_another_speed() -> None:
    for speed, length in ((0.25, 8.0), (4.0, 0.5)):
        changed = decode(File(convert(WAV, "audio/wav", "wav", speed), "audio/wav"), Modality.AUDIO)
        assert isinstance(changed, Audio)
        assert len(changed.samples) / changed.rate == pytest.approx(length, rel=0.05)
        spectrum = np.abs(np.fft.rfft(changed.samples))
        assert np.argmax(spectrum) * changed.rate / len(changed.samples) == pytest.approx(440, rel=0.02)


async def test_a_voice_that_an_expert_has_not_is_its_usual_one_where_openai_has_it(tmp_path: Path) -> None:
    def single(called: Called) -> Result | Exception:
        return wrapped(InputError("one voice only")) if "voice" in called.call.args else made(called)

    async with world(tmp_path, script=single) as here:
        told = await here.client.audio.speech.create(model="test/voice", voice="alloy", input="hi")
        assert told.content
        with pytest.raises(openai.UnprocessableEntityError, match="one voice only"):
            await here.client.audio.speech.create(model="test/voice", voice="grandmother", input="hi")


async def test_speech_comes_in_pieces_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        body = {
            "model": "x",
            "input": "hi",
            "voice": "alloy",
            "stream_format": "sse",
            "response_format": "wav",
        }
        lines = (await here.http.post("/v1/audio/speech", json=body | {"model": "tts-1"})).text
        async with here.client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="hi", response_format="wav"
        ) as told:
            whole = b"".join([piece async for piece in told.iter_bytes()])
    assert "speech.audio.delta" in lines
    assert "speech.audio.done" in lines
    assert whole.startswith(b"RIFF")


async def test_speech_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for more in ({"speed": 9}, {"response_format": "midi"}, {"input": ""}, {"model": "test/draw"}):
            wanted: Any = {"model": "tts-1", "voice": "alloy", "input": "hi"} | more
            with pytest.raises(openai.BadRequestError) as raised:
                await here.client.audio.speech.create(**wanted)
            assert raised.value.param == next(iter(more))


# Transcriptions --------------------------------------------------------------------------------------------


async def _heard(here: World, **more: Any) -> Any:
    return await here.client.audio.transcriptions.create(file=("a.wav", WAV), model="whisper-1", **more)


async def test_recordings_are_written_down_in_every_form(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        assert (await _heard(here, language="en", prompt="names", temperature=0)).text == "Good day. Bye."
        assert await _heard(here, response_format="text") == "Good day. Bye.\n"
        assert await _heard(here, response_format="srt") == (
            "1\n00:00:00,000 --> 00:00:01,500\nGood day.\n\n2\n00:01:01,250 --> 01:01:01,500\nBye.\n"
        )
        assert (await _heard(here, response_format="vtt")).startswith(
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nGood day.\n"
        )
        verbose = await _heard(here, response_format="verbose_json", timestamp_granularities=["segment"])
    assert (verbose.language, verbose.duration) == ("en", 2.0)
    assert [(part.start, part.end, part.text) for part in verbose.segments] == [
        (0.0, 1.5, "Good day."), (61.25, 3661.5, "Bye."),
    ]  # fmt: skip
    first = here.asked("ear")[0]
    assert first["language"] == "en"
    assert not kept(tmp_path), "what was sent is not kept"


@pytest.mark.parametrize("kind", ["video/webm", "video/mp4"])
async def test_a_recording_is_what_its_bytes_say_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    sent: Any = {"file": ("recording.wav", FILMS[kind])}
    async with world(tmp_path) as here:
        for door, form in (("transcriptions", "verbose_json"), ("translations", "json")):
            data = {"model": "whisper-1", "response_format": form}
            told = await here.http.post(f"/v1/audio/{door}", files=sent, data=data)
            assert told.status_code == 200, told.text
        stored = await here.http.post("/v1/files", files=sent)
        assert stored.json()["media_type"] == kind
        other = await here.http.post("/v1/files", files={"file": ("recording.wav", PNG)})
        assert other.status_code == 415


def test_the_length_of_a_recording_is_read_from_its_header() -> None:
    assert _length(WAV, []) == 2.0
    assert _length(FILMS["video/mp4"], []) == pytest.approx(seconds(File(FILMS["video/mp4"], "video/mp4")))
    live = bytearray(FILMS["video/webm"])
    at = live.index(b"\x44\x89\x88")  # the length, an element that recorders leave out
    live[at : at + 11] = b"\xec\x89" + bytes(9)
    assert seconds(File(bytes(live), "video/webm")) is None
    assert _length(bytes(live), [Segment(id=0, start=0, end=1.25, text="x")]) == 1.25


async def test_a_model_without_times_cannot_write_subtitles(tmp_path: Path) -> None:
    async with world(tmp_path, script=lambda called: Result(text="hello", data={"text": "hello"})) as here:
        with pytest.raises(openai.BadRequestError, match="tells no times"):
            await _heard(here, response_format="srt")
        assert (await _heard(here, response_format="verbose_json")).segments == []


async def test_transcriptions_that_cannot_be_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for more, param in (
            ({"stream": True}, "stream"),
            ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
            ({"include": ["logprobs"]}, "include"),
            ({"response_format": "diarized_json"}, "response_format"),
        ):
            with pytest.raises(openai.BadRequestError) as raised:
                await _heard(here, **more)
            assert raised.value.param == param
        answer = await here.http.post("/v1/audio/transcriptions", files={"other": b"x"}, data={"model": "x"})
        assert answer.json()["error"]["param"] == "file"


async def test_recordings_are_translated(tmp_path: Path) -> None:
    async with world(tmp_path) as here:

        async def translated(**more: Any) -> httpx2.Response:
            form = {"model": "whisper-1", **more}
            return await here.http.post("/v1/audio/translations", files={"file": ("a.wav", WAV)}, data=form)

        assert (await translated()).json()["text"].startswith("english: ")
        assert here.asked("english") == [{"text": "<GENERATED>-0", "target_language": "English"}]
        refused = await translated(response_format="srt")
        assert "no times" in refused.json()["error"]["message"]
        here.stage.cluster.script = lambda called: wrapped(InputError("too quiet"))
        assert (await translated()).json()["error"]["message"] == "too quiet"


# Vectors ---------------------------------------------------------------------------------------------------


async def test_texts_become_vectors_in_their_order(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        plain = await here.client.embeddings.create(
            model="text-embedding-3-small", input="four", encoding_format="float"
        )
        usual = await here.client.embeddings.create(model="test/vectors", input=["a", "bb", "ccc"])
    assert plain.data[0].embedding == [4.0, 0.25, -1.5]
    assert [item.embedding for item in usual.data] == [[n, 0.25, -1.5] for n in (1.0, 2.0, 3.0)]
    assert [item.index for item in usual.data] == [0, 1, 2]
    assert usual.model == "test/vectors"
    assert usual.usage.total_tokens > 0


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": [1, 2, 3]}, "input"), ({"input": [[1, 2]]}, "input"), ({"input": ["a", " "]}, "input"),
        ({"input": []}, None), ({"dimensions": 2}, "dimensions"), ({"model": "test/draw"}, "model"),
    ],
)  # fmt: skip
async def test_vectors_that_cannot_be_are_refused(tmp_path: Path, more: Any, param: str) -> None:
    wanted: Any = {"model": "hugginggpt", "input": "text"} | more
    async with world(tmp_path) as here:
        with pytest.raises(openai.BadRequestError) as raised:
            await here.client.embeddings.create(**wanted)
    assert param is None or raised.value.param == param


async def test_words_that_look_like_references_stay_words(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        told = await here.client.embeddings.create(model="hugginggpt", input="<GENERATED>-0")
    assert told.data


# Files -----------------------------------------------------------------------------------------------------


async def test_files_are_kept_listed_given_back_and_deleted(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        files = [
            await here.client.files.create(file=(f"{n}.png", PNG), purpose="user_data") for n in range(3)
        ]
        one = await here.client.files.retrieve(files[1].id)
        assert (one.id, one.bytes, one.purpose) == (files[1].id, len(PNG), "user_data")
        assert (one.model_extra or {})["url"].startswith(BASE)
        content = await here.client.files.content(one.id)
        assert content.content == PNG
        found = [file.id async for file in here.client.files.list(limit=2)]
        assert sorted(found) == sorted(file.id for file in files)
        first = await here.client.files.list(limit=1, order="asc")
        assert first.has_next_page()
        assert (await here.client.files.list(purpose="batch")).data == []
        assert (await here.client.files.delete(one.id)).deleted
        for unknown in (one.id, "file-none", "none"):
            for ask in (here.client.files.retrieve, here.client.files.content, here.client.files.delete):
                with pytest.raises(openai.NotFoundError):
                    await ask(unknown)
        with pytest.raises(openai.BadRequestError) as raised:
            await here.client.files.list(limit=0)
        assert raised.value.param == "limit"
