"""Cards of models that are to be served elsewhere."""

from deployments.runners.remote_tasks import METHODS
from model_catalog.card import ModelCard

REMOTE = "remote"
"""Name of the runner that asks models elsewhere."""

LLM = "llm"
"""Name of the runner that asks an LLM behind an endpoint."""

AT_ONCE = 8
"""How many calls wait for a model elsewhere at the same time."""


def runs_elsewhere(card: ModelCard) -> bool:
    """Whether calls to a model leave this cluster."""
    return card.runner == REMOTE


def asks_llm(card: ModelCard) -> bool:
    """Whether a card is that of an LLM behind an endpoint, which may be anywhere, on this cluster too."""
    return card.runner == LLM


def movable(card: ModelCard) -> bool:
    """Whether a model may be served elsewhere.

    Embedded ones have no repository that it could know; a folder or a runner class of one's own is here; an
    LLM has an endpoint of its own.
    """
    return not card.embedded and not asks_llm(card) and card.path is None and ":" not in (card.runner or "")


def servable(card: ModelCard) -> bool:
    """Whether a service elsewhere runs a task of a model that may be served there."""
    return movable(card) and any(task in METHODS for task in card.tasks)


def elsewhere(card: ModelCard, endpoint: str | None = None) -> ModelCard:
    """The card of the same model served elsewhere: it takes nothing of this cluster but a connection.

    Of its tasks those remain that a service runs; if none is one, all do, and loading says so.

    Args:
        card: the model's card.
        endpoint: the service that has it under ``/models/ID``, where the card itself names none; None for
            Hugging Face's Inference Providers.

    """
    served = tuple(task for task in card.tasks if task in METHODS)
    defaults = dict(card.defaults)
    if endpoint is not None and not defaults.keys() & {"endpoint", "provider"}:
        defaults["endpoint"] = f"{endpoint.rstrip('/')}/models/{card.id}"
    return card.model_copy(
        update={
            "runner": REMOTE,
            "tasks": served or card.tasks,
            "defaults": defaults,
            "parts": {},
            "requires": (),
            "gpu": 0.0,
            "cpus": 0.0,
            "resources": {},
            "batch_size": AT_ONCE,
            "batch_wait_s": 0.0,
        }
    )
