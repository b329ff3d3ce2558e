"""Maps of depth and of surface normals, by depth models of transformers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners.pictures import PictureRunner, Seen, alone, bounded, seen

_METRIC = ("glpn", "zoedepth", "depth_pro")  # kinds of models that answer in metres
_UNSURE = ("prompt_depth_anything",)  # kinds that need a depth sensor's map beside the picture
_UNBOUNDED = 640 * 480  # pixels that a model is given whose processor keeps a picture's size
_NARROWEST = 8  # times as long as wide
_LEAST = 64  # pixels of its shorter side
_NORMAL_SIDE = 384  # shorter side of the map that normals are taken from, as in ControlNet
_NORMAL_RANGE = 2000.0  # from farthest to nearest, about what MiDaS answers with
_NORMAL_UP = np.float32(2 * np.pi)  # the normals' third coordinate before they are scaled, as in ControlNet
_FAR = 0.4  # what is farther than this share of the range gets a normal straight to the viewer


class DepthEstimator(PictureRunner):
    """Draws depth, near light and far dark, or surface normals.

    Some models answer in metres, near being small, others in inverse depth without a unit, near being large.
    A model is metric if its configuration says so (``depth_estimation_type``), if its kind always is (GLPN,
    ZoeDepth, DepthPro), or if it is a DPT over DINOv2, which was published for metres alone. A card's
    ``depth`` under ``defaults``, "metric" or "relative", overrules that.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import torch
        import transformers

        if self.card.dtype is None:
            self.dtype = torch.float32  # the steps of half precision show in normals
        self.model = self.load_model(transformers.AutoModelForDepthEstimation)
        kind = self.model.config.model_type
        if kind in _UNSURE:
            raise ExpertError(f"Models of the kind {kind} need a depth sensor's map beside the picture.")
        self._metric = metric(self.model.config, self.card.defaults.get("depth", ""))
        self._keeps = kind == "glpn"  # its processor only rounds a picture's sides
        self._padded = kind == "zoedepth"
        self.load_pictures()

    def ready(self, item: Input) -> Seen:
        """The picture, stretched where it is so narrow that a processor might round a side to nothing."""
        looked = seen(item)
        width, height = looked.small.size
        size = (max(width, -(-height // _NARROWEST)), max(height, -(-width // _NARROWEST)))
        return looked if size == (width, height) else replace(looked, small=looked.small.resize(size))

    def features(self, small: Any) -> dict[str, Any]:
        """The tensors of one picture."""
        return super().features(self._sized(small) if self._keeps else small)

    def infer(self, items: Sequence[Seen]) -> list[Result]:
        """The maps, of the pictures' own sizes."""
        made: list[Result] = [Result() for _ in items]
        for indices, tensors in self.batches([self.features(item.small) for item in items]):
            outputs = self.model(**tensors)
            for place, index in enumerate(indices):
                made[index] = self._answer(items[index], alone(outputs, place))
        return made

    def _answer(self, item: Seen, outputs: Any) -> Result:
        depth = self._depth(item, outputs)
        near = nearness(depth, self._metric)
        if item.task == "normal-control":
            return Result(image=Image(normals(near, item.shape)))
        data = None
        if self._metric:
            data = {"near": round(float(depth.min()), 2), "far": round(float(depth.max()), 2), "unit": "m"}
        return Result(
            image=Image(scaled(np.repeat((np.float32(255) * near)[:, :, None], 3, axis=2), item.shape)),
            data=data,
        )

    def _depth(self, item: Seen, outputs: Any) -> NDArray[np.float32]:
        """The model's own map, height × width, without what it was padded with."""
        width, height = item.small.size
        if self._padded:
            return _unpadded(outputs.predicted_depth[0].cpu().numpy(), (height, width))
        # Its own size: DepthPro brings its answer to metres only where a size is wanted.
        size = tuple(outputs.predicted_depth.shape[-2:])
        (found,) = self.processor.post_process_depth_estimation(outputs, target_sizes=[size])
        depth: NDArray[np.float32] = found["predicted_depth"].float().cpu().numpy()
        return depth

    @staticmethod
    def _sized(small: Any) -> Any:
        """The picture at a size that the model was trained for."""
        small = bounded(small, _UNBOUNDED)
        factor = max(1.0, _LEAST / min(small.size))
        return small.resize((round(small.width * factor), round(small.height * factor)))


def metric(config: Any, told: str = "") -> bool:
    """Whether a model answers in metres."""
    if told in ("metric", "relative"):
        return told == "metric"
    kind = getattr(config, "depth_estimation_type", None)
    if kind is not None:
        return bool(kind == "metric")
    backbone = getattr(config, "backbone_config", None)
    return config.model_type in _METRIC or getattr(backbone, "model_type", "") == "dinov2"


def nearness(depth: NDArray[np.float32], metric: bool) -> NDArray[np.float32]:
    """Depth as shares of a picture's own range: 1 is nearest, 0 farthest; a level map is 0.

    Metres become inverse depth, as the other models have it, without the outermost hundredths: a single
    pixel at a few centimetres would leave all else black.
    """
    near = depth.astype(np.float32)
    if metric:
        near = np.reciprocal(np.maximum(near, np.float32(1e-3)))
        near = np.clip(near, *np.percentile(near, (1, 99)).astype(np.float32))
    low, high = near.min(), near.max()
    if not np.isfinite(high - low):
        raise ExpertError("The model's depth is not finite; run it with dtype float32.")
    made: NDArray[np.float32] = (near - low) / max(high - low, np.float32(1e-12))
    return made


def normals(near: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A map of surface normals of height × width, as ControlNet's (arXiv 2302.05543) are made from MiDaS.

    Red is the slope to the right, green the slope downwards, blue points to the viewer; each from -1 to 1
    over 0 to 255. What is far away points straight to the viewer.
    """
    scale = _NORMAL_SIDE / min(near.shape)
    size = (max(1, round(near.shape[1] * scale)), max(1, round(near.shape[0] * scale)))
    near = _resized(near, size)
    slopes = [_sobel(near * np.float32(_NORMAL_RANGE), axis) for axis in (1, 0)]
    x, y = (np.where(near < _FAR, np.float32(0), slope) for slope in slopes)
    normal = np.stack((x, y, np.full_like(x, _NORMAL_UP)), axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return scaled(np.float32(127.5) * normal + np.float32(127.5), shape)


def _sobel(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Sobel's slope along an axis, 3 × 3, the border mirrored."""
    wide = np.pad(values, 1, mode="reflect" if min(values.shape) > 1 else "edge")
    step = np.swapaxes(wide, 0, axis)
    slope = step[2:] - step[:-2]
    made: NDArray[np.float32] = np.swapaxes(slope[:, :-2] + 2 * slope[:, 1:-1] + slope[:, 2:], 0, axis)
    return made


def _unpadded(depth: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """ZoeDepth's map without the margin that its processor put around a picture of height × width.

    The margin is 3 √(side / 2) pixels of the picture on each side.
    """
    cuts = []
    for side, length in zip(shape, depth.shape, strict=True):
        margin = int(3 * (side / 2) ** 0.5)
        cut = min(round(length * margin / (side + 2 * margin)), (length - 1) // 2)
        cuts.append(slice(cut, length - cut))
    return depth[tuple(cuts)]


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Numbers at another width × height."""
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(values).resize(size, Pillow.Resampling.BICUBIC))


def scaled(colours: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Colours from 0 to 255, height × width × 3, as a picture of another height and width."""
    from PIL import Image as Pillow

    small = Pillow.fromarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8))
    return np.asarray(small.resize((shape[1], shape[0]), Pillow.Resampling.BICUBIC))
