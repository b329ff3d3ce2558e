"""Tiny diffusion pipelines for videos."""

from pathlib import Path
from typing import Any

import diffusers as df
import transformers as hf

from deployments.runners.pipelines import hushed
from tests.support.tiny import words
from tests.support.tiny.diffusion import CROSS, NOISE, clip_text, t5_config, t5_tokenizer, vae


def _ddim() -> Any:
    return df.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False, steps_offset=1)


def modelscope(folder: Path) -> None:
    """A video model in the manner of ModelScope's."""
    unet = df.UNet3DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=CROSS,
        norm_num_groups=8,
        attention_head_dim=4,
    )
    with hushed():
        pipe = df.TextToVideoSDPipeline(vae=vae(), **clip_text(), unet=unet, scheduler=_ddim())
    pipe.save_pretrained(folder)


def motion(folder: Path) -> None:
    """A motion adapter for a Stable Diffusion, for at most 8 frames."""
    df.MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_norm_num_groups=2,
        motion_num_attention_heads=4,
        motion_max_seq_length=8,
        use_motion_mid_block=False,
    ).save_pretrained(folder)


def _wan_parts(channels: int, **more: Any) -> dict[str, Any]:
    return {
        "transformer": df.WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=channels,
            out_channels=16,
            text_dim=CROSS,
            freq_dim=64,
            ffn_dim=32,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=32,
            **more,
        ),
        "vae": df.AutoencoderKLWan(
            base_dim=3,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ),
        "scheduler": df.FlowMatchEulerDiscreteScheduler(shift=3.0),
        "text_encoder": hf.UMT5EncoderModel(t5_config(hf.UMT5Config)),
        "tokenizer": t5_tokenizer(),
    }


def wan(folder: Path) -> None:
    """A Wan that films words."""
    df.WanPipeline(**_wan_parts(16)).save_pretrained(folder)


def wan_from_pictures(folder: Path) -> None:
    """A Wan that films a picture."""
    df.WanImageToVideoPipeline(**_wan_parts(36)).save_pretrained(folder)


def cogvideo(folder: Path) -> None:
    """A CogVideoX of 32 × 32 pixels."""
    transformer = df.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=CROSS,
        num_layers=1,
        sample_width=4,
        sample_height=4,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=226,
    )
    coder = df.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    df.CogVideoXPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=hf.T5EncoderModel(t5_config()),
        vae=coder,
        transformer=transformer,
        scheduler=df.CogVideoXDDIMScheduler(),
    ).save_pretrained(folder)


def ltx(folder: Path) -> None:
    """An LTX-Video."""
    wide, scaled = (8, 8, 8, 8), (True, True, False, False)
    coder = df.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=wide,
        decoder_block_out_channels=wide,
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=scaled,
        decoder_spatio_temporal_scaling=scaled,
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        patch_size=1,
        patch_size_t=1,
    )
    transformer = df.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=CROSS,
        num_layers=1,
        caption_channels=CROSS,
    )
    df.LTXPipeline(
        transformer=transformer,
        vae=coder,
        scheduler=df.FlowMatchEulerDiscreteScheduler(),
        text_encoder=hf.T5EncoderModel(t5_config()),
        tokenizer=t5_tokenizer(),
    ).save_pretrained(folder)


def stable_video(folder: Path) -> None:
    """A Stable Video Diffusion."""
    unet = df.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=32,
        in_channels=8,
        out_channels=4,
        num_frames=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=CROSS,
        num_attention_heads=(4, 4),
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
    )
    coder = df.AutoencoderKLTemporalDecoder(
        block_out_channels=[32, 64], down_block_types=["DownEncoderBlock2D"] * 2, latent_channels=4
    )
    eyes = {"projection_dim": CROSS, "image_size": 224, "patch_size": 32}
    with hushed():
        scheduler = df.EulerDiscreteScheduler(
            **NOISE,
            interpolation_type="linear",
            prediction_type="v_prediction",
            sigma_max=700.0,
            sigma_min=0.002,
            steps_offset=1,
            timestep_spacing="leading",
            timestep_type="continuous",
            use_karras_sigmas=True,
        )
        pipe = df.StableVideoDiffusionPipeline(
            unet=unet,
            image_encoder=hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**words.SIZE, **eyes)),
            scheduler=scheduler,
            vae=coder,
            feature_extractor=hf.CLIPImageProcessorPil(
                crop_size={"height": 224, "width": 224}, size={"shortest_edge": 224}
            ),
        )
    pipe.save_pretrained(folder)
