"""What the Hub tells, written onto cards: figures with their dates, and what else may change there."""

import re
from collections.abc import Mapping

from model_catalog.card import Figure, ModelCard
from model_catalog.hub import Told
from model_catalog.tasks import TASKS

SOURCE = "hub"
"""The source of figures that a sync read."""

KEPT = 12
"""Figures of earlier months that a card keeps."""

TOLD = (
    "downloads",
    "history",
    "downloads_all",
    "likes",
    "license",
    "gated",
    "params",
    "weights",
    "repo_bytes",
    "safetensors",
    "providers",
    "gone",
    "revision",
)
"""The fields of a card that the Hub knows best; the rest of a shipped card is its makers' work."""

BATCHES: Mapping[str, int] = {
    "text": 32,
    "embedding": 32,
    "tabular": 32,
    "question-answering": 16,
    "seq2seq": 8,
    "text-generation": 8,
    "vision": 8,
    "captioning": 8,
    "visual-question-answering": 8,
    "document-question-answering": 4,
    "vision-language": 4,
    "audio": 8,
    "control": 4,
}
"""The most inputs of one model call, by family of runner; 1 for what fills a GPU with one."""

CHAT_TASKS = ("text-generation", "conversational", "text2text-generation")
"""What a text generator serves that takes instructions."""

LISTED = tuple(
    name
    for name in TASKS
    if not name.endswith(("-control", "-text-to-image")) and name not in ("conversational", "inpainting")
)
"""Task types under which the Hub files models."""

_UNFIT = frozenset(
    (
        "custom_code",  # which is never run
        "4-bit", "8-bit", "gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors", "quark", "auto-round",
        "aqlm", "exl2", "exl3", "modelopt", "mlx", "gguf", "ggml", "openvino", "coreml", "executorch",
        "controlnet", "lora", "adapter", "peft", "t2i-adapter",  # parts of other models
    )
)  # fmt: skip
"""Tags of repositories that no runner loads: code of their own, packed numbers, parts of models."""

_READS = ("ocr", "trocr", "handwriting")
_DESCRIBES = ("image-captioning", "captioning", "image-caption")


def refreshed(card: ModelCard, told: Told, day: str, move: bool = False) -> ModelCard:
    """The card with what the Hub tells today; what it does not tell stays.

    Args:
        card: the card as it is.
        told: what the Hub tells.
        day: today, as ``2026-11-22``.
        move: whether its revision becomes the newest commit; a branch or tag that somebody chose stays.

    """
    downloads, history = _downloads(card, told, day)
    license_ = _license(told)
    changed = {
        "downloads": downloads,
        "history": history,
        "downloads_all": _figure(told.downloads_all or None, day) or card.downloads_all,
        "likes": card.likes if told.likes is None else _figure(told.likes, day),
        "license": card.license if license_ in (None, "other", "unknown") and card.license else license_,
        "gated": bool(told.gated),
        "params": sum(told.weights.values()) or card.params,
        "weights": dict(sorted(told.weights.items())) or card.weights,
        "repo_bytes": told.storage or card.repo_bytes,
        "safetensors": bool(told.weights) or "safetensors" in told.tags if told.tags else card.safetensors,
        "providers": told.providers,
        "gone": None,
        "revision": told.commit if move and told.commit and movable(card.revision) else card.revision,
    }
    return card.model_copy(update=changed)


def movable(revision: str | None) -> bool:
    """Whether a revision is a commit, or none, and no branch or tag."""
    return revision is None or re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def lost(card: ModelCard, day: str) -> ModelCard:
    """The card of a model that the Hub has no longer."""
    return card if card.gone else card.model_copy(update={"gone": day, "providers": ()})


def found(told: Told, day: str, tasks: tuple[str, ...] = ()) -> ModelCard:
    """A card for a model that the catalog does not have, at the commit that it has today.

    Args:
        told: what the Hub tells of it.
        day: today, as ``2026-11-22``.
        tasks: the task types it serves; those that it is filed under by default.

    Raises:
        ValueError: its name is none of today's Hub, or it is filed under no task of the registry.

    """
    served = tasks or tasks_of(told)
    if not served:
        raise ValueError(f"the Hub files it under {told.task or 'no task'}")
    first = TASKS[served[0]]
    size = count(sum(told.weights.values()))
    bare = ModelCard(
        id=told.id,
        tasks=served,
        yields=_yields(told) if "image-to-text" in served else None,
        description=f"{first.description.removesuffix('.')}{f' ({size} parameters)' if size else ''}.",
        library=told.library,
        source="listed by the Hub",
        batch_size=BATCHES.get(first.family, 1),
    )
    return refreshed(bare, told, day, move=True)


def tasks_of(told: Told) -> tuple[str, ...]:
    """The registry's tasks behind the one that a model is filed under, in the registry's order."""
    if told.task == "text-generation" and "conversational" in told.tags:
        served: tuple[str, ...] = CHAT_TASKS
    elif told.task == "depth-estimation":
        served = (told.task, "depth-control", "normal-control")
    else:
        served = (told.task,) if told.task else ()
    return tuple(name for name in TASKS if name in served)


def unfit(told: Told) -> str | None:
    """Why a listed model is not worth a closer look; None where it is."""
    if told.disabled:
        return "the Hub has disabled it"
    marked = sorted(_UNFIT.intersection(tag.lower() for tag in told.tags))
    return f"it is tagged {marked[0]}" if marked else None


def _downloads(card: ModelCard, told: Told, day: str) -> tuple[Figure | None, tuple[Figure, ...]]:
    """The newest figure, and those of earlier months, the newest of each.

    The Hub counts requests of certain files only: a first figure of 0 tells nothing of a model's use.
    """
    if told.downloads is None or (told.downloads == 0 and card.downloads is None):
        return card.downloads, card.history
    former = (*card.history, *((card.downloads,) if card.downloads else ()))
    monthly = {figure.date[:7]: figure for figure in sorted(former, key=lambda figure: figure.date)}
    monthly.pop(day[:7], None)
    return _figure(told.downloads, day), tuple(monthly.values())[-KEPT:]


def _figure(value: int | None, day: str) -> Figure | None:
    return None if value is None else Figure(value=value, date=day, source=SOURCE)


def _license(told: Told) -> str | None:
    return next((tag.partition(":")[2] for tag in told.tags if tag.startswith("license:")), None)


def _yields(told: Told) -> str | None:
    tags = {tag.lower() for tag in told.tags}
    if tags.intersection(_READS) or "ocr" in told.id.lower():
        return "ocr"
    return "caption" if tags.intersection(_DESCRIBES) or "caption" in told.id.lower() else None


def count(number: int) -> str:
    """A number of parameters or downloads in words; nothing for 0."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return ""
