"""Pictures by diffusion: drawn from words, changed, and painted anew in part."""

import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError, InputError
from deployments.media import Image, rgb
from deployments.result import Input, Result
from deployments.runners.neural import picture
from deployments.runners.pipelines import DiffusionRunner, accepts, generators, sliced, tiled
from deployments.runners.single import image_of, text_of

MIN_SIDE, MAX_SIDE = 64, 2048
"""Bounds of a picture's sides that a call may ask for, in pixels."""

_TILED = 1.5  # of the native area, from where the autoencoder works in tiles on a GPU

_BATCHED = ("StableDiffusion", "Flux", "LatentConsistency", "PixArt")
"""Families (beginnings of their names) that take lists of prompts, pictures and noise."""

_ALONE = ("Kontext", "Union", "Adapter", "Flux2", "Upscale", "Fill", "StableDiffusion3ControlNet")
"""Those of them to which a list of pictures means something else, or that take none."""

_KNOBS = ("steps", "guidance", "strength", "control_strength", "width", "height")


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One picture to make.

    Attributes:
        pipe: the pipeline that makes it.
        options: arguments that a batch shares.
        each: arguments of this one alone, the same names for all of a batch.
        size: width and height that the model works at, None where the pipeline decides.
        seed: of its noise.
        canvas: the picture that is painted in, and where (True), if it is to come back unchanged elsewhere.

    """

    pipe: Any
    options: Mapping[str, Any]
    each: Mapping[str, Any]
    size: tuple[int, int] | None
    seed: int
    canvas: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None

    @property
    def kin(self) -> Hashable:
        """What requests of one model call share."""
        return id(self.pipe), tuple(sorted(self.options.items())), tuple(sorted(self.each)), self.size


@dataclass(slots=True)
class _Batch:
    """Requests of one model call, and where their answers go."""

    requests: list[Request] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


class PictureRunner(DiffusionRunner):
    """A diffusion runner whose results are pictures.

    Attributes:
        pipes: the pipeline of each of the card's tasks; they share their modules.

    """

    pipes: dict[str, Any]
    _warming = False

    def warm_up(self) -> None:
        """See ``NeuralRunner``; what the safety checker says of a picture of one step does not count."""
        self._warming = True
        try:
            super().warm_up()
        finally:
            self._warming = False

    def key(self, item: Input) -> Hashable:
        """See ``Runner``."""
        sizes = [value.pixels.shape[:2] for value in item.args.values() if isinstance(value, Image)]
        knobs = tuple(item.text(name) for name in _KNOBS)
        return item.task, knobs, bool(item.text("negative_prompt")), tuple(sizes)

    def infer(self, items: Sequence[Request]) -> list[Result | Exception]:
        """One call for each kind of request; a picture that the safety checker refuses is an error."""
        batches: dict[Hashable, _Batch] = {}
        for place, request in enumerate(items):
            kin = (request.kin, None if batched(request.pipe) else place)
            batch = batches.setdefault(kin, _Batch())
            batch.requests.append(request)
            batch.places.append(place)
        answers: dict[int, Result | Exception] = {}
        for batch in batches.values():
            answers |= zip(batch.places, self._pictures(batch.requests), strict=True)
        return [answers[place] for place in range(len(items))]

    def _pictures(self, requests: Sequence[Request]) -> list[Result | Exception]:
        first = requests[0]
        noise = generators([request.seed for request in requests])
        if len(requests) == 1:
            told, noise = dict(first.each), noise[0]
        else:
            told = {name: [request.each[name] for request in requests] for name in first.each}
        self._tile(first)
        found = self.called(first.pipe, **first.options, **told, generator=noise, output_type="pil")
        flags = getattr(found, "nsfw_content_detected", None) or [False] * len(requests)
        return [
            _refused() if flag and not self._warming else _result(request, image)
            for request, image, flag in zip(requests, found.images, flags, strict=True)
        ]

    def _tile(self, request: Request) -> None:
        """Decode what is larger than usual in tiles, and a batch one by one, to spare the GPU's memory."""
        if self.device != "cuda":
            return
        vae: Any = getattr(request.pipe, "vae", None)
        sliced(vae)
        width, height = request.size or (0, 0)
        tiled(vae, width * height > _TILED * native_side(request.pipe) ** 2)

    def wished(self, item: Input, pipe: Any) -> dict[str, int]:
        """Width and height as the call or the card gives them, such that the model can work at them.

        Raises:
            InputError: one is out of bounds.

        """
        step = unit(pipe)
        return {
            name: max(step, round(self.whole(item, name, 0, MIN_SIDE, MAX_SIDE) / step) * step)
            for name in ("width", "height")
            if self.given(item, name) and name in accepts(pipe)
        }


class Painter(PictureRunner):
    """text-to-image, image-to-image (by an instruction, where the model was made for it) and inpainting."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        own = self.pipeline()
        self.pipes = {}
        for task in self.card.tasks:
            cls = painter_class(task, type(own))
            _check_channels(task, cls, own)
            self.pipes[task] = own if cls is type(own) else self.sibling(cls, own)

    def ready(self, item: Input) -> Request:
        """See ``NeuralRunner``."""
        pipe = self.pipes[item.task]
        options, each = self.tuning(item, pipe), self.prompts(item, pipe, self._text(item, pipe))
        if item.task == "text-to-image":
            sizes = self.wished(item, pipe)
            size = (sizes["width"], sizes["height"]) if len(sizes) == 2 else None
            return Request(pipe, {**options, **sizes}, each, size, self.seed(item))
        options = {**options, **self._strength(item, pipe, options)}
        return self._changed(item, pipe, options, each)

    def _text(self, item: Input, pipe: Any) -> str:
        if "noise_level" in accepts(pipe):  # an upscaler, which words may guide
            return item.text()
        return text_of(item)

    def _changed(
        self, item: Input, pipe: Any, options: Mapping[str, Any], each: Mapping[str, Any]
    ) -> Request:
        source = image_of(item)
        pixels = rgb(source)
        takes, area = accepts(pipe), self._area(pipe)
        exact = "max_area" in takes  # it would enlarge the picture itself, to sizes of one model
        size = fitted((pixels.shape[1], pixels.shape[0]), area, unit(pipe), area if exact else area // 4)
        if {"width", "height"} <= takes.keys():
            options = {**options, "width": size[0], "height": size[1]}
        if exact:
            options = {**options, "max_area": size[0] * size[1], "_auto_resize": False}
        given = {**each, "image": picture(source).resize(size)}
        if item.task != "inpainting":
            return Request(pipe, options, given, size, self.seed(item))
        where = _painted(image_of(item, "mask"), pixels.shape[:2])
        given["mask_image"] = picture(Image(np.where(where, 255, 0).astype(np.uint8))).resize(size, 0)
        return Request(pipe, options, given, size, self.seed(item), (pixels, where))

    def _area(self, pipe: Any) -> int:
        """The most pixels that a changed picture has: the card's width and height, or the model's own."""
        sides = [self.card.defaults.get(name, "") for name in ("width", "height")]
        if all(side.isdecimal() for side in sides):
            return int(sides[0]) * int(sides[1])
        return native_side(pipe) ** 2

    def _strength(self, item: Input, pipe: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """How much of the picture is changed, and steps enough that one of them is taken."""
        takes = accepts(pipe)
        if "strength" not in takes:
            return {}
        strength = self.knob(item, "strength", takes["strength"].default, 0.01, 1)
        more: dict[str, Any] = {"strength": strength} if self.given(item, "strength") else {}
        steps = options.get("num_inference_steps", takes["num_inference_steps"].default)
        if int(steps * strength) < 1:
            more["num_inference_steps"] = math.ceil(1 / strength)
        return more


def painter_class(task: str, cls: Any) -> Any:
    """The class of pipelines that does ``task`` with a model whose own class is ``cls``.

    Raises:
        ExpertError: none does.

    """
    known = task in ("text-to-image", "image-to-image", "inpainting")
    found = None if not known else cls if _does(task, cls) else _relative(task, cls)
    if found is None or not _does(task, found):
        raise ExpertError(f"A {cls.__name__} cannot do {task}; give its card the tasks that it was made for.")
    return found


def batched(pipe: Any) -> bool:
    """Whether one call of a pipeline makes several pictures that differ in words, pictures and noise."""
    name = type(pipe).__name__
    return name.startswith(_BATCHED) and not any(part in name for part in _ALONE)


def unit(pipe: Any) -> int:
    """What a side of the pipeline's pictures is a multiple of, in pixels."""
    scale = _scale(pipe)
    net = getattr(pipe, "transformer", None)
    if net is None:
        return scale
    patch = getattr(net.config, "patch_size", 2)
    return scale * max(2, patch if isinstance(patch, int) else 2)


def native_side(pipe: Any) -> int:
    """The side of the square pictures that the model was trained on, in pixels."""
    unet = getattr(pipe, "unet", None)
    cells = getattr(pipe, "default_sample_size", None) or getattr(
        getattr(unet, "config", None), "sample_size", None
    )
    if not isinstance(cells, int):
        return 1024 if unet is None else 512
    # An upscaler's pictures are enlarged, which takes memory.
    return cells * (2 if "Upscale" in type(pipe).__name__ else _scale(pipe))


def fitted(size: tuple[int, int], area: int, step: int, least: int = 0) -> tuple[int, int]:
    """The size nearest to ``size`` of its shape with at most ``area`` pixels and at least about ``least``.

    Args:
        size: width and height in pixels.
        area: the most pixels.
        step: what both sides are multiples of.
        least: the fewest pixels, as far as multiples allow.

    """
    pixels = size[0] * size[1]
    scale = math.sqrt(min(max(1.0, least / pixels), area / pixels))
    wide, high = (max(step, min(MAX_SIDE, int(side * scale + 1e-6)) // step * step) for side in size)
    return wide, high


def _scale(pipe: Any) -> int:
    """Pixels to a cell of the latent picture, along a side."""
    names = ("vae_scale_factor", "movq_scale_factor", "vae_scale_factor_spatial")
    return int(next((getattr(pipe, name) for name in names if hasattr(pipe, name)), 8))


def _does(task: str, cls: Any) -> bool:
    """Whether the class does the task by what its call takes."""
    takes = accepts(cls).keys()
    if "num_images_per_prompt" not in takes or "prompt" not in takes:
        return False
    if takes & {"num_frames", "video", "layers", "control_image"} or any(
        "conditioning" in one for one in takes
    ):
        return False
    if task == "inpainting":
        return {"image", "mask_image"} <= takes
    if task == "image-to-image":
        return "image" in takes and "mask_image" not in takes
    return "mask_image" not in takes and ("image" not in takes or _relative(task, cls) is cls)


def _relative(task: str, cls: Any) -> Any:
    """The class of the same family for a task, as diffusers' own ``AutoPipeline`` classes know it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated features, when first imported
        from diffusers.pipelines import auto_pipeline as auto

    tables = {
        "text-to-image": auto.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        "image-to-image": auto.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        "inpainting": auto.AUTO_INPAINT_PIPELINES_MAPPING,
    }
    families = (name for table in tables.values() for name, known in table.items() if known is cls)
    return tables[task].get(next(families, ""))


def _check_channels(task: str, cls: Any, pipe: Any) -> None:
    """Refuse a network made for another kind of picture: one for inpainting takes more channels.

    Raises:
        ExpertError: it does not fit the task.

    """
    plain = cls.__name__.startswith(("StableDiffusion", "LatentConsistency")) and hasattr(pipe, "unet")
    if not plain or any(part in cls.__name__ for part in ("Pix2Pix", "Upscale")):
        return
    latent, found = pipe.vae.config.latent_channels, pipe.unet.config.in_channels
    if found not in ((latent, 2 * latent + 1) if task == "inpainting" else (latent,)):
        raise ExpertError(
            f"The model's network takes {found} channels where {task} gives {latent}, so it was made for "
            "another task, such as inpainting; give its card that one."
        )


def _painted(mask: Image, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a mask is white, at the picture's size.

    Raises:
        InputError: nowhere.

    """
    grown = picture(mask).convert("L").resize((shape[1], shape[0]), 0)
    where = np.asarray(grown) > 127
    if not where.any():
        raise InputError("The mask is black all over; make white what is to be painted anew.")
    return where


def _result(request: Request, image: Any) -> Result:
    made = image.convert("RGB")
    if request.canvas is None:
        return Result(image=Image(np.asarray(made)), data={"seed": request.seed})
    pixels, where = request.canvas
    made = np.asarray(made.resize((pixels.shape[1], pixels.shape[0])))
    return Result(image=Image(np.where(where[:, :, None], made, pixels)), data={"seed": request.seed})


def _refused() -> InputError:
    return InputError("The model's safety checker refused this picture; ask for something else.")
