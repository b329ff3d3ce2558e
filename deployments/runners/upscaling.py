"""Pictures made larger and clearer, by Swin2SR of transformers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import InputError
from deployments.media import LIMITS, Image, rgb
from deployments.result import Input, Result
from deployments.runners.neural import NeuralRunner
from deployments.runners.single import image_of

_TILE = 192  # pixels along a side of what the model sees at once
_SHARED = 16  # pixels of it that a neighbour sees too; it is not used where a neighbour lies
_AT_ONCE = 8  # tiles of one model call


class Upscaler(NeuralRunner):
    """Makes pictures larger by the model's own factor, piece by piece, so that any size fits into memory.

    The pieces are of one size, so that pictures of all sizes share a model call; neighbouring pieces overlap,
    and each answers for its inner part.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import torch
        import transformers

        if self.card.dtype is None:
            self.dtype = torch.float32  # half precision leaves its traces in even areas
        self.model = self.load_model(transformers.AutoModelForImageToImage)
        self._factor = int(self.model.config.upscale)

    def ready(self, item: Input) -> NDArray[np.uint8]:
        """The picture's pixels.

        Raises:
            InputError: it would become larger than any picture may be.

        """
        image = image_of(item)
        height, width = image.pixels.shape[:2]
        most = LIMITS.max_pixels // self._factor**2
        if height * width > most:
            raise InputError(
                f"A picture of {width} × {height} pixels is too large to be made {self._factor} times "
                f"larger; send one of at most {most / 1e6:.1f} million pixels."
            )
        return rgb(image)

    def infer(self, items: Sequence[NDArray[np.uint8]]) -> list[Result]:
        """The larger pictures."""
        import torch

        larger = [
            np.empty((pixels.shape[0] * self._factor, pixels.shape[1] * self._factor, 3), np.uint8)
            for pixels in items
        ]
        tiles = [(made, *tile) for made, pixels in zip(larger, items, strict=True) for tile in _tiles(pixels)]
        for start in range(0, len(tiles), _AT_ONCE):
            self.check_stopped()
            chunk = tiles[start : start + _AT_ONCE]
            seen = np.stack([tile for _, tile, _, _ in chunk])
            pixels = torch.from_numpy(seen).to(self.device, self.dtype).permute(0, 3, 1, 2) / 255
            answer = self.model(pixel_values=pixels).reconstruction.float()
            drawn = (255 * answer.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            for (made, _, inner, place), tile in zip(chunk, drawn, strict=True):
                made[self._grown(place)] = tile[self._grown(inner)]
        return [Result(image=Image(pixels)) for pixels in larger]

    def _grown(self, area: tuple[slice, slice]) -> tuple[slice, slice]:
        rows, columns = (slice(part.start * self._factor, part.stop * self._factor) for part in area)
        return rows, columns


_Area = tuple[slice, slice]


def _tiles(pixels: NDArray[np.uint8]) -> Iterator[tuple[Any, _Area, _Area]]:
    """Tiles that cover a picture: pixels, which part of the tile counts, and where that part lies.

    A picture smaller than a tile is mirrored at its right and lower edges, as Swin2SR's processor does.
    """
    height, width = pixels.shape[:2]
    more = [(0, max(0, _TILE - side)) for side in (height, width)]
    whole = np.pad(pixels, (*more, (0, 0)), mode="symmetric")
    for top, inner_rows, rows in _spans(height):
        for left, inner_columns, columns in _spans(width):
            yield (
                whole[top : top + _TILE, left : left + _TILE],
                (inner_rows, inner_columns),
                (rows, columns),
            )


def _spans(length: int) -> Iterator[tuple[int, slice, slice]]:
    """Where tiles begin along a side, which part of each counts, and where that part lies."""
    if length <= _TILE:
        yield 0, slice(0, length), slice(0, length)
        return
    step = _TILE - 2 * _SHARED
    starts = [*range(0, length - _TILE, step), length - _TILE]
    done = 0
    for number, start in enumerate(starts):
        end = length if number == len(starts) - 1 else start + _TILE - _SHARED
        yield start, slice(done - start, end - start), slice(done, end)
        done = end
