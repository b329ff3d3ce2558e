"""How models draw the words they write: greedily, by beams, or by chance."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from deployments.result import Input
from deployments.runners.neural import NeuralRunner

_MOST_TOKENS = 1_000_000
_MOST = 2**32 - 1  # the largest seed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Writing:
    """How a text is written.

    Attributes:
        length: the most tokens.
        temperature: 0 takes the likeliest token each time; None leaves it to the model.
        top_p: the share of likely tokens that are drawn from; None leaves it to the model.
        seed: makes draws repeatable; None for others each time.

    """

    length: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None


def writing(runner: NeuralRunner, item: Input, length: int, most: int = _MOST_TOKENS) -> Writing:
    """What the call and the card ask for; ``length`` tokens where neither tells, and ``most`` at the most.

    Raises:
        InputError: a knob holds no such number.

    """
    temperature = runner.knob(item, "temperature", -1, 0, 10) if runner.word(item, "temperature") else None
    top_p = runner.knob(item, "top_p", 1, 0, 1) if runner.word(item, "top_p") else None
    seed = runner.whole(item, "seed", 0, 0, _MOST) if runner.word(item, "seed") else None
    return Writing(runner.whole(item, "max_new_tokens", min(length, most), 1, most), temperature, top_p, seed)


def drawn(writing: Writing, config: Any) -> bool:
    """Whether tokens are drawn at random, by the call or else by the model's generation configuration."""
    if writing.temperature is not None:
        return writing.temperature > 0
    return bool(config.do_sample) or writing.top_p is not None


def alike(writing: Writing, config: Any) -> Hashable:
    """What texts share that are written in one call of ``generate``."""
    if not drawn(writing, config):
        return writing.length, False
    if writing.seed is not None:
        return writing.length, True
    return writing.length, writing.temperature, writing.top_p


def options(several: Sequence[Writing], config: Any) -> dict[str, Any]:
    """Arguments of ``generate`` for texts that are ``alike``."""
    first = several[0]
    found: dict[str, Any] = {"max_new_tokens": first.length}
    if not drawn(first, config):
        return {**found, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if first.seed is None:
        named = {"do_sample": True, "temperature": first.temperature, "top_p": first.top_p}
        return found | {name: told for name, told in named.items() if told is not None}
    from transformers import LogitsProcessorList

    # Of several beams no single one is drawn.
    draws = LogitsProcessorList([Draws(several, config)])
    return {**found, "do_sample": False, "num_beams": 1, "logits_processor": draws}


def batches(items: Sequence[T], key: Callable[[T], Hashable], most: int) -> Iterator[list[int]]:
    """The places of items that may share a call: those of one key, at most ``most`` together."""
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(key(item), []).append(place)
    for group in groups.values():
        for start in range(0, len(group), most):
            yield group[start : start + most]


class Draws:
    """Draws each text's next token with a generator of its own, so that no neighbour changes it.

    The likeliest token after Gumbel noise is a draw from the distribution (Gumbel-max trick), so that a
    greedy search over these scores is one call for the whole batch.
    """

    def __init__(self, several: Sequence[Writing], config: Any) -> None:
        import torch

        self._rows = [
            (_warpers(one, config), torch.Generator().manual_seed(one.seed or 0)) for one in several
        ]

    def __call__(self, tokens: Any, scores: Any) -> Any:
        """Scores (texts × vocabulary) whose highest one is each text's draw."""
        import torch

        rows = []
        for number, (warpers, generator) in enumerate(self._rows):
            row = scores[number : number + 1].float()
            for warper in warpers:
                row = warper(tokens[number : number + 1], row)
            # On the CPU, so that a seed means the same on every device.
            even = torch.rand(row.shape, generator=generator).clamp_min(torch.finfo(torch.float32).tiny)
            rows.append(row - (-even.log()).log().to(row.device))
        return torch.cat(rows)


def _warpers(writing: Writing, config: Any) -> list[Any]:
    """What narrows a distribution, in the order of ``generate``."""
    import transformers as hf

    temperature = config.temperature if writing.temperature is None else writing.temperature
    top_p = config.top_p if writing.top_p is None else writing.top_p
    found: list[Any] = []
    if temperature and temperature != 1:
        found.append(hf.TemperatureLogitsWarper(float(temperature)))
    if config.top_k:
        found.append(hf.TopKLogitsWarper(config.top_k))
    if top_p is not None and top_p < 1:
        found.append(hf.TopPLogitsWarper(top_p))
    if config.min_p:
        found.append(hf.MinPLogitsWarper(config.min_p))
    return found
