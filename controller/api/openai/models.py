"""``/v1/models``: the planner and every expert that runs; which of them a request names."""

import re
from typing import TYPE_CHECKING, Literal

from fastapi import Request

from controller.api.body import backend
from controller.api.openai.schema import PLANNER, Told
from controller.errors import ModelNotFoundError, RequestError
from model_catalog.card import ModelCard
from model_catalog.errors import UnknownModelError
from model_catalog.tasks import TASKS, Modality

if TYPE_CHECKING:
    from controller.api.app import Backend

_OPENAIS = re.compile(
    r"(gpt|chatgpt|tts|whisper|dall-e|text-embedding|text-davinci|davinci|babbage|codex|computer-use)[-.\w:]*"
    r"|o[1-9][-.\w:]*"
)
"""OpenAI's own names, which clients hold fast: they stand for the planner."""

_DOORS = {
    "text-to-image": "/v1/images/generations",
    "image-to-image": "/v1/images/edits",
    "inpainting": "/v1/images/edits",
    "text-to-speech": "/v1/audio/speech",
    "automatic-speech-recognition": "/v1/audio/transcriptions",
    "feature-extraction": "/v1/embeddings",
}
"""The endpoint of a task, where OpenAI's dialect has one of its own."""


class Model(Told):
    """A model that can be named; ``tasks`` are those of its card, none for the planner."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str
    tasks: tuple[str, ...] = ()


class ModelList(Told):
    """Every model that can be named, the planner first."""

    object: Literal["list"] = "list"
    data: list[Model]


async def listed(request: Request) -> ModelList:
    """The planner, and every expert that runs, by rank; ``created`` is 0, since nobody knows it."""
    selector = backend(request).controller.selector
    cards = [card for card in selector.catalog if card.id in selector.fleet.running]
    return ModelList(data=[_planner(), *map(_model, sorted(cards, key=lambda card: card.rank))])


async def one(request: Request, model: str) -> Model:
    """One model; an error where it does not run here."""
    card = expert(backend(request), model)
    return _planner() if card is None else _model(card)


def _planner() -> Model:
    return Model(id=PLANNER, owned_by=PLANNER)


def _model(card: ModelCard) -> Model:
    return Model(id=card.id, owned_by=card.id.partition("/")[0], tasks=card.tasks)


def expert(backend: "Backend", model: str) -> ModelCard | None:
    """The card of the expert that a request names; None for the planner.

    Raises:
        ModelNotFoundError: there is no such model, or it does not run here.

    """
    if model == PLANNER or _OPENAIS.fullmatch(model):
        return None
    selector = backend.controller.selector
    try:
        card = selector.catalog.get(model)
    except UnknownModelError:
        raise ModelNotFoundError(
            f"There is no model {model!r} here; name {PLANNER}, or one that GET /v1/models lists.", "model"
        ) from None
    if card.id not in selector.fleet.running:
        raise ModelNotFoundError(
            f"{card.id} does not run here: {selector.fleet.obstacle(card)}. Name a model that GET /v1/models "
            f"lists, or deploy it (hugginggpt deploy --expert {card.id}).",
            "model",
        )
    return card


def serving(backend: "Backend", model: str, *tasks: str) -> tuple[str, str | None]:
    """The task, of those an endpoint is for, that the named model does, and its id; None for the planner.

    Raises:
        ModelNotFoundError: there is no such model, or it does not run here.
        RequestError: it does none of the tasks; the message names the endpoint that fits.

    """
    card = expert(backend, model)
    if card is None:
        return tasks[0], None
    task = next((task for task in tasks if task in card.tasks), None)
    if task is None:
        raise misplaced(card, " or ".join(tasks))
    return task, card.id


def misplaced(card: ModelCard, wanted: str) -> RequestError:
    """What is said of an expert at an endpoint that is not for it."""
    told = ", ".join(f"{task} ({door(task)})" for task in card.tasks)
    return RequestError(f"{card.id} does no {wanted} here; what it does: {told}.", "model")


def door(task: str) -> str:
    """The endpoint of a task."""
    if task in _DOORS:
        return _DOORS[task]
    if TASKS[task].outputs[0] is Modality.TEXT:
        return "/v1/chat/completions"
    return f"/pipeline/{task}"
