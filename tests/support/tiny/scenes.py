"""Tiny models that cut pictures into parts, measure their depth, and make them larger."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.support.tiny import words
from tests.support.tiny.vision import DETR, EIGHT, LABELS, RESNET, SQUARE, STAGES, louder, resnet, save, swin


def segformer(folder: Path) -> None:
    """A SegFormer."""
    model = _segformer(**LABELS)
    save(folder, model, hf.SegformerImageProcessorPil(size={"height": 64, "width": 64}))


ADE = ("wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed ")


def segformer_ade(folder: Path) -> None:
    """A SegFormer with ADE20K's labels."""
    kinds = {n: ADE[n] if n < len(ADE) else f"thing {n}" for n in range(150)}
    model = _segformer(id2label=kinds, label2id={name: n for n, name in kinds.items()})
    save(folder, model, hf.SegformerImageProcessorPil(size={"height": 64, "width": 64}))


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
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_stages=4, out_features=STAGES
    )
    config = hf.UperNetConfig(
        backbone_config=backbone, hidden_size=16, pool_scales=[1, 2], auxiliary_channels=8, **LABELS
    )
    model = hf.UperNetForSemanticSegmentation(config)
    save(folder, model, hf.SegformerImageProcessorPil(size={"height": 64, "width": 64}))


def _loud(model: Any) -> None:
    """Make a model of queries sure of every query's class, none of them being nothing."""
    louder(model.class_predictor, 10)
    with torch.no_grad():
        model.class_predictor.bias[-1] = -100


def mask2former(folder: Path) -> None:
    """A Mask2Former."""
    config = hf.Mask2FormerConfig(
        backbone_config=swin(),
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
    louder(model.model.transformer_module.decoder.mask_predictor.mask_embedder, 3)
    save(folder, model, hf.Mask2FormerImageProcessorPil(size={"height": 64, "width": 64}))


def maskformer(folder: Path) -> None:
    """A MaskFormer."""
    decoder = hf.DetrConfig(backbone_config=resnet(), num_queries=8, **DETR)
    config = hf.MaskFormerConfig(
        backbone_config=swin(), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, **LABELS
    )
    model = hf.MaskFormerForInstanceSegmentation(config)
    _loud(model)
    louder(model.mask_embedder, 3)
    save(folder, model, hf.MaskFormerImageProcessorPil(size={"height": 64, "width": 64}))


def detr_panoptic(folder: Path) -> None:
    """A DETR with a mask head."""
    config = hf.DetrConfig(
        backbone_config=hf.ResNetConfig(**RESNET, out_features=STAGES),
        num_queries=6,
        **EIGHT,
        **LABELS,
    )
    model = hf.DetrForSegmentation(config)
    louder(model.detr.class_labels_classifier, 10)
    with torch.no_grad():
        model.detr.class_labels_classifier.bias[-1] = -100
    louder(model.mask_head, 2)
    louder(model.detr.model.query_position_embeddings, 20)
    save(folder, model, hf.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}))


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
    save(folder, model, hf.SamProcessor(pictures))


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
    save(folder, model)


def _sure(decoder: Any, score: float = 0.95) -> None:
    """Make a mask decoder think well of its masks, and give them firm edges."""
    with torch.no_grad():
        decoder.iou_prediction_head.proj_out.bias.fill_(score)
    for mlp in decoder.output_hypernetworks_mlps:
        louder(mlp.proj_out, 1e7)


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
    save(folder, hf.DPTForDepthEstimation(config), hf.DPTImageProcessorPil(size=SQUARE))


def glpn(folder: Path) -> None:
    """A GLPN, which answers in metres."""
    config = hf.GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )
    save(folder, hf.GLPNForDepthEstimation(config), hf.GLPNImageProcessorPil())


def _depth_anything(**more: Any) -> Any:
    backbone = hf.Dinov2Config(
        image_size=28,
        patch_size=14,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        out_features=STAGES,
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
    louder(model.head, 30)
    return model


def _anything_pictures() -> Any:
    return hf.DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )


def depth_anything(folder: Path) -> None:
    """A Depth Anything."""
    save(folder, _depth_anything(), _anything_pictures())


def depth_anything_metric(folder: Path) -> None:
    """A Depth Anything that answers in metres."""
    save(folder, _depth_anything(depth_estimation_type="metric", max_depth=20), _anything_pictures())


def zoedepth(folder: Path) -> None:
    """A ZoeDepth, which answers in metres and sees its pictures with a margin."""
    backbone = hf.BeitConfig(
        image_size=32,
        patch_size=8,
        out_features=STAGES,
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
    louder(model.neck, 10)
    save(folder, model, pictures)


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
    save(folder, hf.Swin2SRForImageSuperResolution(config), hf.Swin2SRImageProcessorPil())
