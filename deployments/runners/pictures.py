"""What the runners of vision models share: pictures made ready, batches of one shape, findings in words."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import InputError
from deployments.media import Image
from deployments.result import Input
from deployments.runners.neural import NeuralRunner, picture
from deployments.runners.single import image_of

LOOKED_AT = 2**22  # pixels; more than any model here looks at, and few enough for float copies
_NARROWEST = 50  # times as long as wide; a narrower one would vanish when it is made smaller
_ARTICLE = re.compile(r"^(an?|the)\s+(?=\S)", re.IGNORECASE)
_IRREGULAR = {"person": "people", "knife": "knives", "mouse": "mice", "sheep": "sheep", "fish": "fish"}
_IRREGULAR |= {name: name for name in ("scissors", "skis", "broccoli")}


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture made ready.

    Attributes:
        image: the picture as it came.
        small: an RGB picture of Pillow of at most four million pixels, which the model looks at.
        threshold: the least score of a finding.
        labels: what to look for.
        task: the task it is wanted for.

    """

    image: Image
    small: Any
    threshold: float = 0.0
    labels: tuple[str, ...] = ()
    task: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture as it came."""
        return shape_of(self.image)


class PictureRunner(NeuralRunner):
    """A runner over an image processor and a model.

    Attributes:
        processor: turns a picture into what the model takes; set by ``open``.
        fixed: whether pictures of all shapes come out of the processor in one.

    """

    processor: Any
    fixed: bool = False

    def load_pictures(self) -> None:
        """Load the image processor.

        Raises:
            ExpertError: the folder has none that can be used here.

        """
        import transformers

        self.processor = self.load_processor(transformers.AutoImageProcessor)
        mend_size(self.processor)
        self.fixed = len({self._shape_for(*sides) for sides in ((96, 160), (160, 96))}) == 1

    def _shape_for(self, height: int, width: int) -> tuple[int, ...]:
        grey = Image(np.full((height, width, 3), 128, np.uint8))
        return tuple(self.features(picture(grey))["pixel_values"].shape)

    def key(self, item: Input) -> Hashable:
        """Pictures that reach the model in one shape."""
        image = item.args.get("image")
        return None if self.fixed or not isinstance(image, Image) else image.pixels.shape[:2]

    def features(self, small: Any) -> dict[str, Any]:
        """The tensors of one picture, with a first dimension of 1."""
        made = self.processor(images=[small], return_tensors="pt")
        return {name: value for name, value in made.items() if hasattr(value, "shape")}

    def batches(self, features: Sequence[Mapping[str, Any]]) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Tensors joined where their shapes agree, on the device; with the numbers of their pictures.

        Pictures of different shapes are never padded to one: padding changes what some models see.
        """
        import torch

        groups: dict[Hashable, list[int]] = {}
        for index, tensors in enumerate(features):
            shapes = tuple((name, tuple(value.shape)) for name, value in sorted(tensors.items()))
            groups.setdefault(shapes, []).append(index)
        for indices in groups.values():
            first = features[indices[0]]
            yield (
                indices,
                {name: self.moved(torch.cat([features[n][name] for n in indices])) for name in first},
            )

    def moved(self, tensor: Any) -> Any:
        """A tensor on the device, numbers with a fraction in the model's type."""
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else None)


def seen(item: Input, **more: Any) -> Seen:
    """The item's picture made ready.

    Raises:
        InputError: there is none, or it is too narrow to be looked at.

    """
    image = image_of(item)
    height, width = shape_of(image)
    if max(height, width) > _NARROWEST * min(height, width):
        raise InputError(
            f"A picture of {width} × {height} pixels is too narrow to be understood; cut a part of it out."
        )
    return Seen(image, bounded(picture(image), LOOKED_AT), task=item.task, **more)


def shape_of(image: Image) -> tuple[int, int]:
    """Height and width."""
    height, width = image.pixels.shape[:2]
    return height, width


def bounded(small: Any, pixels: int) -> Any:
    """A picture of Pillow made so small that it has at most ``pixels``."""
    width, height = small.size
    scale = (pixels / (width * height)) ** 0.5
    if scale >= 1:
        return small
    return small.resize((max(1, int(width * scale)), max(1, int(height * scale))), reducing_gap=3.0)


def mend_size(processor: Any) -> None:
    """Give an image processor's size its second half where an old configuration names the first alone.

    The Table Transformers' configurations name the longest edge alone, which DETR's processor refuses.
    """
    size: Any = getattr(processor, "size", None)
    longest = getattr(size, "longest_edge", None)
    if longest and getattr(processor, "do_pad", None) and "Detr" in type(processor).__name__:
        others = (getattr(size, name, None) for name in ("shortest_edge", "height", "max_height"))
        if not any(others):
            processor.size = type(size)(shortest_edge=longest, longest_edge=longest)


def alone(outputs: Any, index: int) -> Any:
    """The outputs for one picture of a batch, as a batch of one, in full precision."""
    import torch

    made = {}
    for name, value in outputs.items():
        if isinstance(value, torch.Tensor) and value.ndim and len(value) > index:
            part = value[index : index + 1]
            made[name] = part.float() if part.is_floating_point() else part
    return type(outputs)(**made)


def inside(box: Sequence[float], shape: tuple[int, int]) -> dict[str, int]:
    """A box (left, top, right, bottom) as whole numbers inside a picture of height × width; never empty."""
    height, width = shape
    numbers = np.nan_to_num(np.asarray(box, np.float64), nan=0.0, posinf=1e9, neginf=-1e9)
    xmin, ymin = (int(np.clip(np.floor(numbers[n]), 0, (width, height)[n] - 1)) for n in (0, 1))
    xmax, ymax = (int(np.clip(np.ceil(numbers[n + 2]), low + 1, (width, height)[n]))
                  for n, low in ((0, xmin), (1, ymin)))  # fmt: skip
    return {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}


def apart(boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], most: float) -> list[int]:
    """The numbers of the boxes (left, top, right, bottom) to keep, the best-scored first.

    A box is dropped where its overlap (intersection over union) with a kept one is above ``most``.
    """
    kept: list[int] = []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.argsort(-scores, kind="stable")
    while left.size:
        first, left = int(left[0]), left[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[left, :2])
        high = np.minimum(boxes[first, 2:], boxes[left, 2:])
        common = np.prod(np.clip(high - low, 0, None), axis=1)
        left = left[common <= most * (area[first] + area[left] - common)]
    return kept


def counted(labels: Iterable[str]) -> str:
    """Things in words, the most frequent first: ``2 dogs and 1 cat``."""
    names = (_ARTICLE.sub("", label.partition(",")[0].strip()) or label for label in labels)
    told = [f"{count} {name if count == 1 else plural(name)}" for name, count in Counter(names).most_common()]
    return listed(told) or "nothing found"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def plural(name: str) -> str:
    """An English noun's plural, as far as simple rules go."""
    head, space, last = name.rpartition(" ")
    lowered = last.lower()
    if lowered in _IRREGULAR:
        ending = _IRREGULAR[lowered]
        return head + space + (last[:1] + ending[1:])
    if not last.isalpha() or not last.isascii():
        return name
    if lowered.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if lowered.endswith("y") and lowered[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"
