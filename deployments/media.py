"""Values of each modality: decoding with limits, encoding, and what a file is by its first bytes.

Nothing here believes a name or a declared type: the bytes decide. Decoder messages are never passed on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Image:
    """A picture; ``pixels`` is uint8, height × width × 3 (RGB) or 4 (RGBA), or height × width (grey)."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording; ``samples`` is float32 in [-1, 1], shape (n,) mono or (n, channels), at ``rate`` Hz."""

    samples: NDArray[np.float32]
    rate: int


@dataclass(frozen=True, slots=True)
class Video:
    """Moving pictures; ``frames`` is uint8, n × height × width × 3, at ``rate`` frames a second."""

    frames: NDArray[np.uint8]
    rate: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table of strings; every row has as many cells as ``columns``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class File:
    """An encoded file, as it came from outside or goes out: bytes and their media type."""

    data: bytes
    media_type: str


Value = str | Image | Audio | Video | Table
