"""Pictures, recordings, videos and tables to ask about, and how two results are compared."""

from typing import Any

import numpy as np

from deployments.media import Audio, Image, Table, Value, Video
from tests.support.neural import alike

SIDES = (96, 128)
"""Height and width of the pictures, in pixels."""

RATE = 16_000
SECONDS = 1.0


def scene(number: int = 0) -> Image:
    """A bright box on a ramp; each number has its own."""
    height, width = SIDES
    ramp = np.linspace(0, 200, width, dtype=np.uint8)
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[...] = np.stack([ramp, np.full_like(ramp, 20 * number), ramp[::-1]], axis=1)
    top, left = 10 + 5 * number, 20 + 8 * number
    pixels[top : top + 30, left : left + 40] = (250, 240, 30 * number)
    return Image(pixels)


def hole() -> Image:
    """A mask: white in the middle."""
    pixels = np.zeros(SIDES, np.uint8)
    pixels[24:72, 32:96] = 255
    return Image(pixels)


def tone(number: int = 0) -> Audio:
    """A second of sound; each number has its own pitch."""
    times = np.arange(int(RATE * SECONDS)) / RATE
    return Audio((0.3 * np.sin(2 * np.pi * (220 + 60 * number) * times)).astype(np.float32), RATE)


def film(number: int = 0) -> Video:
    """Sixteen frames in which a scene moves."""
    pixels = scene(number).pixels
    return Video(np.stack([np.roll(pixels, 6 * frame, axis=1) for frame in range(16)]), 8.0)


def houses() -> Table:
    """A small table."""
    return Table(("name", "age"), (("alice", "30"), ("bob", "41")))


def flowers() -> Table:
    """Rows of which each has a class."""
    return Table(("width", "height", "kind"), (("9.5", "1.0", "wild"), ("0.5", "4.0", "tame")))


def same(one: Value, other: Value) -> bool:
    """Whether two files hold the same, as far as batches may differ from single calls."""
    match one, other:
        case Image(), Image():
            return _near(one.pixels, other.pixels)
        case Video(), Video():
            # The encoder's threads leave traces of a few levels in noise.
            return one.rate == other.rate and _near(one.frames, other.frames, 24)
        case Audio(), Audio():
            return one.rate == other.rate and alike(one.samples, other.samples, 0.02)
        case _:
            return one == other


def _near(one: Any, other: Any, levels: int = 2) -> bool:
    """Whether nearly all pixels agree within a few of 255 levels."""
    if one.shape != other.shape:
        return False
    return bool(np.mean(np.abs(one.astype(int) - other.astype(int)) <= levels) > 0.99)
