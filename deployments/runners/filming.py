"""Videos by diffusion: from words, and from a picture set in motion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError, InputError
from deployments.media import Video
from deployments.result import Input, Result
from deployments.runners.diffusion import MAX_SIDE, MIN_SIDE, fitted
from deployments.runners.neural import picture
from deployments.runners.pipelines import INDEX, DiffusionRunner, accepts, generators, tiled
from deployments.runners.single import image_of, text_of

MAX_FRAMES = 257

_DECODED = 4  # frames at once, where a pipeline decodes them in chunks: all together fill the memory

_RATES = {
    "StableVideoDiffusion": 7,
    "Wan": 16,
    "CogVideoX": 8,
    "TextToVideo": 8,
    "AnimateDiff": 8,
    "HunyuanVideo": 24,
    "Mochi": 30,
    "Allegro": 15,
    "Kandinsky": 24,
    "Sana": 16,
}
"""Frames a second that families were trained at, by the beginning of their names."""

_SIBLINGS = {
    ("text-to-video", "LTXImageToVideoPipeline"): "LTXPipeline",
    ("image-to-video", "LTXPipeline"): "LTXImageToVideoPipeline",
    ("text-to-video", "LTX2ImageToVideoPipeline"): "LTX2Pipeline",
    ("image-to-video", "LTX2Pipeline"): "LTX2ImageToVideoPipeline",
    ("image-to-video", "WanPipeline"): "WanImageToVideoPipeline",
}
"""Pipelines over the same weights for the other task."""

_MOTION: dict[str, Any] = {
    "clip_sample": False,
    "timestep_spacing": "linspace",
    "beta_schedule": "linear",
    "steps_offset": 1,
}
"""The noise that AnimateDiff's motion modules were trained with (arXiv 2307.04725)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One video to make: the pipeline, its arguments, the seed and frames a second."""

    pipe: Any
    arguments: Mapping[str, Any]
    seed: int
    rate: float


class Filmmaker(DiffusionRunner):
    """text-to-video and image-to-video; a motion adapter moves the card's part ``base``.

    Videos are made one by one: each fills the memory as a batch of pictures does.
    """

    pipes: dict[str, Any]

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import diffusers

        own = self.pipeline() if (self.folder / INDEX).is_file() else self._animated()
        self.pipes = {}
        for task in self.card.tasks:
            name = type(own).__name__
            cls = getattr(diffusers, _SIBLINGS.get((task, name), name))
            if not _does(task, cls) or not _fits(cls, own):
                raise ExpertError(
                    f"A {name} cannot do {task} with this model; give its card the tasks it was made for."
                )
            self.pipes[task] = own if cls is type(own) else self.sibling(cls, own)
        if self.device == "cuda":
            tiled(getattr(own, "vae", None))

    def ready(self, item: Input) -> Scene:
        """See ``NeuralRunner``."""
        pipe = self.pipes[item.task]
        takes = accepts(pipe)
        moving = item.task == "image-to-video"
        text = item.text() if moving else text_of(item)
        told = {**self.tuning(item, pipe), **self.prompts(item, pipe, text), **self._frames(item, pipe)}
        size = self._size(item, pipe)
        if moving:
            from PIL import ImageOps

            shown = picture(image_of(item))
            size = size or fitted(shown.size, _area(pipe), _unit(pipe), _area(pipe))
            told["image"] = ImageOps.fit(shown, size)
        if size and {"width", "height"} <= takes.keys():
            told |= {"width": size[0], "height": size[1]}
        if "decode_chunk_size" in takes:
            told["decode_chunk_size"] = _DECODED
        rate = self.knob(item, "fps", _rate(pipe), 1, 60)
        if "frame_rate" in takes:
            told["frame_rate"] = rate
        elif "fps" in takes and self.given(item, "fps"):
            told["fps"] = round(rate)
        return Scene(pipe, told, self.seed(item), rate)

    def infer(self, items: Sequence[Scene]) -> list[Result]:
        """One call for each video."""
        return [self._film(scene) for scene in items]

    def _film(self, scene: Scene) -> Result:
        (noise,) = generators([scene.seed])
        found = self.called(scene.pipe, **scene.arguments, generator=noise, output_type="np")
        return Result(video=Video(_pixels(found.frames), float(scene.rate)), data={"seed": scene.seed})

    def _frames(self, item: Input, pipe: Any) -> dict[str, int]:
        """How many frames, as the pipeline calls and counts them."""
        if not self.given(item, "frames"):
            return {}
        name = next((one for one in ("num_frames", "frames", "video_length") if one in accepts(pipe)), None)
        if name is None:
            return {}
        most = getattr(getattr(pipe, "motion_adapter", None), "config", {}).get("motion_max_seq_length")
        wished, step = self.whole(item, "frames", 1, 1, most or MAX_FRAMES), _stride(pipe)
        return {name: max(1, round((wished - 1) / step)) * step + 1 if step > 1 else wished}

    def _size(self, item: Input, pipe: Any) -> tuple[int, int] | None:
        """Width and height as asked for, None where the model decides; one alone is paired with its own."""
        own = _own_size(pipe)
        given = {name: self.given(item, name) for name in ("width", "height")}
        if not any(given.values()):
            return own if type(pipe).__name__.startswith("CogVideoX") else None
        step = _unit(pipe)
        wide, high = (
            max(step, round(self.whole(item, name, side, MIN_SIDE, MAX_SIDE) / step) * step)
            if given[name]
            else side
            for name, side in zip(("width", "height"), own, strict=True)
        )
        return wide, high

    def _animated(self) -> Any:
        """A Stable Diffusion with the card's motion adapter.

        Raises:
            ExpertError: there is no adapter, or no model that it could move.

        """
        import diffusers

        if "base" not in self.parts:
            raise ExpertError(
                f"{self.card.id} has no {INDEX}. If it is a motion adapter, name the model that it moves in "
                'its card as parts = {"base": "owner/name"}; else take a repository in diffusers\' format.'
            )
        base = self.pipeline(self.parts["base"])
        kind = type(base).__name__
        cls = {
            "StableDiffusionPipeline": diffusers.AnimateDiffPipeline,
            "StableDiffusionXLPipeline": diffusers.AnimateDiffSDXLPipeline,
        }.get(kind)
        if cls is None:
            raise ExpertError(
                f"A motion adapter cannot move a {kind}; give its card a Stable Diffusion as base."
            )
        adapter = self.network(diffusers.MotionAdapter, self.folder)
        scheduler = diffusers.DDIMScheduler.from_config(base.scheduler.config, **_MOTION)
        return self.sibling(cls, base, motion_adapter=adapter, scheduler=scheduler)


def _does(task: str, cls: Any) -> bool:
    """Whether the class does the task by what its call takes."""
    takes = accepts(cls)
    if not takes.keys() & {"num_frames", "frames", "video_length"} or "video" in takes:
        return False
    if any("control" in name or "conditioning_frames" in name for name in takes):
        return False
    return ("image" in takes) == (task == "image-to-video")


def _fits(cls: Any, pipe: Any) -> bool:
    """Whether the model's network sees a picture if the class shows it one, in Wan's family."""
    if cls.__name__ != "WanImageToVideoPipeline":
        return True
    net = pipe.transformer or pipe.transformer_2
    return bool(pipe.config.get("expand_timesteps") or net.config.in_channels > net.config.out_channels)


def _first(pipe: Any, *names: str) -> int | None:
    return next(
        (int(getattr(pipe, name)) for name in names if isinstance(getattr(pipe, name, None), int)), None
    )


def _scale(pipe: Any) -> int:
    """Pixels to a cell of the latent video, along a side."""
    names = ("vae_scale_factor_spatial", "vae_spatial_scale_factor", "vae_scale_factor")
    return _first(pipe, "vae_spatial_compression_ratio", *names) or 8


def _unit(pipe: Any) -> int:
    """What a side of the pipeline's frames is a multiple of, in pixels."""
    net = getattr(pipe, "transformer", None)
    if net is None or hasattr(pipe, "vae_spatial_compression_ratio"):
        return _scale(pipe)
    patch = net.config.get("patch_size", 2)
    return _scale(pipe) * max(2, patch if isinstance(patch, int) else patch[-1])


def _stride(pipe: Any) -> int:
    """How many frames share a cell of the latent video; 1 where each has its own."""
    names = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio", "vae_temporal_scale_factor")
    return _first(pipe, *names) or 1


def _own_size(pipe: Any) -> tuple[int, int]:
    """Width and height of the videos that the model was trained on."""
    takes = accepts(pipe)
    wide, high = (takes[name].default if name in takes else None for name in ("width", "height"))
    if isinstance(wide, int) and isinstance(high, int):
        return wide, high
    config = (getattr(pipe, "transformer", None) or pipe.unet).config
    wide, high = (
        config.get(f"sample_{name}") or config.get("sample_size") or 64 for name in ("width", "height")
    )
    if isinstance(wide, Sequence):
        wide, high = wide[-1], wide[0]
    return wide * _scale(pipe), high * _scale(pipe)


def _area(pipe: Any) -> int:
    wide, high = _own_size(pipe)
    return wide * high


def _rate(pipe: Any) -> float:
    """The frames a second that the model was trained at."""
    takes, name = accepts(pipe), type(pipe).__name__
    if "frame_rate" in takes:
        return float(takes["frame_rate"].default)
    if pipe.config.get("expand_timesteps"):
        return 24  # Wan 2.2's small model
    known = next((rate for family, rate in _RATES.items() if name.startswith(family)), None)
    return known or (float(takes["fps"].default) if "fps" in takes else 16)


def _pixels(frames: Any) -> NDArray[np.uint8]:
    """The one video of a pipeline's answer, n × height × width × 3.

    Raises:
        InputError: there are no frames.

    """
    found: NDArray[Any] = np.stack([np.asarray(one) for one in frames[0]]) if len(frames) else np.zeros(0)
    if not found.size:
        raise InputError("The model made no frames; ask for more of them.")
    level = found if found.dtype == np.uint8 else (found.clip(0, 1) * 255).round()
    return level.astype(np.uint8)
