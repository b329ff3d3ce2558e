"""What a pipeline of diffusers holds while it draws, by the configurations of its networks.

A picture is drawn in three steps: its words are read, noise is taken away (with guidance, each picture counts
twice), and the latent picture is decoded. The largest of the three is the pipeline's.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from deployments.sizing.stage import Unrehearsed, Work, built, entered, floats, numbers, ones, peak, stage
from model_catalog.card import ModelCard

_CELLS = 128  # along a side of a latent picture, where the denoiser does not say
_SCALE = 8  # pixels to a cell of the latent picture, where the decoder does not say
_LONGEST_WORDS = 512  # tokens that pipelines give to T5


def work(card: ModelCard, folder: Path, base: Path | None, dtype: Any) -> Work:
    """What the largest call of a card's pipeline holds.

    Args:
        card: the model's card.
        folder: of the pipeline, or of a ControlNet, vetted.
        base: of the pipeline that a ControlNet steers.
        dtype: the torch type of its numbers.

    Raises:
        Unrehearsed: it cannot be told without running it.

    """
    if any(task.endswith(("-video", "-audio")) for task in card.tasks):
        raise Unrehearsed("what a film or a sound takes hangs on its length")
    named = _read((base or folder) / "model_index.json").get("_class_name")
    parts = _parts(base or folder, dtype)
    if base is not None:
        parts["controlnet"] = _network(folder, dtype)
    denoiser = parts.get("unet") or parts.get("transformer")
    decoder = parts.get("vae")
    if denoiser is None or decoder is None:
        raise Unrehearsed("its pipeline has no denoiser and decoder of the usual kinds")
    upcast = dtype is torch.float16 and bool(decoder.config.get("force_upcast"))
    with stage():
        for part in parts.values():
            entered(part)
        if upcast:  # as pipelines do: it loses too much in float16
            decoder.to(torch.float32)
        plan = _Plan(card, parts, 3 if "Pix2Pix" in str(named) else 2)
        count = sum(map(numbers, parts.values()))
        return Work(max(plan.read(), plan.denoised(), plan.decoded()), numbers=count)


def _parts(folder: Path, dtype: Any) -> dict[str, Any]:
    """The networks of a pipeline by name."""
    index = _read(folder / "model_index.json")
    named = {name: value for name, value in index.items() if isinstance(value, list) and value and value[0]}
    return {
        name: _network(folder / name, dtype)
        for name in named
        if (folder / name / "config.json").is_file()
        and name.startswith(("unet", "transformer", "vae", "text_"))
    }


def _network(folder: Path, dtype: Any) -> Any:
    """A network of diffusers or transformers, without contents."""
    import diffusers
    import transformers

    config: Any = _read(folder / "config.json")
    named = config.get("_class_name") or (config.get("architectures") or [""])[0]
    for library in (diffusers, transformers):
        cls: Any = getattr(library, str(named), None)
        if _is(cls, diffusers.ModelMixin):
            return built(partial(cls.from_config, config), dtype)
        if _is(cls, transformers.PreTrainedModel):
            config = cls.config_class.from_pretrained(folder, local_files_only=True)
            return built(partial(cls._from_config, config, dtype=dtype), dtype)
    raise Unrehearsed(f"the installed libraries have no {named}")


def _is(cls: Any, kind: type) -> bool:
    return isinstance(cls, type) and issubclass(cls, kind)


def _read(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unrehearsed(f"{path.name} cannot be read") from error
    if not isinstance(read, dict):
        raise Unrehearsed(f"{path.name} holds no table")
    return read


class _Plan:
    """A batch of pictures: their size, and the three steps."""

    def __init__(self, card: ModelCard, parts: Mapping[str, Any], guided: int) -> None:
        """Take the networks by name, and how often guidance has a picture denoised at each step."""
        self.parts, self.batch = parts, card.batch_size
        self.rows = guided * card.batch_size
        self.denoiser: Any = parts.get("unet") or parts["transformer"]
        self.decoder: Any = parts["vae"]
        blocks = self.decoder.config.get("block_out_channels") or ()
        self.scale = 2 ** (len(blocks) - 1) if blocks else _SCALE
        told = [card.defaults.get(name, "") for name in ("height", "width")]
        native = self.denoiser.config.get("sample_size")
        side = native if isinstance(native, int) else _CELLS
        own = [int(one) // self.scale for one in told if one.isdecimal()]
        self.height, self.width = own if len(own) == 2 else (side, side)

    def read(self) -> int:
        """The most that an encoder of words holds."""
        held = [0]
        for name, part in self.parts.items():
            if name.startswith("text_encoder"):
                longest = getattr(part.config, "max_position_embeddings", None) or _LONGEST_WORDS
                words = ones(self.batch, min(longest, _LONGEST_WORDS))
                held.append(peak(part, part, {"input_ids": words})[0])
        return max(held)

    def denoised(self) -> int:
        """What one step of the denoiser holds, a ControlNet's with it."""
        kind = type(self.denoiser).__name__
        make = {
            "UNet2DConditionModel": self._unet,
            "SD3Transformer2DModel": self._sd3,
            "FluxTransformer2DModel": self._flux,
        }.get(kind)
        if make is None:
            raise Unrehearsed(f"no step of a {kind} is known")
        return int(make())

    def decoded(self) -> int:
        """What the decoder holds: pictures are decoded one by one and then joined."""
        decoder = self.decoder
        if hasattr(decoder, "use_slicing"):
            decoder.enable_slicing()
        channels = decoder.config.get("latent_channels", 4)
        latent = floats(decoder, self.batch, channels, self.height, self.width)
        return peak(decoder, partial(decoder.decode, return_dict=False), {"z": latent})[0]

    def _unet(self) -> int:
        net, rows = self.denoiser, self.rows
        config = net.config
        sample = floats(net, rows, config.in_channels, self.height, self.width)
        words = floats(net, rows, 77, _one(config.cross_attention_dim))
        given: dict[str, Any] = {"encoder_hidden_states": words}
        if config.get("addition_embed_type") == "text_time":
            width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            given["added_cond_kwargs"] = {
                "text_embeds": floats(net, rows, width),
                "time_ids": floats(net, rows, 6),
            }
        if config.get("time_cond_proj_dim"):
            given["timestep_cond"] = floats(net, rows, config.time_cond_proj_dim)
        if config.get("num_class_embeds"):
            given["class_labels"] = ones(rows)
        control = self.parts.get("controlnet")
        if control is None:
            return peak(net, net, {"sample": sample, "timestep": torch.tensor(1), **given})[0]
        return self._steered(control, sample, given)

    def _steered(self, control: Any, sample: Any, given: Mapping[str, Any]) -> int:
        if type(control).__name__ != "ControlNetModel":
            raise Unrehearsed(f"no step of a {type(control).__name__} is known")
        rows, net = len(sample), self.denoiser
        latent = sample[:, : control.config.in_channels]
        shown = floats(control, rows, 3, self.scale * self.height, self.scale * self.width)
        both = torch.nn.ModuleList([net, control])

        def step(shown: Any, sample: Any, given: Any) -> Any:
            down, middle = control(latent, torch.tensor(1), controlnet_cond=shown, return_dict=False, **given)
            more = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            return net(sample, torch.tensor(1), **given, **more)

        return peak(both, step, {"shown": shown, "sample": sample, "given": given})[0]

    def _sd3(self) -> int:
        net, rows = self.denoiser, self.rows
        config = net.config
        given = {
            "hidden_states": floats(net, rows, config.in_channels, self.height, self.width),
            "encoder_hidden_states": floats(net, rows, 333, config.joint_attention_dim),
            "pooled_projections": floats(net, rows, config.pooled_projection_dim),
            "timestep": ones(rows),
        }
        return peak(net, net, given)[0]

    def _flux(self) -> int:
        net, rows = self.denoiser, self.batch  # its guidance is a number that it reads
        config = net.config
        cells = (self.height // 2) * (self.width // 2)
        given = {
            "hidden_states": floats(net, rows, cells, config.in_channels),
            "encoder_hidden_states": floats(net, rows, _LONGEST_WORDS, config.joint_attention_dim),
            "pooled_projections": floats(net, rows, config.pooled_projection_dim),
            "timestep": floats(net, rows),
            "img_ids": floats(net, cells, 3),
            "txt_ids": floats(net, _LONGEST_WORDS, 3),
        }
        if config.guidance_embeds:
            given["guidance"] = floats(net, rows)
        return peak(net, net, given)[0]


def _one(value: Any) -> int:
    """A width that some configurations give for each block."""
    return int(value[0] if isinstance(value, list | tuple) else value)
