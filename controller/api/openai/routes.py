"""The table of OpenAI's routes, and the router made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from controller.api.files import SERVED
from controller.api.openai import (
    chat,
    embeddings,
    images,
    models,
    responses,
    speech,
    stored,
    transcriptions,
)
from controller.api.openai.chat_schema import ChatCompletion
from controller.api.openai.forms import described
from controller.api.openai.responses_schema import ResponseObject
from controller.api.openai.schema import ERRORS
from controller.api.openai.sound import MEDIA_TYPES

_STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
_PLAIN: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}}}
_SOUND: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sound.",
        "content": {kind: {} for kind in (*MEDIA_TYPES.values(), "text/event-stream")},
    }
}


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        method: of HTTP.
        path: under this server's address.
        endpoint: the function that answers.
        answer: the form of its answer, where the function itself gives a whole HTTP response.
        answers: what else its description says of answers.
        form: the description of its body, where that is a form.

    """

    method: str
    path: str
    endpoint: Callable[..., Any]
    answer: Any = None
    answers: Mapping[int | str, dict[str, Any]] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)


_EDIT = described(images.EditBody, "image", "mask")
_HEARD = described(transcriptions.HearingBody, "file")
_WORDS = transcriptions.Transcription | transcriptions.VerboseTranscription

ROUTES = (
    Route("GET", "/v1/models", models.listed),
    Route("GET", "/v1/models/{model:path}", models.one),
    Route("POST", "/v1/chat/completions", chat.create, ChatCompletion, _STREAMED),
    Route("POST", "/models/{owner}/{name}/v1/chat/completions", chat.create_of, ChatCompletion, _STREAMED),
    Route("POST", "/v1/responses", responses.create, ResponseObject, _STREAMED),
    Route("POST", "/v1/images/generations", images.generate),
    Route("POST", "/v1/images/edits", images.edit, form=_EDIT),
    Route("POST", "/v1/audio/speech", speech.create, answers=_SOUND),
    Route("POST", "/v1/audio/transcriptions", transcriptions.transcribe, _WORDS, _PLAIN, _HEARD),
    Route("POST", "/v1/audio/translations", transcriptions.translate, _WORDS, _PLAIN, _HEARD),
    Route("POST", "/v1/embeddings", embeddings.create),
    Route("GET", "/v1/files", stored.listed),
    Route("GET", "/v1/files/{file}", stored.one),
    Route("GET", "/v1/files/{file}/content", stored.content, answers=SERVED),
    Route("DELETE", "/v1/files/{file}", stored.delete),
)
"""Every endpoint of the dialect; uploads are in ``controller.api.files``."""


def table() -> APIRouter:
    """The router of all of them."""
    router = APIRouter(tags=["openai"])
    for route in ROUTES:
        bare = bool(route.answers) and route.answer is None
        router.add_api_route(
            route.path,
            route.endpoint,
            methods=[route.method],
            response_class=Response if bare else JSONResponse,
            responses={**ERRORS, **route.answers},
            openapi_extra=route.form or None,
            **({} if bare else {"response_model": route.answer} if route.answer else {}),
        )
    return router


router = table()
