"""Configurations are read before any loader sees them."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployments import vetting
from deployments.errors import ExpertError


def _folder(tmp_path: Path, name: str, content: Any) -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Mine"}}, r"remote code \(auto_map in config"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}, "remote code"),
        ("preprocessor_config.json", {"auto_map": {"AutoProcessor": "a.B"}}, "remote code"),
        ("config.json", {"text_config": {"inner": [{"auto_map": {"AutoConfig": "x.Y"}}]}}, "auto_map"),
        ("config.json", {"custom_pipelines": {"mine": {"impl": "mine.Pipe"}}}, "custom_pipelines"),
        ("config.json", {"keypoint_detector_config": {"trust_remote_code": True}}, "trust_remote_code"),
        ("config.json", {"trust_remote_code": "yes"}, "trust_remote_code"),
        ("config.json", {"_attn_implementation_internal": "owner/kernel"}, "_attn_implementation_internal"),
        ("config.json", {"x": {"_attn_implementation_internal": None}}, "_attn_implementation_internal"),
        ("config.json", {"_experts_implementation_internal": "eager"}, "_experts_implementation_internal"),
        ("config.json", {"attn_implementation": "owner/kernel"}, "code of the Hub"),
        ("config.json", {"_attn_implementation": "owner/kernel@v1:attention"}, "code of the Hub"),
        ("config.json", {"attn_implementation": {"text_config": "owner/kernel"}}, "code of the Hub"),
        ("generation_config.json", {"custom_generate": "owner/decoder"}, "custom_generate"),
        ("unet/config.json", {"_class_name": "X", "auto_map": {"AutoModel": "a.B"}}, r"in unet/config\.json"),
        ("model_index.json", {"_class_name": ["pipeline", "Mine"]}, "_class_name"),
        ("model_index.json", {"_class_name": "Pipe", "unet": ["mine", "Mine"]}, "takes unet from 'mine'"),
        ("model_index.json", {"_class_name": "Pipe", "unet": ["../x", "Mine"]}, "takes unet from"),
        ("model_index.json", {"_class_name": "Pipe", "unet": ["diffusers", "a.b"]}, "under unet"),
        ("model_index.json", {"_class_name": "Pipe", "../x": ["diffusers", "Unet"]}, "under ../x"),
        ("model_index.json", {"_class_name": "Pipe", "unet": ["diffusers"]}, "describes unet"),
        ("model_index.json", {"_class_name": "Pipe", "custom_pipeline": "mine"}, "custom_pipeline"),
        ("model_index.json", ["diffusers"], "no description"),
        (
            "model.safetensors.index.json",
            {"weight_map": {"w": "../../other.safetensors"}},
            "outside the model",
        ),
        ("model.safetensors.index.json", {"weight_map": {"w": "/etc/x.safetensors"}}, "outside the model"),
        ("model.safetensors.index.json", [], "no index"),
    ],
)
def test_what_could_run_code_is_refused(tmp_path: Path, name: str, content: Any, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        vetting.vet(_folder(tmp_path, name, content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "config.json",
            {
                "_name_or_path": "/home/somebody/checkpoints",
                "_commit_hash": None,
                "_attn_implementation_autoset": True,
                "attn_implementation": "sdpa",
                "trust_remote_code": False,
                "auto_map": None,
                "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
                "text_config": {"_attn_implementation": None, "model_type": "bert"},
            },
        ),
        (
            "model_index.json",
            {
                "_class_name": "StableDiffusionPipeline",
                "_diffusers_version": "0.6.0",
                "requires_safety_checker": True,
                "image_encoder": [None, None],
                "sizes": [256, 256],
                "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
                "text_encoder": ["transformers", "CLIPTextModel"],
                "unet": ["diffusers", "UNet2DConditionModel"],
            },
        ),
        ("model.safetensors.index.json", {"weight_map": {"w": "model-00001-of-00002.safetensors"}}),
        ("vocab.json", {"auto_map": 1, "trust_remote_code": 2}),
        ("labels.json", ["cat", "dog"]),
    ],
)
def test_what_models_usually_say_passes(tmp_path: Path, name: str, content: Any) -> None:
    vetting.vet(_folder(tmp_path, name, content))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"{", "no valid JSON"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested too deeply"),
        (b"[" * 200_000, "nested too deeply"),
        (b" " * ((20 << 20) + 1), "larger than 20 MB"),
    ],
    ids=["bytes", "broken", "deep", "deeper", "large"],
)
def test_what_is_no_sound_configuration_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ExpertError, match=f"config.json is .*{told}"):
        vetting.vet(tmp_path, model="tiny/odd")


def test_the_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match=r"^tiny/odd: The model needs remote code"):
        vetting.vet(_folder(tmp_path, "config.json", {"auto_map": {"AutoModel": "a.B"}}), model="tiny/odd")


def test_the_parts_of_a_pipeline(tmp_path: Path) -> None:
    content = {
        "_class_name": "P",
        "unet": ["diffusers", "U"],
        "checker": [None, None],
        "scale": 1,
        "n": [1, 2],
    }
    _folder(tmp_path, "model_index.json", content)
    assert vetting.components(tmp_path / "model_index.json") == ["unet"]
