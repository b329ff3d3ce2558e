"""A small drawing board: flat shapes with soft edges, shadows and a little grain."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter, ImageFont

SCALE = 3  # drawn this many times larger, then scaled down, which smooths the edges

Point = tuple[float, float]


class Canvas:
    """A picture in the making; all coordinates are pixels of the finished one."""

    def __init__(self, width: int, height: int, top: str, bottom: str) -> None:
        """Start with a background that runs from one colour to the other."""
        self.width, self.height = width, height
        ends = np.array([ImageColor.getrgb(top), ImageColor.getrgb(bottom)], np.float64)
        share = np.linspace(0, 1, height * SCALE)[:, None]
        column = (ends[0] * (1 - share) + ends[1] * share).round().astype(np.uint8)
        self._image = Image.fromarray(np.repeat(column[:, None, :], width * SCALE, axis=1))
        self._draw = ImageDraw.Draw(self._image)

    def ellipse(self, x: float, y: float, across: float, down: float, fill: str) -> None:
        """An ellipse around (x, y) with the given half axes."""
        self._draw.ellipse(_scaled([(x - across, y - down), (x + across, y + down)]), fill)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: str, radius: float = 0) -> None:
        """A rectangle, its corners rounded by ``radius``."""
        self._draw.rounded_rectangle(_scaled([(x0, y0), (x1, y1)]), radius * SCALE, fill)

    def polygon(self, points: Sequence[Point], fill: str) -> None:
        """A shape with straight sides."""
        self._draw.polygon(_scaled(points), fill)

    def blob(self, points: Sequence[Point], fill: str) -> None:
        """A closed shape that runs smoothly through the points."""
        self._draw.polygon(_scaled(_smooth(points)), fill)

    def line(self, points: Sequence[Point], fill: str, width: float) -> None:
        """A line with round ends and joints."""
        radius = width / 2
        self._draw.line(_scaled(points), fill, round(width * SCALE), joint="curve")
        for x, y in points:
            self.ellipse(x, y, radius, radius, fill)

    def arc(
        self, x: float, y: float, radius: float, start: float, end: float, fill: str, width: float
    ) -> None:
        """A part of a circle, from one angle to another (degrees, clockwise from the right)."""
        box = _scaled([(x - radius, y - radius), (x + radius, y + radius)])
        self._draw.arc(box, start, end, fill, round(width * SCALE))

    def text(self, x: float, y: float, words: str, size: float, fill: str) -> None:
        """Words with their middle at (x, y), in the font that Pillow carries."""
        font = ImageFont.load_default(size * SCALE)
        self._draw.text((x * SCALE, y * SCALE), words, fill, font, anchor="mm")

    def shadow(self, x: float, y: float, across: float, down: float, strength: float = 0.35) -> None:
        """A soft dark patch around (x, y), under what is drawn next."""
        mask = Image.new("L", (self.width, self.height))
        box = [(x - across, y - down), (x + across, y + down)]
        ImageDraw.Draw(mask).ellipse(
            [round(value) for point in box for value in point], round(255 * strength)
        )
        mask = mask.filter(ImageFilter.GaussianBlur(down / 2 + 2)).resize(self._image.size)
        self._image.paste("#101020", mask=mask)

    def finished(self, seed: int, grain: float = 2.0) -> Image.Image:
        """The picture at its own size, with film grain of the given strength."""
        small = self._image.resize((self.width, self.height), Image.Resampling.BOX)
        noise = np.random.default_rng(seed).normal(0, grain, (self.height, self.width, 1))
        return Image.fromarray(np.clip(np.rint(np.asarray(small) + noise), 0, 255).astype(np.uint8))


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * SCALE, y * SCALE) for x, y in points]


def _smooth(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """The Catmull-Rom curve through a closed ring of points."""
    ring = np.array(points, np.float64)
    before, after, beyond = (np.roll(ring, shift, axis=0) for shift in (1, -1, -2))
    curve = []
    for t in np.linspace(0, 1, steps, endpoint=False):
        weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
        curve.append(sum(w * p for w, p in zip(weights, (before, ring, after, beyond), strict=True)) / 2)
    return [(float(x), float(y)) for x, y in np.stack(curve, axis=1).reshape(-1, 2)]
