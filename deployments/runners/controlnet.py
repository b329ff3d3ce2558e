"""Pictures drawn from words and a control map: ControlNet (arXiv 2302.05543) and T2I-Adapter (2302.08453).

The card is the ControlNet; the model that it steers is the card's part ``base``.
"""

import json
from typing import Any

import numpy as np

from deployments.errors import ExpertError
from deployments.media import Image, rgb
from deployments.result import Input
from deployments.runners.diffusion import PictureRunner, Request, fitted, native_side, unit
from deployments.runners.neural import picture
from deployments.runners.pipelines import accepts
from deployments.runners.single import image_of, text_of

_PIPELINES = {
    ("ControlNetModel", "StableDiffusionPipeline"): "StableDiffusionControlNetPipeline",
    ("ControlNetModel", "StableDiffusionXLPipeline"): "StableDiffusionXLControlNetPipeline",
    ("ControlNetUnionModel", "StableDiffusionXLPipeline"): "StableDiffusionXLControlNetUnionPipeline",
    ("T2IAdapter", "StableDiffusionPipeline"): "StableDiffusionAdapterPipeline",
    ("T2IAdapter", "StableDiffusionXLPipeline"): "StableDiffusionXLAdapterPipeline",
    ("SD3ControlNetModel", "StableDiffusion3Pipeline"): "StableDiffusion3ControlNetPipeline",
    ("FluxControlNetModel", "FluxPipeline"): "FluxControlNetPipeline",
    ("QwenImageControlNetModel", "QwenImagePipeline"): "QwenImageControlNetPipeline",
    ("HunyuanDiT2DControlNetModel", "HunyuanDiTPipeline"): "HunyuanDiTControlNetPipeline",
}
"""The pipeline that joins a network of control with a base model."""

_MODES = {
    # As xinsir's ControlNet++ was trained (github.com/xinsir6/ControlNetPlus).
    "ControlNetUnionModel": {
        "openpose": 0,
        "depth": 1,
        "hed": 2,
        "canny": 3,
        "mlsd": 3,
        "normal": 4,
        "seg": 5,
    },
    # As InstantX' union for FLUX.1 was trained; the other kinds of maps are none of ours.
    "FluxControlNetModel": {"canny": 0, "depth": 2, "openpose": 4},
}
"""The number under which a network of several kinds knows a task's map."""


class ControlledPainter(PictureRunner):
    """The ``*-text-to-image`` tasks of control maps; the map is used as it comes."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import diffusers

        if "base" not in self.parts:
            raise ExpertError(
                f"{self.card.id} steers another model; name that one in its card as parts = "
                '{"base": "owner/name"}, for instance stable-diffusion-v1-5/stable-diffusion-v1-5.'
            )
        kind = self._kind()
        base = self.pipeline(self.parts["base"])
        name = _PIPELINES.get((kind, type(base).__name__))
        if name is None:
            raise ExpertError(
                f"A {kind} cannot steer a {type(base).__name__}; give its card a base of its own family."
            )
        net = self.network(getattr(diffusers, kind), self.folder)
        _check_width(net, base)
        self.grey = kind == "T2IAdapter" and net.config.in_channels == 1
        self._modes = self._numbers(kind, net)
        role = "adapter" if kind == "T2IAdapter" else "controlnet"
        pipe = self.sibling(getattr(diffusers, name), base, **{role: net})
        self.pipes = dict.fromkeys(self.card.tasks, pipe)

    def ready(self, item: Input) -> Request:
        """See ``NeuralRunner``."""
        pipe = self.pipes[item.task]
        takes = accepts(pipe)
        options, each = self.tuning(item, pipe), self.prompts(item, pipe, text_of(item))
        control = image_of(item)
        width, height = self._size(item, pipe, control)
        options |= {"width": width, "height": height}
        strength = "controlnet_conditioning_scale"
        if self.given(item, "control_strength"):
            name = strength if strength in takes else "adapter_conditioning_scale"
            options[name] = self.knob(item, "control_strength", 1, 0, 2)
        if self._modes:
            options["control_mode"] = self._modes[item.task]
        drawn = picture(control).resize((width, height))
        each["control_image" if "control_image" in takes else "image"] = (
            drawn.convert("L") if self.grey else drawn
        )
        return Request(pipe, options, each, (width, height), self.seed(item))

    def _size(self, item: Input, pipe: Any, control: Image) -> tuple[int, int]:
        """The sides that the call asks for; for those left open, the map's shape at the model's own size."""
        high, wide = rgb(control).shape[:2]
        area = native_side(pipe) ** 2
        size = fitted((wide, high), area, unit(pipe), area // 4)
        wished = self.wished(item, pipe)
        return wished.get("width", size[0]), wished.get("height", size[1])

    def _kind(self) -> str:
        try:
            found = json.loads((self.folder / "config.json").read_text("utf-8")).get("_class_name")
        except (OSError, ValueError, AttributeError):
            found = None
        if found not in {kind for kind, _ in _PIPELINES}:
            raise ExpertError(
                f"{self.card.id} is no ControlNet in diffusers' format (its config.json names "
                f"{found or 'no class'}); for plain text-to-image give its card the runner 'diffusion'."
            )
        return str(found)

    def _numbers(self, kind: str, net: Any) -> dict[str, int]:
        """The number of each task's map, none where the network knows one kind alone.

        Raises:
            ExpertError: it knows several, and a task's is not among them.

        """
        count = net.config.get("num_control_type") or net.config.get("num_mode")
        if not count:
            return {}
        found = {
            task: _MODES[kind].get(task.removesuffix("-text-to-image"), count) for task in self.card.tasks
        }
        unknown = [task for task, mode in found.items() if mode >= count]
        if unknown:
            raise ExpertError(
                f"{self.card.id} knows no maps for {', '.join(unknown)}; take them off its card."
            )
        return found


def _check_width(net: Any, base: Any) -> None:
    """Refuse a network made for a base of another size, as Stable Diffusion 1.5's for 2.1.

    Raises:
        ExpertError: they do not fit.

    """
    made = net.config.get("cross_attention_dim")
    unet = getattr(base, "unet", None)
    if made and unet is not None and made != unet.config.cross_attention_dim:
        raise ExpertError(
            f"The ControlNet was made for texts {np.max(made)} wide, and the base's are "
            f"{np.max(unet.config.cross_attention_dim)}; give its card the base that it was trained with."
        )
