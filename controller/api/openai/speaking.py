"""Spoken answers of a chat: what its run made as sound, else its words read aloud."""

import base64
import re
import secrets

from fastapi import Request

from controller.api.openai import speech
from controller.api.openai.chat_schema import AudioOptions, ChatAudio
from controller.api.openai.schema import now
from controller.api.openai.sound import Format
from controller.events import RunDone
from model_catalog.tasks import Modality

_LINK = re.compile(
    r"!?\[([^\[\]\n]*)\]\([^()\n]*\)"
)  # no bracket within, so that no text costs more than its length
_EXPIRES_S = 3600
_FORMATS: dict[str, Format] = {"pcm16": "pcm"}


async def answer(request: Request, options: AudioOptions | None, text: str, done: RunDone) -> ChatAudio:
    """A spoken answer.

    Args:
        request: the HTTP request.
        options: voice and format.
        text: the answer in words.
        done: the end of its run.

    Raises:
        TaskError: no expert could read it aloud.

    """
    wanted = options or AudioOptions()
    form: Format = _FORMATS.get(wanted.format) or wanted.format  # type: ignore[assignment]
    spoken = [
        outcome
        for outcome in done.outcomes
        for artifact in outcome.artifacts[:1]
        if artifact.modality is Modality.AUDIO
    ]
    if spoken:
        data = await speech.sound(request, spoken[-1], form)
    else:
        plain = _LINK.sub(r"\1", text)
        async with speech.aloud(request, "text-to-speech", plain, wanted.voice, None) as outcome:
            data = await speech.sound(request, outcome, form)
    return ChatAudio(
        id=f"audio-{secrets.token_hex(12)}",
        data=base64.b64encode(data).decode(),
        expires_at=now() + _EXPIRES_S,
        transcript=text,
    )
