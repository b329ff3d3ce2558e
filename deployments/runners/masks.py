"""Masks of every thing in a picture, by Segment Anything (SAM) of transformers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners.drawing import around, palette, run_lengths, tinted
from deployments.runners.pictures import PictureRunner, Seen, apart, seen
from deployments.runners.segmentation import fine_shape, stretched

_SIDE = 32  # points along each side of the grid
_POINTS = 64  # points of one decoder call
_SURE = 0.88  # least quality that the model predicts for a mask
_STABLE, _SHIFT = 0.95, 1.0  # least stability of a mask when its threshold moves this much up and down
_SAME = 0.7  # overlap of boxes above which two masks mean one thing
_MOST = 100  # masks told of one picture


@dataclass(frozen=True, slots=True)
class _Masks:
    """Masks of one picture as logits of low resolution, n × height × width, with scores and boxes there."""

    logits: Any
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]


class MaskMaker(PictureRunner):
    """Outlines every thing, by asking SAM what lies at each point of a grid.

    The method and its thresholds are those of Segment Anything (arXiv 2304.02643, section 4 and appendix B),
    with one crop. Quality and stability are judged at the decoder's own resolution.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self.model = self.load_model(transformers.AutoModelForMaskGeneration)
        if self.model.config.model_type not in ("sam", "sam2", "sam2_video"):
            raise ExpertError(
                f"This release cannot ask models of the kind {self.model.config.model_type} for masks; "
                "take a SAM or a SAM 2."
            )
        self.stoppable(self.model.vision_encoder)  # which is called without the whole
        self.load_pictures()

    def ready(self, item: Input) -> tuple[Seen, int]:
        """The picture, and how many points lie along a side; a card's ``points`` may tell."""
        return seen(item), self.whole(item, "points", _SIDE, 1, 64)

    def infer(self, items: Sequence[tuple[Seen, int]]) -> list[Result]:
        """All masks of each picture; the pictures are encoded at once, their points asked one by one."""
        made: list[Result] = [Result() for _ in items]
        for indices, tensors in self.batches([self.features(one.small) for one, _ in items]):
            embeddings = self.model.get_image_embeddings(tensors["pixel_values"])
            side = tensors["pixel_values"].shape[-2:]
            # SAM fills a picture up to a square, SAM 2 stretches it.
            sizes = tensors["reshaped_input_sizes"].tolist() if "reshaped_input_sizes" in tensors else None
            for place, index in enumerate(indices):
                item, points = items[index]
                used = sizes[place] if sizes else side
                shares = (used[0] / side[0], used[1] / side[1])
                masks = self._asked(_only(embeddings, place), _grid(points, used), shares)
                made[index] = self._drawn(item, masks)
        return made

    def _asked(self, embedding: Any, points: NDArray[np.float32], shares: tuple[float, float]) -> _Masks:
        """The good masks at any of the points, each thing once, the best first."""
        import torch

        found = []
        for start in range(0, len(points), _POINTS):
            self.check_stopped()
            chunk = torch.from_numpy(points[start : start + _POINTS])[None, :, None]
            outputs = self.model(
                image_embeddings=embedding,
                input_points=self.moved(chunk),
                input_labels=torch.ones(chunk.shape[:3], dtype=torch.long, device=self.device),
                multimask_output=True,
            )
            found.append(_good(outputs.pred_masks[0], outputs.iou_scores[0], shares))
        return _together(found)

    def _drawn(self, item: Seen, masks: _Masks) -> Result:
        """Masks as data and as a tinted picture; as mask the largest one that does not reach the border."""
        shape = fine_shape(item.shape)
        data: list[dict[str, Any]] = []
        fine: list[NDArray[np.bool_]] = []  # of the picture's size, a hundred masks would fill the memory
        for logits, score in zip(masks.logits, masks.scores, strict=True):
            self.check_stopped()
            mask = _grown(logits, shape)
            if mask.any():
                data.append({"score": round(float(score), 4), **_told(mask, item.shape)})
                fine.append(mask)
        # The largest is painted first, so that it hides no smaller one.
        order = sorted(range(len(data)), key=lambda n: -data[n]["area"])
        parts = np.zeros(shape, np.int16)
        for n in order:
            parts[fine[n]] = n + 1
        chosen = next((n for n in order if _within(data[n]["box"], item.shape)), order[0] if order else None)
        best = np.zeros(shape, np.bool_) if chosen is None else fine[chosen]
        count = len(data)
        return Result(
            image=tinted(item.image, stretched(parts, item.shape), palette(count), {}),
            data=data,
            text=f"{count} thing{'s' if count > 1 else ''} outlined" if count else "nothing found",
            mask=Image(stretched(best.astype(np.uint8) * np.uint8(255), item.shape)),
        )


def _grown(logits: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of ``shape`` that logits of height × width mean."""
    import torch

    wide = torch.nn.functional.interpolate(
        logits[None, None].float(), size=shape, mode="bilinear", align_corners=False
    )
    mask: NDArray[np.bool_] = (wide[0, 0] > 0).cpu().numpy()
    return mask


def _told(mask: NDArray[np.bool_], shape: tuple[int, int]) -> dict[str, Any]:
    """A mask's share of the picture of ``shape``, its box there, and its run lengths."""
    (runs,) = run_lengths(stretched(mask, shape), [1])
    area = sum(runs["counts"][1::2]) / (shape[0] * shape[1])
    return {"area": round(area, 4), "box": around(runs), "mask": runs}


def _only(embeddings: Any, place: int) -> Any:
    """The embeddings of one picture; SAM 2 has several of each."""
    if isinstance(embeddings, list | tuple):
        return [part[place : place + 1] for part in embeddings]
    return embeddings[place : place + 1]


def _grid(points: int, used: Sequence[int]) -> NDArray[np.float32]:
    """Points (x, y), evenly spread over the used height and width of the model's input."""
    along = (np.arange(points, dtype=np.float32) + 0.5) / points
    x, y = np.meshgrid(along * used[1], along * used[0])
    return np.stack((x.reshape(-1), y.reshape(-1)), axis=1)


def _good(logits: Any, scores: Any, shares: tuple[float, float]) -> _Masks:
    """Those masks of points × 3 that the model is sure of, and that are stable; each thing once."""
    height, width = (
        max(1, round(side * share)) for side, share in zip(logits.shape[-2:], shares, strict=True)
    )
    logits = logits.flatten(0, 1)[:, :height, :width].float()
    scores = scores.flatten().float()
    low, high = (logits > level for level in (-_SHIFT, _SHIFT))
    stable = high.sum((1, 2)) / low.sum((1, 2)).clamp(min=1)
    inside = logits > 0
    keep = (scores > _SURE) & (stable > _STABLE) & inside.any(2).any(1)
    logits, inside = logits[keep], inside[keep].cpu().numpy()
    boxes = np.array([_box(mask) for mask in inside], np.float32).reshape(-1, 4)
    return _first(_Masks(logits, scores[keep].cpu().numpy(), boxes))


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _together(found: Sequence[_Masks]) -> _Masks:
    """The masks of all chunks, each thing once."""
    import torch

    return _first(
        _Masks(
            torch.cat([part.logits for part in found]),
            np.concatenate([part.scores for part in found]),
            np.concatenate([part.boxes for part in found]),
        )
    )


def _first(masks: _Masks) -> _Masks:
    """Each thing once, the best first, at most a hundred."""
    kept = apart(masks.boxes, masks.scores, _SAME)[:_MOST]
    return _Masks(masks.logits[kept], masks.scores[kept], masks.boxes[kept])


def _within(box: dict[str, int], shape: tuple[int, int]) -> bool:
    """Whether a box stays clear of the picture's border."""
    return min(box["xmin"], box["ymin"]) > 0 and box["xmax"] < shape[1] and box["ymax"] < shape[0]
