"""What a model's repositories tell of its memory, found once and kept on this node."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from deployments import checkpoint, store
from model_catalog.card import ModelCard
from model_catalog.share import Facts

logger = logging.getLogger("ray.serve")

_MATTERS = (
    "id",
    "tasks",
    "yields",
    "library",
    "runner",
    "revision",
    "parts",
    "dtype",
    "defaults",
    "batch_size",
)
"""Fields of a card on which its facts hang."""


def facts(card: ModelCard, token: SecretStr | None = None) -> Facts:
    """How many weights a card's model has, and what its largest call holds.

    Of a model that is on this node its files are read, else the Hub is asked for headers and configuration:
    a few kilobytes. It takes a process of its own and some seconds; what was found for a pinned model is
    kept, and read at once the next time.

    Raises:
        ExpertError: the model cannot be asked about; what to do is in the message.

    """
    kept = _file(card) if card.path is None else None
    if kept is not None and (known := _read(kept, card)) is not None:
        return known
    request: dict[str, Any] = {"card": card.model_dump(mode="json"), "offline": checkpoint.offline()}
    answer = checkpoint.ask_hub(
        "deployments.sizing.finding", request, token, lambda line: logger.info("%s", line)
    )
    if kept is not None:
        store.write(kept, answer)
    return Facts.model_validate(answer["facts"])


def _file(card: ModelCard) -> Path:
    told = json.dumps(card.model_dump(mode="json", include=set(_MATTERS)), sort_keys=True)
    name = f"{card.id.replace('/', '--')}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"
    return store.root() / "facts" / name


def _read(path: Path, card: ModelCard) -> Facts | None:
    """What was found, if it is of the commit that would be loaded, or none is pinned yet."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pin = store.pinned(card.id, card.revision or "main")
        return Facts.model_validate(content["facts"]) if pin in (None, content["commit"]) else None
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
