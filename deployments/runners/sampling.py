"""How models draw the words they write: greedily, by beams, or by chance."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from deployments.result import Input
from deployments.runners.neural import NeuralRunner

_MOST = 2**32 - 1  # the largest seed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a call asks; the model's own generation configuration decides the rest.

    Attributes:
        temperature: 0 for the likeliest word always; None for the model's own way.
        top_p: the share of the likeliest words that are drawn from; None for the model's own.
        seed: makes draws repeatable; None for others each time.

    """

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """For ``generate``."""
        if self.temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        named = {"temperature": self.temperature, "top_p": self.top_p}
        options = {name: value for name, value in named.items() if value is not None}
        return {"do_sample": True, **options} if options else {}


def sampling(runner: NeuralRunner, item: Input) -> Sampling:
    """What an input asks.

    Raises:
        InputError: a knob is no number, or out of range.

    """
    temperature = runner.knob(item, "temperature", -1, 0, 10) if runner.word(item, "temperature") else None
    top_p = runner.knob(item, "top_p", 1, 0.001, 1) if runner.word(item, "top_p") else None
    seed = runner.whole(item, "seed", 0, 0, _MOST) if runner.word(item, "seed") else None
    return Sampling(temperature, top_p, seed)


@contextmanager
def seeded(seed: int | None, device: str) -> Iterator[None]:
    """Draw repeatably: ``generate`` takes no generator, so that torch's own is set and put back."""
    import torch

    if seed is None:
        yield
        return
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def batches(items: Sequence[T], key: Callable[[T], Hashable], most: int) -> Iterator[list[int]]:
    """The places of items that may share a call: those of one key, at most ``most`` together."""
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(key(item), []).append(place)
    for group in groups.values():
        for start in range(0, len(group), most):
            yield group[start : start + most]
