"""An example input for each task, for warm-up calls."""

from collections.abc import Mapping

import numpy as np

from deployments.media import Audio, Image, Table, Video
from deployments.result import Input
from model_catalog.tasks import TASKS, Argument, Modality

_WORDS = "Hello, this is a short text about a red house on a hill."
_SIDE = 256  # pixels
_RATE = 16_000  # samples a second
_FRAMES = 16

_TEXTS = {"labels": "house, car", "target_language": "French", "text": _WORDS}


def example(task: str, knobs: Mapping[str, str] | None = None) -> Input:
    """A small, valid input; ``knobs`` that the task does not have are left out."""
    row = TASKS[task]
    args = {argument.name: _value(argument) for argument in row.arguments}
    names = {knob.name for knob in row.knobs}
    return Input(task, {**args, **{name: value for name, value in (knobs or {}).items() if name in names}})


def _value(argument: Argument) -> str | Image | Audio | Video | Table:
    ramp = np.linspace(0, 255, _SIDE, dtype=np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp, ramp[:, None], np.uint8(128)), axis=2)
    match argument.modality:
        case Modality.IMAGE if argument.name == "mask":
            mask = np.zeros((_SIDE, _SIDE), np.uint8)
            mask[_SIDE // 4 : -_SIDE // 4, _SIDE // 4 : -_SIDE // 4] = 255
            return Image(mask)
        case Modality.IMAGE:
            return Image(pixels)
        case Modality.AUDIO:
            wave = 0.2 * np.sin(2 * np.pi * 220 * np.arange(_RATE) / _RATE)
            return Audio(wave.astype(np.float32), _RATE)
        case Modality.VIDEO:
            return Video(np.stack([np.roll(pixels, 4 * n, axis=1) for n in range(_FRAMES)]), 8.0)
        case Modality.TABLE:
            return Table(("name", "rooms"), (("house", "5"), ("barn", "1")))
        case _:
            return _TEXTS.get(argument.name, _WORDS)
