"""A stage on which models are built and called without weights, a GPU or a computation.

Tensors have shapes and types and no contents, so that a model of any size is built in a second, and a ledger
tells what its call would hold. What hangs on contents cannot be rehearsed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from deployments.sizing.ledger import Ledger


class Unrehearsed(Exception):  # noqa: N818 - a finding, not a failure
    """A model whose call cannot be rehearsed; why, in words."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a model call holds besides weights.

    Attributes:
        activations: the most bytes at once, the cache's aside.
        cache: bytes of keys and values of one token of one text.
        tokens: of the longest text with a place in the cache.
        numbers: how many numbers the model has as it is loaded, its buffers among them; 0 for unknown.

    """

    activations: int
    cache: int = 0
    tokens: int = 0
    numbers: int = 0


@contextmanager
def stage() -> Iterator[None]:
    """Where tensors have no contents; models made with ``built`` have their entrance here."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        yield


def built(make: Callable[[], Any], dtype: Any) -> Any:
    """A model without contents, of type ``dtype``; to be called before the stage is entered.

    It is made on torch's device ``meta``, which every model of transformers and diffusers can be made on.
    """
    from transformers.initialization import no_init_weights

    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"), no_init_weights():
            return make().eval()
    finally:
        torch.set_default_dtype(usual)


def entered(model: Any) -> Any:
    """The model with its tensors on the stage; those that its parts share are one again."""
    model.to_empty(device="cpu")
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    return model


def peak(model: Any, call: Callable[..., Any], given: Mapping[str, Any]) -> tuple[int, Any]:
    """The most bytes that a call holds besides the model's weights, and what it answers.

    Args:
        model: the model.
        call: what is called.
        given: what it is called with; such tensors count too, at whatever depth.

    """
    ledger = Ledger(tensors(model))
    with ledger.beside(one for one in tree_leaves(dict(given)) if isinstance(one, torch.Tensor)), ledger:
        answer = call(**given)
    return ledger.peak, answer


def tensors(model: Any) -> list[Any]:
    """A model's parameters and buffers."""
    return [*model.parameters(), *model.buffers()]


def numbers(model: Any) -> int:
    """How many numbers a model has; those that its parts share count once."""
    return sum({id(tensor): tensor.numel() for tensor in model.parameters()}.values())


def ones(*shape: int) -> Any:
    """Whole numbers, as of tokens."""
    return torch.ones(*shape, dtype=torch.long)


def floats(model: Any, *shape: int) -> Any:
    """Numbers with a point, of the model's type."""
    return torch.zeros(*shape, dtype=model.dtype)
