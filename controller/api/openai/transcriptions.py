"""``/v1/audio/transcriptions`` and ``/translations``: what is said in a recording."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import PlainTextResponse, Response

from controller.api.body import backend
from controller.api.media import attended, call, lent, task_error
from controller.api.openai import models
from controller.api.openai.forms import File, form, only
from controller.api.openai.schema import PLANNER, Body, Name, Told
from controller.errors import RequestError
from controller.events import RunDone
from controller.outcome import Outcome, Status
from controller.request import Request as Conversation
from deployments.decode import seconds
from deployments.media import File as Stored
from deployments.media import media_type

_TASK = "automatic-speech-recognition"


class HearingBody(Body):
    """How a recording is to be written down; ``prompt`` and ``temperature`` are passed over."""

    model: Name = PLANNER
    language: Annotated[str, Field(max_length=40)] | None = None
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    timestamp_granularities: tuple[Literal["word", "segment"], ...] = ()
    include: tuple[str, ...] = ()
    stream: bool = False


class Segment(Told):
    """A phrase with its times in seconds; what no model here tells is 0 or empty."""

    id: int
    start: float
    end: float
    text: str
    seek: int = 0
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0


class Transcription(Told):
    """The words."""

    text: str


class VerboseTranscription(Transcription):
    """The words with their language, the recording's length in seconds, and its phrases."""

    task: Literal["transcribe", "translate"] = "transcribe"
    language: str
    duration: float
    segments: list[Segment]


async def transcribe(request: Request) -> Response:
    """Write down what is said, in the language that is spoken."""
    body, files = await form(request, HearingBody, "timestamp_granularities", "include")
    check(body)
    sent = only(files, "file")
    here = backend(request)
    _, model = models.serving(here, body.model, _TASK)
    async with lent(here) as kept:
        args = {"audio": await kept.keep(sent.data)}  # pages name WebM .wav: its bytes decide
        if body.language:
            args["language"] = body.language
        outcome = await attended(request, call(here, _TASK, args, model=model))
    return await _written(body, sent, outcome.text or "", outcome.data)


async def translate(request: Request) -> Response:
    """Write down in English what is said in another language: one model hears, another translates."""
    body, files = await form(request, HearingBody, "timestamp_granularities", "include")
    check(body)
    if body.response_format not in ("json", "text"):
        raise RequestError(
            "A translation has no times here; ask for json or text, or for a transcription.",
            "response_format",
        )
    sent = only(files, "file")
    here = backend(request)
    _, model = models.serving(here, body.model, _TASK)
    async with lent(here) as kept:
        path = await kept.keep(sent.data)
        outcome = await attended(request, _translated(request, path, model))
    return await _written(body, sent, outcome.text or "", None)


async def _translated(request: Request, path: str, model: str | None) -> Outcome:
    """The translation of a recording's words, which go from expert to expert.

    Raises:
        TaskError: one of the two steps failed.

    """
    hear: dict[str, Any] = {"task": _TASK, "id": 0, "args": {"audio": path}}
    if model is not None:
        hear["model"] = model
    turn = {"task": "translation", "id": 1, "args": {"text": "<GENERATED>-0", "target_language": "English"}}
    asked = Conversation(plan=(hear, turn))
    outcomes: Sequence[Outcome] = ()
    async with aclosing(backend(request).controller.run(asked)) as events:
        async for event in events:
            if isinstance(event, RunDone):
                outcomes = event.outcomes
    for outcome in outcomes:
        if outcome.status is not Status.DONE:
            raise task_error(outcome)
    return outcomes[-1]


def check(body: HearingBody) -> None:
    """Refuse what no transcription here can be.

    Raises:
        RequestError: a field asks for it.

    """
    if body.stream:
        raise RequestError("Transcriptions are not streamed here; leave stream out.", "stream")
    if body.include:
        raise RequestError("Probabilities of tokens are not known here; leave include out.", "include")
    if "word" in body.timestamp_granularities:
        raise RequestError(
            "Times are known of phrases, not of words; ask for the granularity segment.",
            "timestamp_granularities",
        )


async def _written(body: HearingBody, sent: File, text: str, data: Any) -> Response:
    if body.response_format == "text":
        return PlainTextResponse(f"{text}\n")
    if body.response_format == "json":
        return _json(Transcription(text=text))
    found = data if isinstance(data, dict) else {}
    segments = _segments(found.get("chunks") or [])
    if body.response_format == "verbose_json":
        length = await asyncio.to_thread(_length, sent.data, segments)
        language = str(found.get("language") or body.language or "unknown")
        return _json(VerboseTranscription(text=text, language=language, duration=length, segments=segments))
    if text and not segments:
        raise RequestError(
            "The model that heard this tells no times; ask for json or text, or name another model.",
            "response_format",
        )
    return PlainTextResponse(_SUBTITLES[body.response_format](segments))


def _json(told: Told) -> Response:
    return Response(told.model_dump_json(), media_type="application/json")


def _segments(chunks: Sequence[Mapping[str, Any]]) -> list[Segment]:
    """The phrases that a runner told: each with its text, and its begin and end in seconds."""
    found: list[Segment] = []
    for chunk in chunks:
        start, end = chunk.get("start"), chunk.get("end")
        if start is not None and end is not None:
            found.append(Segment(id=len(found), start=start, end=end, text=str(chunk.get("text", ""))))
    return found


def _length(data: bytes, segments: Sequence[Segment]) -> float:
    """The length of a recording in seconds: what its header tells, else where its last phrase ends."""
    told = seconds(Stored(data, media_type(data)))
    return round(told if told is not None else max((part.end for part in segments), default=0.0), 3)


def _srt(segments: Sequence[Segment]) -> str:
    return "\n".join(
        f"{part.id + 1}\n{_time(part.start, ',')} --> {_time(part.end, ',')}\n{part.text}\n"
        for part in segments
    )


def _vtt(segments: Sequence[Segment]) -> str:
    cues = [f"{_time(part.start, '.')} --> {_time(part.end, '.')}\n{part.text}\n" for part in segments]
    return "\n".join(["WEBVTT\n", *cues])


_SUBTITLES = {"srt": _srt, "vtt": _vtt}


def _time(seconds: float, mark: str) -> str:
    """A time as subtitles write it."""
    total = round(seconds * 1000)
    return f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:{total // 1000 % 60:02}{mark}{total % 1000:03}"
