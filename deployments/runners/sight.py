"""What the runners of pictures and words share.

Pictures of a usable shape, words free of control tokens, and how much room a text has.
"""

from collections.abc import Mapping
from typing import Any

from deployments.errors import InputError
from deployments.media import Image
from deployments.result import Input
from deployments.runners.neural import picture
from deployments.runners.pictures import LOOKED_AT, bounded
from deployments.runners.single import image_of

_LEAST = 32  # pixels: of a shorter side, image processors mistake the rows for channels
_THINNEST = 100  # times its short side, a picture's long one
_MOST_TOKENS = 8192


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


def usual(model: Any, length: int) -> int:
    """How many tokens the model writes where nobody says: what its configuration tells, or ``length``."""
    told = getattr(model, "generation_config", None)  # classifiers write nothing
    return min(getattr(told, "max_new_tokens", None) or length, _MOST_TOKENS)
