"""A model's work in memory, guessed from its card alone: what it does, and how many weights it has.

Right to a factor of two at best. It serves until the model's configuration has been read, or a replica has
measured itself.
"""

import math
from collections.abc import Mapping

from model_catalog.card import ModelCard
from model_catalog.tasks import TASKS

WITHOUT_GPU = frozenset({"sklearn", "scikit-learn"})
"""Libraries whose models never use a GPU."""

TOKENS = 512
"""Tokens of a text that is read at once."""

WRITTEN_TOKENS = 4096
"""Tokens of a text that is being written, its prompt included, for which the cache has room. Models may take
far longer ones; such a call goes as far as the share's margin does."""

_WRITES = frozenset({"text-generation", "conversational", "image-text-to-text"})
_DENSE = frozenset(
    (
        "object-detection",
        "zero-shot-object-detection",
        "image-segmentation",
        "mask-generation",
        "depth-estimation",
        "image-to-image",
        *(name for name in TASKS if name.endswith("-control")),
    )
)

_MIB = 1 << 20
_LARGE = 1_500_000_000  # weights, from where models draw pictures of 1024 pixels instead of 512


def params(card: ModelCard, weights: Mapping[str, int] | None = None) -> int:
    """How many weights a model has, as far as anything tells; 0 where nothing does."""
    counted = sum((weights or card.weights).values())
    return counted or card.params or (card.repo_bytes or 0) // 4


def work(card: ModelCard, params: int, width: int) -> tuple[int, int]:
    """Bytes of activations at the largest batch, and of the keys and values of texts.

    Args:
        card: the model's card.
        params: how many weights it has.
        width: bytes of one number.

    """
    hidden = hidden_size(params)
    outputs = {output for task in card.tasks for output in TASKS[task].outputs}
    inputs = {
        argument.modality for task in card.tasks for argument in TASKS[task].arguments if argument.required
    }
    if card.library == "diffusers":
        return _drawn(card, params, "video" in outputs) * width // 2, 0
    each = TOKENS * 12 * hidden * width
    if _WRITES & set(card.tasks):
        layers = max(1, params // (12 * hidden * hidden))
        # Keys and values; most of today's models share theirs among four heads.
        cache = 2 * layers * hidden // 4 * width * WRITTEN_TOKENS
        return card.batch_size * each, card.batch_size * cache
    if _DENSE & set(card.tasks):
        each = 128 * _MIB * width
    elif inputs & {"audio", "video"}:
        each = max(each, 64 * _MIB * width)
    elif "image" in inputs:
        each = max(each, 8 * _MIB * width)
    return card.batch_size * each, 0


def hidden_size(params: int) -> int:
    """The width of a transformer with so many weights: they are 12 · width² a layer, of about width/80."""
    return max(64, int(math.cbrt(params * 80 / 12)))


def _drawn(card: ModelCard, params: int, film: bool) -> int:
    """Bytes at half precision that drawing holds: the denoiser's for a batch, or the decoder's for one."""
    if film:
        return 6 << 30
    if set(card.tasks) == {"text-to-audio"}:
        return 2 << 30
    sides = [card.defaults.get(name, "") for name in ("width", "height")]
    own = int(sides[0]) * int(sides[1]) if all(side.isdecimal() for side in sides) else None
    pixels = own or (1024 * 1024 if params >= _LARGE else 512 * 512)
    denoiser = card.batch_size * 288 * pixels  # with guidance each picture is denoised twice
    decoder = 1536 * pixels  # six of 128 channels; pictures are decoded one by one
    return max(denoiser, decoder)
