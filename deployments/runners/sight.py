"""What the runners of pictures and words share.

Pictures of a usable shape, words free of control tokens, and how a text is written, greedily or with a seed.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.errors import InputError
from deployments.media import Image
from deployments.result import Input
from deployments.runners.neural import NeuralRunner, picture
from deployments.runners.pictures import LOOKED_AT, bounded
from deployments.runners.single import image_of

_LEAST = 32  # pixels: of a shorter side, image processors mistake the rows for channels
_THINNEST = 100  # times its short side, a picture's long one
_MOST_TOKENS = 8192
_SEEDS = 2**32


def view(image: Image) -> Any:
    """The picture for an image processor: RGB, of Pillow, of a few pixels at least and four million at most.

    Raises:
        InputError: it is a mere line.

    """
    shown = picture(image)
    short, long = sorted(shown.size)
    if long > _THINNEST * short:
        raise InputError(
            f"A picture of {shown.width} × {shown.height} pixels is too thin to look at; cut it into pieces."
        )
    if short >= _LEAST:
        return bounded(shown, LOOKED_AT)
    times = -(-_LEAST // short)
    return shown.resize((shown.width * times, shown.height * times))


def seen(item: Input) -> Any:
    """The input's picture, as of ``view``.

    Raises:
        InputError: it has none that can be used.

    """
    return view(image_of(item))


def plain(words: str, tokenizer: Any) -> str:
    """The words without the tokenizer's control tokens, so that they stay words.

    Without this ``<image>`` in a question would stand for one more picture.
    """
    for token in tokenizer.added_tokens_decoder.values():
        if token.special and token.content in words:
            words = words.replace(token.content, " ")
    return words.strip()


def moved(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The processor's tensors on the model's device, numbers with a point in its type."""
    import torch

    return {
        name: value.to(model.device, model.dtype if torch.is_floating_point(value) else None)
        for name, value in inputs.items()
        if isinstance(value, torch.Tensor)
    }


def room(model: Any, taken: int = 0) -> int:
    """How many tokens the model's decoder may write after ``taken`` ones."""
    config = model.config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_target_positions"):
        size = getattr(config, name, None)
        if isinstance(size, int):
            return max(0, size - taken)
    return _MOST_TOKENS


@dataclass(frozen=True, slots=True)
class Writing:
    """How a text is written.

    Attributes:
        length: the most tokens.
        temperature: 0 takes the likeliest token each time; None leaves it to the model.
        top_p: the share of likely tokens that are drawn from; None leaves it to the model.
        seed: of the draws.

    """

    length: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int = 0


def writing(runner: NeuralRunner, item: Input, model: Any, length: int) -> Writing:
    """What the call, the card and the model ask for; ``length`` tokens where none of them tells.

    Raises:
        InputError: a knob holds no such number.

    """
    told = getattr(model, "generation_config", None)  # classifiers write nothing
    usual = getattr(told, "max_new_tokens", None) or length
    temperature = runner.knob(item, "temperature", -1, 0, 5)
    top_p = runner.knob(item, "top_p", -1, 0, 1)
    return Writing(
        runner.whole(item, "max_new_tokens", min(usual, _MOST_TOKENS), 1, _MOST_TOKENS),
        None if temperature < 0 else temperature,
        None if top_p < 0 else top_p,
        runner.whole(item, "seed", secrets.randbelow(_SEEDS), 0, 2**32 - 1),
    )


def drawn(writing: Writing, config: Any) -> bool:
    """Whether tokens are drawn at random, by the call or else by the model's generation configuration."""
    if writing.temperature is not None:
        return writing.temperature > 0
    return bool(config.do_sample) or writing.top_p is not None


def options(several: Sequence[Writing], config: Any) -> dict[str, Any]:
    """Arguments of ``generate`` for texts that are all drawn, or all not, with one ``length``."""
    first = several[0]
    found: dict[str, Any] = {"max_new_tokens": first.length, "do_sample": False}
    if drawn(first, config):
        from transformers import LogitsProcessorList

        # Of several beams no single one is drawn.
        found |= {"num_beams": 1, "logits_processor": LogitsProcessorList([Draws(several, config)])}
    return found


class Draws:
    """Draws each text's next token with a generator of its own, so that no neighbour changes it.

    The likeliest token after Gumbel noise is a draw from the distribution (Gumbel-max trick), so that a
    greedy search over these scores is one call for the whole batch.
    """

    def __init__(self, several: Sequence[Writing], config: Any) -> None:
        import torch

        self._rows = [(_warpers(writing, config), _generator(torch, writing.seed)) for writing in several]

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


def _generator(torch: Any, seed: int) -> Any:
    return torch.Generator().manual_seed(seed)


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
    if top_p is not None and 0 < top_p < 1:
        found.append(hf.TopPLogitsWarper(top_p))
    if config.min_p:
        found.append(hf.MinPLogitsWarper(config.min_p))
    return found
