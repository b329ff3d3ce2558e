"""Of a repository's files, those that a loader needs."""

from collections.abc import Mapping

import pytest

from deployments.errors import ExpertError
from deployments.weights import support, weights

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("names", "links", "pickles"),
    [
        (("model.safetensors", "pytorch_model.bin", "tf_model.h5"), {"model.safetensors": ""}, {}),
        (("model.safetensors", *SHARDS, INDEX), {"model.safetensors": ""}, {}),
        ((*SHARDS, INDEX), {INDEX: "", SHARDS[0]: "", SHARDS[1]: ""}, {}),
        (("pytorch_model.bin", "flax_model.msgpack"), {}, {"model.safetensors": "pytorch_model.bin"}),
        (
            (SHARDS[0], INDEX, "pytorch_model.bin"),  # a shard is missing
            {},
            {"model.safetensors": "pytorch_model.bin"},
        ),
        (
            ("pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"),
            {},
            {"model-00001-of-00001.safetensors": "pytorch_model-00001-of-00001.bin"},
        ),
        (
            ("model.fp16.safetensors", "pytorch_model.bin"),
            {"model.safetensors": "model.fp16.safetensors"},
            {},
        ),
        (("model.fp16.safetensors", "model.safetensors"), {"model.safetensors": ""}, {}),
        (
            ("model.fp16-00001-of-00001.safetensors", "model.safetensors.index.fp16.json"),
            {INDEX: "model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors": ""},
            {},
        ),
        (
            ("model-00001-of-00001.fp16.safetensors", "model.safetensors.fp16.index.json"),
            {INDEX: "model.safetensors.fp16.index.json", "model-00001-of-00001.fp16.safetensors": ""},
            {},
        ),
        (
            ("model.non_ema.safetensors", "model.bf16.safetensors"),
            {"model.safetensors": "model.bf16.safetensors"},
            {},
        ),
        (
            ("diffusion_pytorch_model.bin",),
            {},
            {"diffusion_pytorch_model.safetensors": "diffusion_pytorch_model.bin"},
        ),
        (
            ("model.safetensors", "onnx/model.safetensors", "original/model.safetensors"),
            {"model.safetensors": ""},
            {},
        ),
        (
            ("model.safetensors", "2_Dense/pytorch_model.bin", "1_Pooling/config.json"),
            {"model.safetensors": ""},
            {"2_Dense/model.safetensors": "2_Dense/pytorch_model.bin"},
        ),
        (("pytorch_lora_weights.safetensors",), {"pytorch_lora_weights.safetensors": ""}, {}),
        (("model.skops", "model.pkl"), {"model.skops": ""}, {}),
        (
            ("ControlNetHED.pth", "scannet.pt", "clip_g.pth", "annotator/ckpts/body_pose_model.pth"),
            {},
            {
                "ControlNetHED.safetensors": "ControlNetHED.pth",
                "scannet.safetensors": "scannet.pt",
                "body_pose_model.safetensors": "annotator/ckpts/body_pose_model.pth",
            },
        ),
    ],
)
def test_one_set_of_weights(
    names: tuple[str, ...], links: Mapping[str, str], pickles: Mapping[str, str]
) -> None:
    found = weights({"config.json", *names})
    assert found.links == {name: file or name for name, file in links.items()}
    assert found.pickles == pickles


def test_a_pipeline_has_a_set_for_each_part_and_none_at_its_root() -> None:
    found = weights(
        {
            "v1-5-pruned.safetensors",
            "model.safetensors",
            "model_index.json",
            "scheduler/scheduler_config.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.bin",
            "text_encoder/config.json",
            "text_encoder/pytorch_model.bin",
            "vae/config.json",
            "vae/diffusion_pytorch_model.fp16.safetensors",
            "safety_checker/model.safetensors",
        },
        ["unet", "text_encoder", "vae", "scheduler"],
    )
    assert found.links == {
        "unet/diffusion_pytorch_model.safetensors": "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors": "vae/diffusion_pytorch_model.fp16.safetensors",
    }
    assert found.pickles == {"text_encoder/model.safetensors": "text_encoder/pytorch_model.bin"}
    assert len(found.files) == 3


@pytest.mark.parametrize(
    ("names", "parts", "told"),
    [
        (("tf_model.h5", "onnx/model.onnx"), None, "only model.onnx, tf_model.h5"),
        (("model.pkl",), None, "only model.pkl"),
        (("README.md",), None, "none"),
        (
            ("vae/model.safetensors", "unet/config.json", "unet/x.ckpt"),
            ["vae", "unet"],
            r"part unet .*only x\.ckpt",
        ),
    ],
)
def test_weights_that_no_loader_takes_are_named(
    names: tuple[str, ...], parts: list[str] | None, told: str
) -> None:
    with pytest.raises(ExpertError, match=told):
        weights({"config.json", *names}, parts)


def test_texts_come_along_and_nothing_that_runs() -> None:
    wanted = {
        "config.json",
        "tokenizer.json",
        "merges.txt",
        "spiece.model",
        "source.spm",
        "bpe.codes",
        "qwen.tiktoken",
        "chat_template.jinja",
        "additional_chat_templates/rag.jinja",
        "1_Pooling/config.json",
    }
    others = {
        "modeling.py",
        "model.safetensors",
        "model.safetensors.index.json",
        "README.md",
        ".gitattributes",
        "trainer_state.json",
        "training_args.bin",
        "requirements.txt",
        "onnx/config.json",
        "original/params.json",
        "checkpoint-500/config.json",
    }
    assert set(support(wanted | others)) == wanted
    assert set(support({"model_index.json", "unet/config.json", "unet/model.py"})) == {
        "model_index.json",
        "unet/config.json",
    }
