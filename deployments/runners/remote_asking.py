"""One question to a model served elsewhere, and the checks of what comes back."""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

from deployments.decode import decode
from deployments.encode import encode
from deployments.errors import ExpertError, InputError, MediaError
from deployments.media import UNKNOWN, Audio, File, Image
from deployments.result import Input, Result
from deployments.runners.single import audio_of, image_of, text_of
from model_catalog.card import ModelCard
from model_catalog.tasks import Modality

TOP = 5
"""How many labels are told where a call does not say."""

MOST = 1000
"""How many things are taken of one answer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: the client to ask, the input, and the model's card with what the call leaves open."""

    client: Any
    item: Input
    card: ModelCard

    def text(self, name: str = "text") -> str:
        """A text that the task needs; see ``text_of``."""
        return text_of(self.item, name)

    def word(self, name: str) -> str | None:
        """A knob's word: of the call, of the card's defaults, or None."""
        return (self.item.text(name) or self.card.defaults.get(name, "")).strip() or None

    def number(self, name: str, low: float, high: float) -> float | None:
        """A knob's number: of the call, of the card's defaults, or None.

        Raises:
            InputError: it is no number between ``low`` and ``high``.

        """
        written = self.word(name)
        if written is None:
            return None
        try:
            value = float(written)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise InputError(f"{name} must be a number from {low:g} to {high:g}, not {written[:40]!r}.")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        """As ``number``, for whole numbers.

        Raises:
            InputError: it is no whole number between ``low`` and ``high``.

        """
        value = self.number(name, low, high)
        if value is not None and value != int(value):
            raise InputError(f"{name} must be a whole number, not {value:g}.")
        return None if value is None else int(value)

    @property
    def seed(self) -> int | None:
        """The seed asked for."""
        return self.whole("seed", 0, 2**32 - 1)

    @property
    def top(self) -> int:
        """How many labels are wanted."""
        return self.whole("top_k", 1, MOST) or TOP

    async def picture(self) -> bytes:
        """The input's picture as PNG."""
        return await _encoded(image_of(self.item))

    async def recording(self) -> bytes:
        """The input's recording as WAV."""
        return await _encoded(audio_of(self.item))


async def _encoded(value: Image | Audio) -> bytes:
    return (await asyncio.to_thread(encode, value)).data


async def medium(data: Any, modality: Modality) -> Any:
    """A file of the service's as a value; what it is, its bytes decide.

    Raises:
        ExpertError: it is none, or over a limit.

    """
    if not isinstance(data, bytes):
        raise ExpertError(f"The service gave no {modality.value}.")
    try:
        return await asyncio.to_thread(decode, File(data, UNKNOWN), modality)
    except MediaError as error:
        raise ExpertError(f"The service's {modality.value} cannot be used. {error.message}") from None


# Whatever these raise becomes one error: the service gave no usable answer.


def said(value: Any) -> str:
    """A text of an answer.

    Raises:
        TypeError: it is none.

    """
    if not isinstance(value, str):
        raise TypeError("no text")
    return value.strip()


def score_of(value: Any) -> float:
    """A score of an answer, to four digits.

    Raises:
        TypeError: it is no number.
        ValueError: it is not finite.

    """
    score = float(value)
    if not math.isfinite(score):
        raise ValueError("no score")
    return round(score, 4)


def several(found: Any) -> list[Any]:
    """A list of an answer, cut where it is very long.

    Raises:
        TypeError: it is none.

    """
    if not isinstance(found, list):
        raise TypeError("no list")
    return found[:MOST]


def ranked(found: Any, count: int, key: str = "label") -> Result:
    """The ``count`` best labels with scores as data; the best one in words.

    Raises:
        Exception: it is no such list, or an empty one.

    """
    pairs = [(score_of(item["score"]), said(item[key])) for item in several(found)]
    pairs.sort(key=lambda pair: -pair[0])
    score, best = pairs[0]
    text = f"{best} ({score:.2f})" if key == "label" else best
    return Result(text=text, data=[{key: name, "score": score} for score, name in pairs[:count]])
