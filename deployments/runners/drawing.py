"""Findings drawn on pictures: labelled boxes, tinted parts with a legend, and masks as run lengths."""

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.media import Image, rgb

Colour = tuple[int, int, int]
Box = Mapping[str, int]
"""``xmin``, ``ymin``, ``xmax``, ``ymax`` in pixels; the last two are just behind the box."""

_FIRST: tuple[Colour, ...] = (
    (230, 25, 75),
    (0, 130, 200),
    (60, 180, 75),
    (245, 130, 48),
    (145, 30, 180),
    (0, 128, 128),
    (240, 50, 230),
    (170, 110, 40),
    (128, 0, 0),
    (0, 0, 128),
    (255, 225, 25),
    (128, 128, 0),
)
_GOLDEN = 0.618034  # of a turn around the colour wheel: neighbours in the order differ most
_SMALLEST, _LARGEST = 10, 96  # heights of letters, pixels
_ENTRIES = 12  # of a legend
_TINT = 0.5  # how much of a part's colour lies over the picture


def palette(count: int) -> list[Colour]:
    """The first ``count`` of the colours that findings get, all different."""
    made = list(_FIRST[:count])
    for index in range(len(made), count):
        hue, value = index * _GOLDEN % 1, 0.95 - 0.3 * (index % 3) / 2
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.8, value)
        made.append((round(255 * red), round(255 * green), round(255 * blue)))
    return made


def colours(labels: Iterable[str]) -> dict[str, Colour]:
    """A colour for each label, in the order they come."""
    names = list(dict.fromkeys(labels))
    return dict(zip(names, palette(len(names)), strict=True))


def boxed(image: Image, found: Sequence[Mapping[str, Any]]) -> Image:
    """The picture with a box and a tag around each finding (``label``, ``score``, ``box``), of its own size.

    Every tag lies inside the picture; the best-scored findings are drawn last, so that they stay visible.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    canvas = Pillow.fromarray(rgb(image))
    draw = ImageDraw.Draw(canvas)
    line = max(1, round(min(canvas.size) / 250))
    font = _font(_letters(canvas.size))
    of = colours(item["label"] for item in found)
    ranked = sorted(found, key=lambda item: float(item["score"] or 0))
    for item in ranked:
        box = item["box"]
        corners = (
            box["xmin"],
            box["ymin"],
            max(box["xmin"], box["xmax"] - 1),
            max(box["ymin"], box["ymax"] - 1),
        )
        draw.rectangle(corners, outline=of[item["label"]], width=line)
    taken: list[tuple[float, ...]] = []
    for item in reversed(ranked):  # the best first, so that they get the better places
        score = item["score"]
        words = item["label"] if score is None else f"{item['label']} {score:.2f}"
        taken.append(_tag(draw, canvas.size, item["box"], words, of[item["label"]], font, taken))
    return Image(np.asarray(canvas))


def _tag(
    draw: Any,
    size: tuple[int, int],
    box: Box,
    words: str,
    colour: Colour,
    font: Any,
    taken: Sequence[tuple[float, ...]],
) -> tuple[float, ...]:
    """Write a finding's tag where it hides no other tag, if there is such a place; the rectangle it fills."""
    pad = max(1, round(font.size / 6))
    words = _fitting(draw, words, font, size[0] - 2 * pad)
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(0, box["xmin"]), max(0, size[0] - width))
    places = (box["ymin"] - height, box["ymin"], box["ymax"], box["ymax"] - height, box["ymin"] + height)
    tags = [(x, y, x + width, y + height) for y in (min(max(0, y), max(0, size[1] - height)) for y in places)]
    tag = next((tag for tag in tags if not any(_overlap(tag, other) for other in taken)), tags[0])
    draw.rectangle((tag[0], tag[1], tag[2] - 1, tag[3] - 1), fill=colour)
    draw.text((tag[0] + pad - left, tag[1] + pad - top), words, fill=_ink(colour), font=font)
    return tag


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _fitting(draw: Any, words: str, font: Any, width: float) -> str:
    """The words, cut where they are wider than ``width``."""
    words = " ".join(words.split())[:80]
    while len(words) > 1 and draw.textlength(words, font=font) > width:
        words = words.rstrip("…")[:-1].rstrip() + "…"
    return words


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever is read better on the colour (luma of ITU-R BT.601)."""
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    return (0, 0, 0) if light else (255, 255, 255)


def _letters(size: tuple[int, int]) -> int:
    return min(_LARGEST, max(_SMALLEST, round(min(size) / 32)))


def _font(height: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(height)


def tinted(
    image: Image, parts: NDArray[np.integer[Any]], of: Sequence[Colour], legend: Mapping[str, Colour]
) -> Image:
    """The picture with each part under its colour, parted by dark lines, with a legend; of its own size.

    Args:
        image: the picture.
        parts: of the picture's size; 0 for no part, n for the nth of ``of``.
        of: the colour of each part.
        legend: the colours' meanings, the most important first; the first 12 are told, as far as they fit.

    """
    table = np.array([(0, 0, 0), *of], np.uint8)
    share = np.where(np.arange(len(table)) > 0, round(256 * _TINT), 0).astype(np.uint16)
    # Row by row of tiles: a picture may have 40 million pixels, and needs no second copy in 16 bits.
    source = rgb(image)
    pixels = np.empty_like(source)
    for top in range(0, len(source), 256):
        rows = slice(top, top + 256)
        weight = share[parts[rows]][:, :, None]
        mixed = (source[rows] * (256 - weight) + table[parts[rows]] * weight) >> 8
        pixels[rows] = mixed.astype(np.uint8)
    edge = np.zeros(parts.shape, bool)
    edge[1:] = parts[1:] != parts[:-1]
    edge[:, 1:] |= parts[:, 1:] != parts[:, :-1]
    pixels[edge] //= 2
    return Image(_with_legend(pixels, list(legend.items())))


def _with_legend(pixels: NDArray[np.uint8], entries: Sequence[tuple[str, Colour]]) -> NDArray[np.uint8]:
    """The picture with a translucent legend in its lower left corner, as long as a good half of it is left.

    Where not all entries fit, the last ones are left out; on a tiny picture all are.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    canvas = Pillow.fromarray(pixels)
    font = _font(_letters(canvas.size))
    row, pad = round(1.4 * font.size), round(0.4 * font.size)
    shown = entries[: min(_ENTRIES, int((0.6 * canvas.height - 2 * pad) // row))]
    room = 0.5 * canvas.width - row - 3 * pad
    if not shown or room < 3 * font.size:
        return pixels
    draw = ImageDraw.Draw(canvas)
    told = [_fitting(draw, name, font, room) for name, _ in shown]
    width = round(max(draw.textlength(words, font=font) for words in told)) + row + 3 * pad
    height = len(shown) * row + 2 * pad
    corner = (0, canvas.height - height)
    canvas.paste(
        Pillow.blend(
            canvas.crop((*corner, width, canvas.height)),
            Pillow.new("RGB", (width, height), (255, 255, 255)),
            0.8,
        ),
        corner,
    )
    for index, ((_, colour), words) in enumerate(zip(shown, told, strict=True)):
        y = corner[1] + pad + index * row
        draw.rectangle(
            (pad, y + row // 8, pad + row * 3 // 4, y + row * 7 // 8), fill=colour, outline=(0, 0, 0)
        )
        draw.text((row + 2 * pad, y + row / 2), words, fill=(0, 0, 0), font=font, anchor="lm")
    return np.asarray(canvas)


def filled(shape: tuple[int, int], boxes: Iterable[Box]) -> Image:
    """A mask of height × width that is white inside the boxes."""
    mask = np.zeros(shape, np.uint8)
    for box in boxes:
        mask[box["ymin"] : box["ymax"], box["xmin"] : box["xmax"]] = 255
    return Image(mask)


def run_lengths(parts: NDArray[np.integer[Any]], numbers: Sequence[int]) -> list[dict[str, list[int]]]:
    """The mask of each of ``numbers`` in a map of parts, height × width, run-length encoded.

    The encoding is COCO's uncompressed one (https://cocodataset.org/#format-data): ``size`` is [height,
    width]; ``counts`` are lengths of alternating runs of pixels outside and inside the mask, beginning
    outside, down the columns from left to right.
    """
    flat = parts.T.reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    size = [int(side) for side in parts.shape]
    made = []
    for number in numbers:
        inside = values == number
        bounds = np.stack((starts[inside], ends[inside]), axis=1).reshape(-1)
        counts = np.diff(bounds, prepend=0).tolist()
        rest = flat.size - (int(bounds[-1]) if bounds.size else 0)
        made.append({"size": size, "counts": [*counts, rest] if rest else counts})
    return made


def around(runs: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The smallest box around a mask of ``run_lengths`` that is not empty."""
    height = runs["size"][0]
    ends = np.cumsum(np.asarray(runs["counts"], np.int64))
    starts, lasts = ends[0::2][: len(ends) // 2], ends[1::2] - 1
    columns = (int(starts[0]) // height, int(lasts[-1]) // height)
    rows = (int((starts % height).min()), int((lasts % height).max()))
    if np.any(starts // height != lasts // height):  # a run that goes on in the next column fills both edges
        rows = (0, height - 1)
    return {"xmin": columns[0], "ymin": rows[0], "xmax": columns[1] + 1, "ymax": rows[1] + 1}


def decoded(runs: Mapping[str, Sequence[int]]) -> NDArray[np.bool_]:
    """The mask of ``run_lengths``, height × width."""
    height, width = runs["size"]
    counts = np.asarray(runs["counts"], np.int64)
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T
