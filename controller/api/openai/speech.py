"""``/v1/audio/speech``: a text read aloud."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from controller.api.body import backend
from controller.api.media import attended, call, lent, read
from controller.api.openai import models, sse
from controller.api.openai.parts import Words
from controller.api.openai.schema import PLANNER, Body, Name
from controller.api.openai.sound import MEDIA_TYPES, Format, convert
from controller.errors import TaskError
from controller.outcome import Outcome

VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer"}
    | {"verse"}
)
"""OpenAI's voices: an expert that has no voice of that name reads in its usual one."""

_PIECE = 64 << 10  # bytes of sound in one event of a stream


class SpeechBody(Body):
    """A text, and how it is to be read; ``instructions`` are passed over."""

    model: Name = PLANNER
    input: Annotated[Words, Field(min_length=1)]
    voice: str | dict[str, Any] = "alloy"
    response_format: Format = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4.0)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"


async def create(request: Request, body: SpeechBody) -> Response:
    """Read a text aloud; the answer is the sound file itself, or with ``stream_format: sse`` its events."""
    outcome, data = await attended(request, _spoken(request, body))
    made = {"x-hugginggpt-model": outcome.choice.model if outcome.choice else ""}
    if body.stream_format == "sse":
        return sse.response(_events(data))
    return Response(data, media_type=MEDIA_TYPES[body.response_format], headers=made)


async def _spoken(request: Request, body: SpeechBody) -> tuple[Outcome, bytes]:
    task, model = models.serving(backend(request), body.model, "text-to-speech", "text-to-audio")
    async with aloud(request, task, body.input, body.voice, model) as outcome:
        return outcome, await sound(request, outcome, body.response_format, body.speed)


@asynccontextmanager
async def aloud(
    request: Request, task: str, text: str, voice: str | dict[str, Any], model: str | None
) -> AsyncIterator[Outcome]:
    """The outcome of a text read aloud, whose file is removed at the end: its client is never told of it.

    Raises:
        TaskError: the expert failed, or has no such voice.

    """
    async with lent(backend(request)) as made:
        outcome = await _said(request, task, text, voice, model)
        made.note(outcome)
        yield outcome


async def _said(
    request: Request, task: str, text: str, voice: str | dict[str, Any], model: str | None
) -> Outcome:
    """The outcome of a text read aloud, in a voice by its name.

    Raises:
        TaskError: the expert failed, or has no such voice.

    """
    name = voice if isinstance(voice, str) else str(voice.get("id", ""))
    args = {"text": text}
    if name and task == "text-to-speech":
        try:
            return await call(backend(request), task, {**args, "voice": name}, model=model)
        except TaskError as error:
            if name not in VOICES or error.code != "invalid_input":
                raise
    return await call(backend(request), task, args, model=model)


async def sound(request: Request, outcome: Outcome, form: Format, speed: float = 1.0) -> bytes:
    """What an outcome says, in a format."""
    data, kind = await read(backend(request), outcome.artifacts[0].path)
    return await asyncio.to_thread(convert, data, kind, form, speed)


async def _events(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PIECE):
        audio = base64.b64encode(data[start : start + _PIECE]).decode()
        yield sse.event(json.dumps({"type": "speech.audio.delta", "audio": audio}))
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    yield sse.event(json.dumps({"type": "speech.audio.done", "usage": usage}))
