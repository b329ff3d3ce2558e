"""The routes of the inference protocol: ``/models/…`` and ``/pipeline/…``, and what runs.

``/status/…`` and ``/running`` are those of HuggingGPT's model server, which its own server asks.
"""

import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from controller.api import media
from controller.api.body import backend
from controller.api.inference.asked import Asked, read
from controller.api.inference.job import Job
from controller.api.inference.tasks import METHODS, meant, named, other
from controller.errors import TaskError
from controller.failure import failure, patience, root, status
from deployments.media import File
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError
from model_catalog.tasks import TaskType

logger = logging.getLogger("ray.serve")


def mine(path: str) -> bool:
    """Whether errors under a path have this protocol's form, those of paths that are no routes among them."""
    return path.startswith(("/models/", "/pipeline/")) and not path.endswith("/v1/chat/completions")


class Fault(BaseModel):
    """What was wrong, in words; while a model may soon be there, in how many seconds."""

    error: str
    estimated_time: float | None = None


class _Route(APIRoute):
    """A route whose errors have the form of this protocol."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await inner(request)
            except Exception as error:
                if failure(error).code == "internal":
                    logger.exception("%s met an unexpected error", request.url.path)
                return _refused(error)

        return told


def _refused(error: Exception) -> Response:
    told = failure(error)
    cause = root(error)
    code = cause.status if isinstance(cause, HuggingGPTError) else status(told.code)
    headers = patience(error)
    body: dict[str, Any] = {"error": told.message}
    if headers and code == 503:
        body["estimated_time"] = float(headers["retry-after"])
    return JSONResponse(body, code, headers=headers)


_ERROR: dict[str, Any] = {"model": Fault, "description": "What was wrong, in words."}
router = APIRouter(tags=["inference"], route_class=_Route, responses={"default": _ERROR})

_ANY: dict[str, Any] = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"inputs": {}, "parameters": {"type": "object"}},
                }
            },
            "application/octet-stream": {"schema": _ANY},
            "image/*": {"schema": _ANY},
            "audio/*": {"schema": _ANY},
        },
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer: JSON, or the file that was made.",
        "content": {
            "application/json": {"schema": {}},
            **{kind: {"schema": _ANY} for kind in ("image/png", "audio/wav", "video/mp4")},
        },
    }
}


class Running(BaseModel):
    """That this server runs."""

    running: bool = True


class ModelStatus(BaseModel):
    """Whether a model can be called; one that is not loaded yet is, by its first call."""

    loaded: bool
    state: Literal["Loaded", "Loadable", "Unloadable"]


class ModelInfo(BaseModel):
    """What is known of a model."""

    model_id: str
    model_pipeline_tag: str
    tasks: tuple[str, ...]
    loaded: bool


@router.post("/models/{owner}/{name}", responses=_ANSWER, openapi_extra=_BODY, response_class=Response)
async def of_model(request: Request, owner: str, name: str) -> Response:
    """Ask a model; of one with several tasks, the first of its card that takes such inputs."""
    card = _card(request, owner, name)
    return await _answer(request, lambda asked: meant(card, asked), card.id)


@router.post(
    "/models/{owner}/{name}/pipeline/{task}",
    responses=_ANSWER,
    openapi_extra=_BODY,
    response_class=Response,
)
async def of_model_and_task(request: Request, owner: str, name: str, task: str) -> Response:
    """Ask a model for one of its tasks."""
    card, row = _card(request, owner, name), named(task)
    return await _answer(request, lambda asked: row, card.id)


@router.post("/pipeline/{task}", responses=_ANSWER, openapi_extra=_BODY, response_class=Response)
async def of_task(request: Request, task: str) -> Response:
    """Ask the first model of a task that can run; where it fails, the next one."""
    row = named(task)
    return await _answer(request, lambda asked: row)


@router.get("/models/{owner}/{name}/info", response_model=ModelInfo)
async def info(request: Request, owner: str, name: str) -> ModelInfo:
    """What is known of a model."""
    card = _card(request, owner, name)
    loaded = _status(request, card).loaded
    return ModelInfo(model_id=card.id, model_pipeline_tag=card.tasks[0], tasks=card.tasks, loaded=loaded)


@router.get("/models/{owner}/{name}/health", responses={503: _ERROR}, response_model=ModelStatus)
async def health(request: Request, owner: str, name: str) -> Response:
    """Whether a model can be called; 503 where not."""
    found = _status(request, _card(request, owner, name))
    if not found.loaded:
        return JSONResponse({"error": f"{owner}/{name} does not run here."}, 503)
    return JSONResponse(found.model_dump())


@router.get("/status/{owner}/{name}", response_model=ModelStatus)
async def model_status(request: Request, owner: str, name: str) -> ModelStatus:
    """Whether a model can be called."""
    return _status(request, _card(request, owner, name))


@router.get("/running", response_model=Running)
async def running() -> Running:
    """That this server runs."""
    return Running()


def _card(request: Request, owner: str, name: str) -> ModelCard:
    return backend(request).controller.selector.catalog.get(f"{owner}/{name}")


def _status(request: Request, card: ModelCard) -> ModelStatus:
    fleet = backend(request).controller.selector.fleet
    if card.id not in fleet.running:
        return ModelStatus(loaded=False, state="Unloadable")
    return ModelStatus(loaded=True, state="Loadable" if card.id in fleet.cold else "Loaded")


async def _answer(
    request: Request, choose: Callable[[Asked], TaskType], model: str | None = None
) -> Response:
    """Run the task; everything that was stored for it is removed again."""
    here = backend(request)
    async with media.lent(here) as files:
        asked = await read(request, files)
        row = choose(asked)
        job = Job(here, asked, row, model)
        answer = await media.attended(request, METHODS.get(row.name, other)(job))
    if isinstance(answer, File):
        return Response(answer.data, media_type=answer.media_type)
    return Response(_json(answer), media_type="application/json")


def _json(answer: Any) -> str:
    """An answer as JSON.

    Raises:
        TaskError: a number of it is none, which JSON has no word for.

    """
    try:
        return json.dumps(answer, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise TaskError(
            "The model gave numbers that are none (NaN or infinity); try another one.", "expert_failed", 502
        ) from None
