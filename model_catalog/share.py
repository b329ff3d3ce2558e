"""How much memory a model needs, line by line, and what share of a GPU that is.

An estimate has five lines: weights, what a model call holds besides (activations), the keys and values of
texts that are being written (cache), CUDA's own (context), and a margin. What repositories tell (``Facts``)
makes it exact where it can be; a card alone gives a rough one. What a replica measured replaces both.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from model_catalog import guess
from model_catalog.card import ModelCard
from model_catalog.errors import UnsizedError
from model_catalog.gpus import gpu_bytes

__all__ = ["Account", "Facts", "Measured", "account", "fraction", "fraction_of", "gpu_bytes", "ram"]

CONTEXT_BYTES = 512 << 20
"""What CUDA's context and libraries take of a GPU before the first tensor, unseen by torch's allocator."""

PROCESS_BYTES = 700 << 20
"""What Python, Ray, torch and transformers take of a node's RAM before the first weight."""

MARGIN = 0.1
"""What is left free beyond weights, activations and cache: allocators hold more than tensors take."""

LEAST_MARGIN = 64 << 20
"""The least margin: an allocator takes 2 to 20 MiB at a time, cuBLAS holds a workspace."""

BALANCE = 0.9
"""How much of several GPUs a model can fill: its layers are never split quite evenly."""

_STORED = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
}  # fmt: skip
_FLOATS = ("F64", "F32", "F16", "BF16")
"""Types that are turned into the one a model is loaded in; others, of quantized models, stay as they are."""

_WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}


class Facts(BaseModel):
    """What a model's repositories tell of its memory.

    Attributes:
        weights: how many numbers of each type (``F32``, ``BF16``) the networks that are loaded have, those
            of the card's parts among them.
        whole: how many of them stay in full precision on a GPU, whatever the card says.
        activations: the most bytes that a model call holds besides weights, at the largest batch and in the
            type that the model has on a GPU; None where nobody has found out.
        cache: bytes of keys and values of one token of one text, in that type.
        tokens: of the longest text that has a place in the cache.
        source: where the weights were read, in words.
        traced: how the activations were found, in words.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: dict[str, NonNegativeInt] = {}
    whole: NonNegativeInt = 0
    activations: NonNegativeInt | None = None
    cache: NonNegativeInt = 0
    tokens: NonNegativeInt = 0
    source: str = "safetensors headers"
    traced: str = ""


class Measured(BaseModel):
    """What a replica measured of itself on a GPU; valid for as long as its card is the same.

    Attributes:
        model: the model's id.
        revision: of its weights.
        batch_size: of its largest model call.
        loaded: the most bytes that torch's allocator had held when its warm-up ended.
        peak: the most that it has held since.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None = None
    batch_size: int = 1
    loaded: NonNegativeInt
    peak: NonNegativeInt = 0

    def fits(self, card: ModelCard) -> bool:
        """Whether it was measured with this model, revision and batch."""
        return (self.model, self.revision, self.batch_size) == (card.id, card.revision, card.batch_size)

    def joined(self, other: "Measured | None") -> "Measured":
        """The larger of two measurements of one card, line by line."""
        if other is None:
            return self
        larger = {"loaded": max(self.loaded, other.loaded), "peak": max(self.peak, other.peak)}
        return self.model_copy(update=larger)


@dataclass(frozen=True, slots=True)
class Account:
    """The memory that a model needs, in bytes, line by line.

    Attributes:
        weights: its numbers in the type that they are loaded in, parts included.
        activations: what a model call holds besides, at the card's largest batch.
        cache: keys and values of the texts that are being written.
        context: CUDA's own; on the CPU the process's own.
        margin: what is left free.
        source: where the figures come from, in words.

    """

    weights: int
    activations: int
    cache: int
    context: int
    margin: int
    source: str

    @property
    def total(self) -> int:
        """All lines."""
        return self.weights + self.activations + self.cache + self.context + self.margin


def account(card: ModelCard, facts: Facts | None = None, measured: Measured | int | None = None) -> Account:
    """What a model needs of a GPU's memory.

    Args:
        card: the model's card.
        facts: what its repositories tell; None for the card alone.
        measured: what a replica of it measured (an int: the peak after its warm-up, in bytes). It replaces
            weights and activations; the cache stays, for a warm-up writes only a few words.

    Raises:
        UnsizedError: nothing tells how large the model is.

    """
    width = _WIDTHS[card.dtype or "float16"]
    if measured is not None:
        return _measured(card, facts, measured, width)
    weights, source = _weights(card, facts, width)
    activations, cache, told = _work(card, facts, width)
    margin = _margin(weights + activations + cache)
    return Account(weights, activations, cache, CONTEXT_BYTES, margin, f"{source}; {told}")


def ram(card: ModelCard, facts: Facts | None = None) -> int:
    """Bytes of a node's RAM that a replica on the CPU needs, its process included.

    Raises:
        UnsizedError: nothing tells how large the model is.

    """
    weights, _ = _weights(card, facts, 4)
    activations, cache, _ = _work(card, facts, _WIDTHS[card.dtype or "float16"])
    wider = 4 // _WIDTHS[card.dtype or "float16"]
    need = weights + wider * (activations + cache)
    return need + PROCESS_BYTES + _margin(need)


def fraction(need: int, gpu: int) -> float:
    """The share of GPUs with ``gpu`` bytes each that holds ``need`` bytes.

    Up to one GPU it is rounded up to hundredths; beyond, it is a whole number of GPUs, each of which has a
    context of its own.

    Raises:
        UnsizedError: the GPU has no room for CUDA itself.

    """
    if need <= gpu:
        return math.ceil(100 * need / gpu) / 100
    room = (gpu - CONTEXT_BYTES) * BALANCE
    if room <= 0:
        raise UnsizedError(f"A GPU of {gpu / 2**30:.1f} GiB has no room for CUDA itself; name another.")
    return float(max(2, math.ceil((need - CONTEXT_BYTES) / room)))


def fraction_of(
    card: ModelCard, gpu: int, measured: Measured | int | None = None, facts: Facts | None = None
) -> float:
    """The share of GPUs with ``gpu`` bytes each that a card's replica holds.

    What the card itself says comes first; a model that is run without a GPU holds none.

    Raises:
        UnsizedError: nothing tells how large the model is.

    """
    if card.gpu is not None:
        return card.gpu
    if not sized(card):
        return 0.0
    return fraction(account(card, facts, measured).total, gpu)


def sized(card: ModelCard) -> bool:
    """Whether a card's model takes a GPU where there is one, so that it needs a share."""
    return not card.embedded and card.gpu is None and card.library not in guess.WITHOUT_GPU


def _measured(card: ModelCard, facts: Facts | None, found: Measured | int, width: int) -> Account:
    loaded = found if isinstance(found, int) else found.loaded
    peak = 0 if isinstance(found, int) else found.peak
    try:
        weights = min(_weights(card, facts, width)[0], loaded)
        _, cache, _ = _work(card, facts, width)
    except UnsizedError:
        weights, cache = loaded, 0
    taken = max(loaded + cache, peak)
    # A peak beyond what warm-up and cache explain was a call of more than the usual size.
    activations = max(loaded - weights, peak - weights - cache)
    return Account(weights, activations, cache, CONTEXT_BYTES, _margin(taken), "measured by a replica")


def _weights(card: ModelCard, facts: Facts | None, width: int) -> tuple[int, str]:
    """Bytes of all weights where floats are ``width`` bytes wide, and who says so."""
    if facts is not None and facts.weights:
        return _stored(facts.weights, width) + facts.whole * max(0, 4 - width), facts.source
    also = ", its parts not counted" if card.parts else ""
    if card.weights:
        return _stored(card.weights, width), f"the Hub's count of weights by type{also}"
    if card.params is not None:
        return card.params * width, f"the card's count of parameters{also}"
    if card.repo_bytes is not None:
        return card.repo_bytes, f"the size of its repository, which may hold more than is loaded{also}"
    raise UnsizedError(
        f"Nothing tells how large {card.id} is; give its card params (how many weights it has) or gpu."
    )


def _stored(weights: Mapping[str, int], width: int) -> int:
    return sum(
        count * (width if kind in _FLOATS else _STORED.get(kind, 1)) for kind, count in weights.items()
    )


def _work(card: ModelCard, facts: Facts | None, width: int) -> tuple[int, int, str]:
    """Bytes of activations and cache at the largest batch, and how they were found."""
    params = guess.params(card, facts.weights if facts is not None else None)
    if facts is not None and facts.activations is not None:
        return facts.activations, card.batch_size * facts.cache * facts.tokens, facts.traced
    told = facts.traced if facts is not None else ""
    return *guess.work(card, params, width), told or "activations guessed from task and size"


def _margin(need: int) -> int:
    return max(LEAST_MARGIN, math.ceil(need * MARGIN))


Line = Literal["weights", "activations", "cache", "context", "margin"]

LINES: Mapping[Line, str] = {
    "weights": "weights",
    "activations": "activations at the largest batch",
    "cache": "keys and values of texts",
    "context": "CUDA's context",
    "margin": "margin",
}
"""The lines of an account, and what they are called."""
