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
_RESNET: dict[str, Any] = {
    "embedding_size": 10,
    "hidden_sizes": [10, 20, 30, 40],
    "depths": [1, 1, 1, 1],
    "hidden_act": "relu",
}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_DETR: dict[str, Any] = {
    "use_timm_backbone": False,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}
_EIGHT = {**_DETR, "encoder_attention_heads": 8, "decoder_attention_heads": 8}


def photo(seed: int = 0, height: int = 60, width: int = 90) -> Image:
    """A colourful picture of random patches."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image(coarse[np.arange(height) * 5 // height][:, np.arange(width) * 7 // width])


def mixed(count: int = 8) -> list[Image]:
    """Pictures of several shapes."""
    return [photo(n, *((60, 90), (90, 60), (70, 70))[n % 3]) for n in range(count)]


def _save(folder: Path, *parts: Any) -> None:
    for part in parts:
        part.save_pretrained(folder)


def _louder(module: Any, factor: float) -> None:
    """Make what a layer says differ more from input to input than that of fresh weights does."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(factor)


def classifier(folder: Path) -> None:
    """A ViT that tells cats, dogs and cars."""
    model = hf.ViTForImageClassification(hf.ViTConfig(image_size=32, patch_size=8, **words.SIZE, **LABELS))
    _louder(model.classifier, 20)
    _save(folder, model, hf.ViTImageProcessorPil(size=SQUARE))


def tagger(folder: Path) -> None:
    """A ViT whose labels are independent of each other."""
    config = hf.ViTConfig(
        image_size=32, patch_size=8, problem_type="multi_label_classification", **words.SIZE, **LABELS
    )
    _save(folder, hf.ViTForImageClassification(config), hf.ViTImageProcessorPil(size=SQUARE))


def encoder(folder: Path) -> None:
    """A ViT without a head."""
    model = hf.ViTModel(hf.ViTConfig(image_size=32, patch_size=8, **words.SIZE))
    _save(folder, model, hf.ViTImageProcessorPil(size=SQUARE))


def yolos(folder: Path) -> None:
    """A detector of one transformer."""
    config = hf.YolosConfig(image_size=[32, 32], patch_size=8, num_detection_tokens=5, **words.SIZE, **LABELS)
    model = hf.YolosForObjectDetection(config)
    _louder(model.class_labels_classifier, 10)
    _save(folder, model, hf.YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48}))


def _resnet() -> Any:
    return hf.ResNetConfig(**_RESNET, out_features=["stage4"])


def detr(folder: Path) -> None:
    """A DETR over a ResNet of transformers."""
    model = hf.DetrForObjectDetection(
        hf.DetrConfig(backbone_config=_resnet(), num_queries=6, **_EIGHT, **LABELS)
    )
    _louder(model.class_labels_classifier, 5)
    _save(folder, model, hf.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}))


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
    _save(folder, hf.RTDetrForObjectDetection(config), hf.RTDetrImageProcessorPil(size=size))


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
    _save(folder, hf.CLIPModel(config), hf.CLIPProcessor(pictures, tokenizer))


def siglip(folder: Path) -> None:
    """A SigLIP, whose scores do not add up to one."""
    tokenizer = words.bert()
    config = hf.SiglipConfig(
        text_config={"vocab_size": len(tokenizer), "max_position_embeddings": 64, **words.SIZE},
        vision_config={"image_size": 32, "patch_size": 8, **words.SIZE},
    )
    _save(folder, hf.SiglipModel(config), hf.SiglipImageProcessorPil(size=SQUARE), tokenizer)


def owl(folder: Path) -> None:
    """An OWL-ViT."""
    tokenizer = _clip_tokenizer(16)
    config = hf.OwlViTConfig(
        text_config=_clip_text(tokenizer, max_position_embeddings=16),
        vision_config={"image_size": 32, "patch_size": 8, **words.SIZE},
        projection_dim=32,
    )
    pictures = hf.OwlViTImageProcessorPil(size=SQUARE, crop_size=SQUARE, do_center_crop=False)
    _save(folder, hf.OwlViTForObjectDetection(config), hf.OwlViTProcessor(pictures, tokenizer))


def owl2(folder: Path) -> None:
    """An OWLv2."""
    tokenizer = _clip_tokenizer(16)
    config = hf.Owlv2Config(
        text_config=_clip_text(tokenizer, max_position_embeddings=16),
        vision_config={"image_size": 32, "patch_size": 8, **words.SIZE},
        projection_dim=32,
    )
    pictures = hf.Owlv2ImageProcessorPil(size=SQUARE)
    _save(folder, hf.Owlv2ForObjectDetection(config), hf.Owlv2Processor(pictures, tokenizer))


def _swin() -> Any:
    return hf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 2],
        window_size=4,
        out_features=_STAGES,
    )


def grounding(folder: Path) -> None:
    """A Grounding DINO."""
    tokenizer = words.bert()
    backbone = _swin()
    backbone.out_features = _STAGES[1:]
    config = hf.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=hf.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **words.SIZE),
        num_queries=5,
        max_text_len=64,
        num_feature_levels=3,
        **{**_DETR, "use_timm_backbone": None},
    )
    pictures = hf.GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    model = hf.GroundingDinoForObjectDetection(config)
    _save(folder, model, hf.GroundingDinoProcessor(pictures, tokenizer))


def segformer(folder: Path) -> None:
    """A SegFormer."""
    model = _segformer(**LABELS)
    _save(folder, model, hf.SegformerImageProcessorPil(size={"height": 64, "width": 64}))


ADE = ("wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed ")


def segformer_ade(folder: Path) -> None:
    """A SegFormer with ADE20K's labels."""
    kinds = {n: ADE[n] if n < len(ADE) else f"thing {n}" for n in range(150)}
    model = _segformer(id2label=kinds, label2id={name: n for n, name in kinds.items()})
    _save(folder, model, hf.SegformerImageProcessorPil(size={"height": 64, "width": 64}))


def _segformer(**labels: Any) -> Any:
    config = hf.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **labels,
    )
    return hf.SegformerForSemanticSegmentation(config)


def upernet(folder: Path) -> None:
    """A UPerNet over a ConvNeXt."""
    backbone = hf.ConvNextConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_stages=4, out_features=_STAGES
    )
    config = hf.UperNetConfig(
        backbone_config=backbone, hidden_size=16, pool_scales=[1, 2], auxiliary_channels=8, **LABELS
    )
    model = hf.UperNetForSemanticSegmentation(config)
    _save(folder, model, hf.SegformerImageProcessorPil(size={"height": 64, "width": 64}))


def _loud(model: Any) -> None:
    """Make a model of queries sure of every query's class, none of them being nothing."""
    _louder(model.class_predictor, 10)
    with torch.no_grad():
        model.class_predictor.bias[-1] = -100


def mask2former(folder: Path) -> None:
    """A Mask2Former."""
    config = hf.Mask2FormerConfig(
        backbone_config=_swin(),
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=2,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=8,
        **LABELS,
    )
    model = hf.Mask2FormerForUniversalSegmentation(config)
    _loud(model)
    _louder(model.model.transformer_module.decoder.mask_predictor.mask_embedder, 3)
    _save(folder, model, hf.Mask2FormerImageProcessorPil(size={"height": 64, "width": 64}))


def maskformer(folder: Path) -> None:
    """A MaskFormer."""
    decoder = hf.DetrConfig(backbone_config=_resnet(), num_queries=8, **_DETR)
    config = hf.MaskFormerConfig(
        backbone_config=_swin(), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, **LABELS
    )
    model = hf.MaskFormerForInstanceSegmentation(config)
    _loud(model)
    _louder(model.mask_embedder, 3)
    _save(folder, model, hf.MaskFormerImageProcessorPil(size={"height": 64, "width": 64}))


def detr_panoptic(folder: Path) -> None:
    """A DETR with a mask head."""
    config = hf.DetrConfig(
        backbone_config=hf.ResNetConfig(**_RESNET, out_features=_STAGES),
        num_queries=6,
        **_EIGHT,
        **LABELS,
    )
    model = hf.DetrForSegmentation(config)
    _louder(model.detr.class_labels_classifier, 10)
    with torch.no_grad():
        model.detr.class_labels_classifier.bias[-1] = -100
    _louder(model.mask_head, 2)
    _louder(model.detr.model.query_position_embeddings, 20)
    _save(folder, model, hf.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}))


def sam(folder: Path) -> None:
    """A SAM that is sure of its masks."""
    config = hf.SamConfig(
        vision_config={
            "hidden_size": 32,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 37,
            "mlp_dim": 64,
            "image_size": 64,
            "patch_size": 8,
            "global_attn_indexes": [1],
            "window_size": 4,
            "num_pos_feats": 8,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": 64,
            "patch_size": 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "mlp_dim": 16,
            "iou_head_hidden_dim": 16,
            "iou_head_depth": 2,
        },
    )
    model = hf.SamModel(config)
    _sure(model.mask_decoder)
    pictures = hf.SamImageProcessorPil(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    )
    _save(folder, model, hf.SamProcessor(pictures))


def sam2(folder: Path) -> None:
    """A SAM 2 that is sure of its masks, without its image processor, which needs torchvision."""
    backbone = hf.Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 1, 2],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 2, 2, 2],
        window_positional_embedding_background_size=[2, 2],
        global_attention_blocks=[4],
    )
    vision = hf.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=16,
    )
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    }
    config = hf.Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    model = hf.Sam2Model(config)
    _sure(model.mask_decoder, 4)  # before a sigmoid
    _save(folder, model)


def _sure(decoder: Any, score: float = 0.95) -> None:
    """Make a mask decoder think well of its masks, and give them firm edges."""
    with torch.no_grad():
        decoder.iou_prediction_head.proj_out.bias.fill_(score)
    for mlp in decoder.output_hypernetworks_mlps:
        _louder(mlp.proj_out, 1e7)


def dpt(folder: Path) -> None:
    """A DPT, whose answers are large where something is near."""
    config = hf.DPTConfig(
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 16, 16],
        fusion_hidden_size=16,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=37,
        reassemble_factors=[4, 2, 1, 0.5],
        is_hybrid=False,
    )
    _save(folder, hf.DPTForDepthEstimation(config), hf.DPTImageProcessorPil(size=SQUARE))


def glpn(folder: Path) -> None:
    """A GLPN, which answers in metres."""
    config = hf.GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )
    _save(folder, hf.GLPNForDepthEstimation(config), hf.GLPNImageProcessorPil())


def _depth_anything(**more: Any) -> Any:
    backbone = hf.Dinov2Config(
        image_size=28,
        patch_size=14,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        out_features=_STAGES,
        reshape_hidden_states=False,
    )
    config = hf.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **more,
    )
    model = hf.DepthAnythingForDepthEstimation(config)
    _louder(model.head, 30)
    return model


def _anything_pictures() -> Any:
    return hf.DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )


def depth_anything(folder: Path) -> None:
    """A Depth Anything."""
    _save(folder, _depth_anything(), _anything_pictures())


def depth_anything_metric(folder: Path) -> None:
    """A Depth Anything that answers in metres."""
    _save(folder, _depth_anything(depth_estimation_type="metric", max_depth=20), _anything_pictures())


def zoedepth(folder: Path) -> None:
    """A ZoeDepth, which answers in metres and sees its pictures with a margin."""
    backbone = hf.BeitConfig(
        image_size=32,
        patch_size=8,
        out_features=_STAGES,
        reshape_hidden_states=False,
        use_relative_position_bias=True,
        **{**words.SIZE, "num_hidden_layers": 4},
    )
    config = hf.ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        bottleneck_features=8,
        num_relative_features=8,
        bin_embedding_dim=8,
        num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
        num_patch_transformer_layers=1,
        patch_transformer_hidden_size=8,
        patch_transformer_intermediate_size=16,
        patch_transformer_num_attention_heads=2,
    )
    pictures = hf.ZoeDepthImageProcessorPil(size={"height": 64, "width": 64}, ensure_multiple_of=16)
    model = hf.ZoeDepthForDepthEstimation(config)
    _louder(model.neck, 10)
    _save(folder, model, pictures)


def swin2sr(folder: Path) -> None:
    """A Swin2SR that doubles pictures."""
    config = hf.Swin2SRConfig(
        image_size=32,
        patch_size=1,
        embed_dim=16,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=8,
        upscale=2,
        num_channels=3,
        upsampler="pixelshuffle",
    )
    _save(folder, hf.Swin2SRForImageSuperResolution(config), hf.Swin2SRImageProcessorPil())


def videomae(folder: Path) -> None:
    """A VideoMAE."""
    config = hf.VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, tubelet_size=2, **words.SIZE, **LABELS
    )
    model = hf.VideoMAEForVideoClassification(config)
    _louder(model.classifier, 20)
    _save(folder, model, hf.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE))


def timesformer(folder: Path) -> None:
    """A TimeSformer."""
    config = hf.TimesformerConfig(image_size=32, patch_size=8, num_frames=4, **words.SIZE, **LABELS)
    pictures = hf.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    _save(folder, hf.TimesformerForVideoClassification(config), pictures)
