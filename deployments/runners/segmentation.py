"""Pictures cut into their parts, by semantic and by panoptic models of transformers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners import ade20k
from deployments.runners.drawing import around, colours, run_lengths, tinted
from deployments.runners.pictures import PictureRunner, Seen, alone, listed, plural, seen
from deployments.runners.vision import names

_SURE = 0.9  # least score of a panoptic part, as in transformers' pipeline
_MASK, _OVERLAP = 0.5, 0.5  # as there
_FINE = 2**21  # pixels that the parts of a picture are told apart on; models see far fewer
_FLOATS = 2**24  # numbers of one band of class scores
_TOLD = 8  # parts told in words
_BACKGROUND = ("background", "unlabeled", "void", "n/a")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a picture: its number in the map of parts, its label, and its score where there is one."""

    number: int
    label: str
    score: float | None = None


class Segmenter(PictureRunner):
    """Cuts pictures into parts; makes the segment maps of ControlNet where the model knows ADE20K's classes.

    Semantic models have one part for each label and no scores. Panoptic and instance models have one for each
    thing; those of pixels in doubt belong to no part.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        config = self.load_processor(transformers.AutoConfig)
        if config.model_type == "oneformer":
            raise ExpertError("OneFormer needs files of another repository; take a Mask2Former or SegFormer.")
        if "seg-control" in self.card.tasks and not ade20k.knows(config.id2label):
            raise ExpertError(
                f"{self.card.id} does not have ADE20K's 150 classes, which segment maps are painted in; "
                "take seg-control off its card."
            )
        panoptic = type(config) in transformers.AutoModelForUniversalSegmentation._model_mapping
        self.model = self.load_model(
            transformers.AutoModelForUniversalSegmentation
            if panoptic
            else transformers.AutoModelForSemanticSegmentation
        )
        self.load_pictures()
        self._panoptic = hasattr(self.processor, "post_process_panoptic_segmentation") and panoptic

    def ready(self, item: Input) -> Seen:
        """The picture and the threshold."""
        return seen(item, threshold=self.knob(item, "threshold", _SURE, 0, 1))

    def infer(self, items: Sequence[Seen]) -> list[Result]:
        """The parts, or the segment map, of each picture."""
        made: list[Result] = [Result() for _ in items]
        for indices, tensors in self.batches([self.features(item.small) for item in items]):
            outputs = self.model(**tensors)
            for place, index in enumerate(indices):
                self.check_stopped()
                made[index] = self._answer(items[index], alone(outputs, place))
        return made

    def _answer(self, item: Seen, outputs: Any) -> Result:
        fine = fine_shape(item.shape)
        if item.task == "seg-control":
            classes = stretched(self._classes(outputs, fine), item.shape)
            return Result(image=Image(ade20k.PALETTE[classes]))
        if self._panoptic:
            parts, told = self._things(item, outputs, fine)
        else:
            kinds = names(self.model.config)
            present, places = np.unique(self._classes(outputs, fine), return_inverse=True)
            parts = (places.reshape(fine) + 1).astype(np.int16)
            told = [Part(place, kinds[number]) for place, number in enumerate(present, start=1)]
        return described(item, parts, told)

    def _classes(self, outputs: Any, shape: tuple[int, int]) -> NDArray[np.int16]:
        """The class of each pixel of a map of ``shape``."""
        (found,) = self.processor.post_process_semantic_segmentation(outputs, return_segmentation_scores=True)
        return likeliest(found.segmentation_scores, shape)

    def _things(
        self, item: Seen, outputs: Any, shape: tuple[int, int]
    ) -> tuple[NDArray[np.int16], list[Part]]:
        """A map of ``shape`` with the number of each pixel's part, 0 for none; and the parts."""
        (found,) = self.processor.post_process_panoptic_segmentation(
            outputs,
            threshold=item.threshold,
            mask_threshold=_MASK,
            overlap_mask_area_threshold=_OVERLAP,
            label_ids_to_fuse=set(),
            target_sizes=[shape],
        )
        segments = found["segments_info"]
        kinds = names(self.model.config)
        numbers = np.asarray(found["segmentation"].cpu().numpy(), np.int32)
        parts = np.zeros(shape, np.int16)
        told = []
        for place, segment in enumerate(segments, start=1):
            parts[numbers == segment["id"]] = place
            told.append(Part(place, kinds[segment["label_id"]], round(float(segment["score"]), 4)))
        return parts, told


def fine_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """The shape of the map that a picture's parts are found on: its own, bounded to two million pixels."""
    scale = min(1.0, (_FINE / (shape[0] * shape[1])) ** 0.5)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def stretched(parts: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """A map of parts at another height × width, by the nearest pixel."""
    if parts.shape == shape:
        return parts
    rows, columns = (np.arange(new) * old // new for new, old in zip(shape, parts.shape, strict=True))
    made: NDArray[Any] = parts[rows][:, columns]
    return made


def likeliest(scores: Any, shape: tuple[int, int]) -> NDArray[np.int16]:
    """The best class of each pixel of a map of ``shape``; ``scores`` (classes × height × width) is smaller.

    It is what bilinear interpolation of all scores at once would give, but done in bands of rows: with 150
    classes the scores of a large picture do not fit into memory.
    """
    import torch

    classes, height, _ = scores.shape
    rows = (torch.arange(shape[0], device=scores.device) + 0.5) * (height / shape[0]) - 0.5
    rows = rows.clamp(0, height - 1)
    above = rows.floor().long()
    below = (above + 1).clamp(max=height - 1)
    weight = (rows - above).to(scores.dtype)[None, :, None]
    band = max(1, _FLOATS // (classes * shape[1]))
    made = np.empty(shape, np.int16)
    for top in range(0, shape[0], band):
        cut = slice(top, top + band)
        mixed = torch.lerp(scores[:, above[cut]], scores[:, below[cut]], weight[:, cut])
        wide = torch.nn.functional.interpolate(
            mixed[None], size=(mixed.shape[1], shape[1]), mode="bilinear", align_corners=False
        )
        made[cut] = wide[0].argmax(0).cpu().numpy()
    return made


def described(item: Seen, parts: NDArray[np.int16], told: Sequence[Part]) -> Result:
    """Parts as data, the largest first, in words, as a tinted picture with a legend, and one of them as mask.

    The mask is the best-scored part, the largest where there are no scores; never the background, if there is
    anything else.
    """
    parts = stretched(parts, item.shape)
    found: list[tuple[int, dict[str, Any]]] = []
    for part, mask in zip(told, run_lengths(parts, [part.number for part in told]), strict=True):
        pixels = sum(mask["counts"][1::2])
        if pixels:
            share = round(pixels / parts.size, 4)
            entry = {
                "label": part.label,
                "score": part.score,
                "area": share,
                "box": around(mask),
                "mask": mask,
            }
            found.append((part.number, entry))
    found.sort(key=lambda pair: -pair[1]["area"])
    legend = colours(entry["label"] for _, entry in found)
    best = max(found, key=_worth, default=None)
    return Result(
        image=tinted(item.image, parts, [legend.get(part.label, (0, 0, 0)) for part in told], legend),
        data=[entry for _, entry in found],
        text=in_words([entry for _, entry in found]),
        mask=Image((parts == (best[0] if best else -1)).astype(np.uint8) * 255),
    )


def _worth(pair: tuple[int, dict[str, Any]]) -> tuple[bool, float, float]:
    """How well a part serves as the mask."""
    entry = pair[1]
    return entry["label"].lower() not in _BACKGROUND, entry["score"] or 0.0, entry["area"]


def in_words(data: Sequence[dict[str, Any]]) -> str:
    """Labels with their shares of the picture, things counted: ``2 cats (31%) and sofa (50%)``."""
    shares: dict[str, float] = {}
    for entry in data:
        shares[entry["label"]] = shares.get(entry["label"], 0.0) + entry["area"]
    labels = Counter(entry["label"] for entry in data)
    told = []
    for label in sorted(shares, key=lambda label: -shares[label])[:_TOLD]:
        name = label.partition(",")[0]
        count = labels[label]
        told.append(f"{f'{count} {plural(name)}' if count > 1 else name} ({shares[label]:.0%})")
    return listed(told) or "nothing found"
