"""Pipelines of diffusers: what is loaded, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers as df
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.runners import pipelines
from deployments.runners.diffusion import Painter
from deployments.runners.pipelines import fresh, hushed, sliced, tiled
from deployments.runners.registry import resolve
from tests.support.neural import ask, model_card, shared
from tests.support.tiny import diffusion, films, text, tiny


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A Stable Diffusion that a test may spoil."""
    return Path(shutil.copytree(tiny(diffusion.stable), tmp_path / "model"))


def _load(folder: Path, *tasks: str, **fields: Any) -> Painter:
    runner = resolve("diffusion")()
    assert isinstance(runner, Painter)
    runner.load(model_card("diffusion", folder, *(tasks or ("text-to-image",)), **fields), "cpu")
    return runner


def _change_index(folder: Path, **changes: Any) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text("utf-8")), **changes}), "utf-8")


def test_missing_and_unknown_weights_of_a_component_are_refused_by_name(copy: Path) -> None:
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({**weights, "stray.weight": np.zeros(3, np.float32)}, file)
    with pytest.raises(ExpertError, match=r"AutoencoderKL of tiny/model: .*unexpected: stray\.weight"):
        _load(copy)
    assert _load(copy, spare_weights=("stray.*",)).pipes
    save_file({name: value for name, value in weights.items() if name != "decoder.conv_in.bias"}, file)
    with pytest.raises(ExpertError, match=r"decoder\.conv_in\.bias"):
        _load(copy)


def test_weights_missing_in_a_text_encoder_are_refused(copy: Path) -> None:
    file = copy / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    gone = next(name for name in weights if name.endswith("final_layer_norm.bias"))
    save_file({name: value for name, value in weights.items() if name != gone}, file, {"format": "pt"})
    with pytest.raises(
        ExpertError, match=r"CLIPTextModel of tiny/model: .*missing: .*final_layer_norm\.bias"
    ):
        _load(copy)


def test_pickled_weights_are_never_loaded(copy: Path) -> None:
    unet = copy / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    with pytest.raises(ExpertError, match="UNet2DConditionModel of tiny/model"):
        _load(copy)


def test_weights_saved_in_half_precision_alone_are_found() -> None:
    runner = shared("diffusion", diffusion.halves, "text-to-image")
    assert (tiny(diffusion.halves) / "unet" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    assert ask(runner, "text-to-image", text="a cat", steps="2").image


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"_class_name": "NoSuchPipeline"}, "has no pipeline 'NoSuchPipeline'"),
        ({"_class_name": ["my_pipeline", "MyPipeline"]}, "has no pipeline|remote code"),
        ({"_class_name": "UNet2DConditionModel"}, "has no pipeline 'UNet2DConditionModel'"),
        ({"unet": ["my_unet", "MyUNet"]}, r"needs my_unet\.MyUNet|remote code"),
        ({"unet": ["os", "path"]}, r"needs os\.path|remote code"),
        ({"unet": [None, None], "_class_name": "TextToVideoSDPipeline"}, "cannot do text-to-image"),
    ],
)
def test_code_of_the_models_own_is_refused(copy: Path, changes: dict[str, Any], told: str) -> None:
    _change_index(copy, **changes)
    with pytest.raises(ExpertError, match=told):
        _load(copy)


def test_a_component_that_the_index_lacks_is_named(copy: Path) -> None:
    index = json.loads((copy / "model_index.json").read_text("utf-8"))
    del index["vae"]
    (copy / "model_index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(ExpertError, match="A StableDiffusionPipeline needs vae, which the model lacks"):
        _load(copy)


def test_a_folder_without_an_index_is_no_pipeline() -> None:
    with pytest.raises(ExpertError, match=r"no usable model_index\.json"):
        _load(tiny(text.classifier))


def test_a_pipeline_that_mends_texts_needs_ftfy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "find_spec", lambda _: None)
    with pytest.raises(ExpertError, match=r"WanImageToVideoPipeline needs ftfy: pip install .*\[models\]"):
        resolve("video-diffusion")().load(
            model_card("video-diffusion", tiny(films.wan_from_pictures), "image-to-video"), "cpu"
        )
    assert _load(tiny(diffusion.stable)).pipes  # which takes texts as they are


def test_only_autoencoders_that_know_tiles_and_slices_are_asked_for_them() -> None:
    plain = df.VQModel(block_out_channels=(8,), norm_num_groups=4)
    assert not hasattr(plain, "use_tiling")
    for vae in (plain, None):
        sliced(vae)
        tiled(vae)
        tiled(vae, False)
    assert not hasattr(plain, "use_tiling")
    able = df.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    sliced(able)
    tiled(able)
    assert able.use_slicing
    assert able.use_tiling
    tiled(able, False)
    assert not able.use_tiling


def test_every_call_has_a_scheduler_of_its_own_over_the_same_network() -> None:
    runner = shared("diffusion", diffusion.stable, "text-to-image", "image-to-image", "inpainting")
    assert isinstance(runner, Painter)
    pipe = runner.pipes["text-to-image"]
    with hushed():
        one, other = fresh(pipe), fresh(pipe)
    assert one.unet is other.unet is pipe.unet is runner.pipes["inpainting"].unet
    assert len({id(made.scheduler) for made in (one, other, pipe)}) == 3
    assert one.scheduler.config == pipe.scheduler.config


def test_a_call_ends_within_one_step_and_leaves_no_trace() -> None:
    runner = _load(tiny(diffusion.stable))
    asked = {"text": "a cat", "seed": "1", "steps": "4"}
    before = ask(runner, "text-to-image", **asked).image
    unet, passes = runner.pipes["text-to-image"].unet, []

    def count(*_: Any) -> None:
        passes.append(1)
        if len(passes) == 2:
            runner.stop()

    hook = unet.register_forward_hook(count)
    with pytest.raises(StoppedError):
        ask(runner, "text-to-image", **asked)
    assert len(passes) == 2
    hook.remove()
    runner.stopping.clear()
    after = ask(runner, "text-to-image", **asked).image
    assert before is not None
    assert after is not None
    assert (before.pixels == after.pixels).all()


@pytest.mark.parametrize(
    ("knob", "value", "told"),
    [
        ("steps", "0", "steps must be a number from 1 to 200"),
        ("steps", "1.5", "steps must be a whole number"),
        ("guidance", "lots", "guidance must be a number from 0 to 50"),
        ("seed", "-1", "seed must be a number from 0"),
    ],
)
def test_knobs_out_of_bounds_are_refused(knob: str, value: str, told: str) -> None:
    runner = shared("diffusion", diffusion.stable, "text-to-image", "image-to-image", "inpainting")
    with pytest.raises(InputError, match=told):
        ask(runner, "text-to-image", **{"text": "a cat", knob: value})
