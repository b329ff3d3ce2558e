"""Tiny models of pictures and films."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

from deployments.media import Image
from tests.support.tiny import words

KINDS = {0: "cat, house cat", 1: "dog", 2: "car"}
LABELS: dict[str, Any] = {"id2label": KINDS, "label2id": {name: n for n, name in KINDS.items()}}
SQUARE = {"height": 32, "width": 32}
RESNET: dict[str, Any] = {
    "embedding_size": 10,
    "hidden_sizes": [10, 20, 30, 40],
    "depths": [1, 1, 1, 1],
    "hidden_act": "relu",
}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
DETR: dict[str, Any] = {
    "use_timm_backbone": False,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}
EIGHT = {**DETR, "encoder_attention_heads": 8, "decoder_attention_heads": 8}


def photo(seed: int = 0, height: int = 60, width: int = 90) -> Image:
    """A colourful picture of random patches."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image(coarse[np.arange(height) * 5 // height][:, np.arange(width) * 7 // width])


def mixed(count: int = 8) -> list[Image]:
    """Pictures of several shapes."""
    return [photo(n, *((60, 90), (90, 60), (70, 70))[n % 3]) for n in range(count)]


def save(folder: Path, *parts: Any) -> None:
    """Write the parts of a model into one folder."""
    for part in parts:
        part.save_pretrained(folder)


def louder(module: Any, factor: float) -> None:
    """Make what a layer says differ more from input to input than that of fresh weights does."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(factor)


def classifier(folder: Path) -> None:
    """A ViT that tells cats, dogs and cars."""
    model = hf.ViTForImageClassification(hf.ViTConfig(image_size=32, patch_size=8, **words.SIZE, **LABELS))
    louder(model.classifier, 20)
    save(folder, model, hf.ViTImageProcessorPil(size=SQUARE))


def tagger(folder: Path) -> None:
    """A ViT whose labels are independent of each other."""
    config = hf.ViTConfig(
        image_size=32, patch_size=8, problem_type="multi_label_classification", **words.SIZE, **LABELS
    )
    save(folder, hf.ViTForImageClassification(config), hf.ViTImageProcessorPil(size=SQUARE))


def encoder(folder: Path) -> None:
    """A ViT without a head."""
    model = hf.ViTModel(hf.ViTConfig(image_size=32, patch_size=8, **words.SIZE))
    save(folder, model, hf.ViTImageProcessorPil(size=SQUARE))


def yolos(folder: Path) -> None:
    """A detector of one transformer."""
    config = hf.YolosConfig(image_size=[32, 32], patch_size=8, num_detection_tokens=5, **words.SIZE, **LABELS)
    model = hf.YolosForObjectDetection(config)
    louder(model.class_labels_classifier, 10)
    save(folder, model, hf.YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48}))


def resnet() -> Any:
    """The configuration of a ResNet that a detector looks through."""
    return hf.ResNetConfig(**RESNET, out_features=["stage4"])


def detr(folder: Path) -> None:
    """A DETR over a ResNet of transformers."""
    model = hf.DetrForObjectDetection(
        hf.DetrConfig(backbone_config=resnet(), num_queries=6, **EIGHT, **LABELS)
    )
    louder(model.class_labels_classifier, 5)
    save(folder, model, hf.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}))


def rt_detr(folder: Path) -> None:
    """An RT-DETR."""
    backbone = hf.RTDetrResNetConfig(
        embedding_size=10,
        hidden_sizes=[10, 20, 30, 40],
        depths=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )
    config = hf.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=16,
        encoder_in_channels=[20, 30, 40],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        num_queries=5,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        decoder_layers=2,
        num_denoising=0,
        anchor_image_size=None,
        **LABELS,
    )
    size = {"height": 64, "width": 64}
    save(folder, hf.RTDetrForObjectDetection(config), hf.RTDetrImageProcessorPil(size=size))


def _clip_text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    ends = len(tokenizer) - 1
    return {
        "vocab_size": len(tokenizer),
        "projection_dim": 16,
        "bos_token_id": ends - 1,
        "eos_token_id": ends,
        "pad_token_id": ends,
        **words.SIZE,
        **more,
    }


def _clip_tokenizer(longest: int = 77) -> Any:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    tokens = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: n for n, token in enumerate(dict.fromkeys(tokens))}
    return hf.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=longest)


def clip(folder: Path) -> None:
    """A CLIP."""
    tokenizer = _clip_tokenizer()
    config = hf.CLIPConfig(
        text_config=_clip_text(tokenizer, max_position_embeddings=77),
        vision_config={"image_size": 32, "patch_size": 8, "projection_dim": 16, **words.SIZE},
        projection_dim=16,
    )
    pictures = hf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    save(folder, hf.CLIPModel(config), hf.CLIPProcessor(pictures, tokenizer))


def siglip(folder: Path) -> None:
    """A SigLIP, whose scores do not add up to one."""
    tokenizer = words.bert()
    config = hf.SiglipConfig(
        text_config={"vocab_size": len(tokenizer), "max_position_embeddings": 64, **words.SIZE},
        vision_config={"image_size": 32, "patch_size": 8, **words.SIZE},
    )
    save(folder, hf.SiglipModel(config), hf.SiglipImageProcessorPil(size=SQUARE), tokenizer)


def owl(folder: Path) -> None:
    """An OWL-ViT."""
    tokenizer = _clip_tokenizer(16)
    config = hf.OwlViTConfig(
        text_config=_clip_text(tokenizer, max_position_embeddings=16),
        vision_config={"image_size": 32, "patch_size": 8, **words.SIZE},
        projection_dim=32,
    )
    pictures = hf.OwlViTImageProcessorPil(size=SQUARE, crop_size=SQUARE, do_center_crop=False)
    save(folder, hf.OwlViTForObjectDetection(config), hf.OwlViTProcessor(pictures, tokenizer))


def owl2(folder: Path) -> None:
    """An OWLv2."""
    tokenizer = _clip_tokenizer(16)
    config = hf.Owlv2Config(
        text_config=_clip_text(tokenizer, max_position_embeddings=16),
        vision_config={"image_size": 32, "patch_size": 8, **words.SIZE},
        projection_dim=32,
    )
    pictures = hf.Owlv2ImageProcessorPil(size=SQUARE)
    save(folder, hf.Owlv2ForObjectDetection(config), hf.Owlv2Processor(pictures, tokenizer))


def swin() -> Any:
    """The configuration of a Swin that a model looks through."""
    return hf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 2],
        window_size=4,
        out_features=STAGES,
    )


def grounding(folder: Path) -> None:
    """A Grounding DINO."""
    tokenizer = words.bert()
    backbone = swin()
    backbone.out_features = STAGES[1:]
    config = hf.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=hf.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **words.SIZE),
        num_queries=5,
        max_text_len=64,
        num_feature_levels=3,
        **{**DETR, "use_timm_backbone": None},
    )
    pictures = hf.GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    model = hf.GroundingDinoForObjectDetection(config)
    save(folder, model, hf.GroundingDinoProcessor(pictures, tokenizer))


def videomae(folder: Path) -> None:
    """A VideoMAE."""
    config = hf.VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, tubelet_size=2, **words.SIZE, **LABELS
    )
    model = hf.VideoMAEForVideoClassification(config)
    louder(model.classifier, 20)
    save(folder, model, hf.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE))


def timesformer(folder: Path) -> None:
    """A TimeSformer."""
    config = hf.TimesformerConfig(image_size=32, patch_size=8, num_frames=4, **words.SIZE, **LABELS)
    pictures = hf.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    save(folder, hf.TimesformerForVideoClassification(config), pictures)
