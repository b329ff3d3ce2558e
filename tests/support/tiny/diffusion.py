"""Tiny diffusion pipelines for pictures and sounds."""

from pathlib import Path
from typing import Any

import diffusers as df
import torch
import transformers as hf
from diffusers.pipelines.audioldm2 import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers.convert_slow_tokenizer import bytes_to_unicode

from deployments.runners.pipelines import hushed
from tests.support.tiny import words

CROSS = 32
"""The width of an encoded text."""

NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
"""The amounts of noise that Stable Diffusion was trained with."""

_UNET: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "sample_size": 32,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "cross_attention_dim": CROSS,
    "norm_num_groups": 8,
    "attention_head_dim": 4,
}
_XL: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "transformer_layers_per_block": (1, 1),
    "projection_class_embeddings_input_dim": 6 * 8 + CROSS,
    "cross_attention_dim": 2 * CROSS,
    "use_linear_projection": True,
}
_FLUX: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 4,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": CROSS,
    "pooled_projection_dim": CROSS,
    "axes_dims_rope": [4, 4, 8],
}


def clip_tokenizer() -> Any:
    """A CLIP tokenizer of single bytes."""
    base = list(bytes_to_unicode().values())
    tokens = [*base, *(f"{token}</w>" for token in base), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    return hf.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def clip_config(**more: Any) -> Any:
    """Of a CLIP text encoder."""
    last = len(clip_tokenizer()) - 1
    ends = {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    return hf.CLIPTextConfig(**words.SIZE, vocab_size=last + 1, max_position_embeddings=77, **ends, **more)


def clip_text() -> dict[str, Any]:
    """A CLIP tokenizer and text encoder."""
    return {"tokenizer": clip_tokenizer(), "text_encoder": hf.CLIPTextModel(clip_config())}


def t5_tokenizer() -> Any:
    """A T5 tokenizer of words and letters."""
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0)]
    vocab += [(f"▁{word}", -3.0) for word in dict.fromkeys(words.WORDS) if len(word) > 1]
    vocab += [(letter, -6.0) for letter in words.LETTERS]
    return hf.T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=64)


def t5_config(cls: Any = hf.T5Config, width: int = CROSS) -> Any:
    """Of a T5 encoder."""
    return cls(
        vocab_size=len(t5_tokenizer()), d_model=width, d_kv=width // 4, d_ff=37, num_layers=2, num_heads=4
    )


def unet(channels: int = 4, **more: Any) -> Any:
    """The network of a Stable Diffusion that paints 64 × 64 pixels."""
    up = ("CrossAttnUpBlock2D", "UpBlock2D")
    return df.UNet2DConditionModel(
        **{**_UNET, "in_channels": channels, "out_channels": 4, "up_block_types": up, **more}
    )


def vae(**more: Any) -> Any:
    """An autoencoder of four channels, two pixels to a cell."""
    return df.AutoencoderKL(
        **{
            "block_out_channels": (16, 32),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "latent_channels": 4,
            "norm_num_groups": 8,
            **more,
        }
    )


def parts(channels: int = 4) -> dict[str, Any]:
    """The components of a Stable Diffusion, with the scheduler of 1.5 and without a safety checker."""
    return {
        "vae": vae(),
        "unet": unet(channels),
        **clip_text(),
        "scheduler": df.PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def stable(folder: Path) -> None:
    """A Stable Diffusion."""
    df.StableDiffusionPipeline(**parts()).save_pretrained(folder)


def checked(folder: Path) -> None:
    """A Stable Diffusion whose safety checker refuses every picture."""
    size = {**words.SIZE, "image_size": 32, "patch_size": 8}
    config = hf.CLIPConfig(vision_config=size, text_config=clip_config().to_dict(), projection_dim=16)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data.fill_(-2)
    extractor = hf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    extra = {"safety_checker": checker, "feature_extractor": extractor, "requires_safety_checker": True}
    df.StableDiffusionPipeline(**{**parts(), **extra}).save_pretrained(folder)


def mirrored(folder: Path) -> None:
    """A Stable Diffusion that looks at the text where the larger pictures are, as the real one does."""
    blocks: dict[str, Any] = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    df.StableDiffusionPipeline(**{**parts(), "unet": unet(**blocks)}).save_pretrained(folder)


def halves(folder: Path) -> None:
    """A Stable Diffusion with weights of half precision alone."""
    df.StableDiffusionPipeline(**parts()).to(dtype=torch.float16).save_pretrained(folder, variant="fp16")


def restless(folder: Path) -> None:
    """A Stable Diffusion whose scheduler adds noise at each step."""
    with hushed():
        scheduler = df.EulerAncestralDiscreteScheduler(**NOISE, steps_offset=1)
    df.StableDiffusionPipeline(**{**parts(), "scheduler": scheduler}).save_pretrained(folder)


def inpainter(folder: Path) -> None:
    """A Stable Diffusion whose network sees the mask."""
    df.StableDiffusionInpaintPipeline(**parts(9)).save_pretrained(folder)


def editor(folder: Path) -> None:
    """A Stable Diffusion that follows instructions."""
    df.StableDiffusionInstructPix2PixPipeline(**parts(8)).save_pretrained(folder)


def xl_parts() -> dict[str, Any]:
    """The components of a Stable Diffusion XL."""
    second = clip_config(hidden_act="gelu", projection_dim=CROSS)
    with hushed():
        scheduler = df.EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", steps_offset=1)
    return {
        "vae": vae(force_upcast=True),
        "unet": unet(**_XL),
        **clip_text(),
        "text_encoder_2": hf.CLIPTextModelWithProjection(second),
        "tokenizer_2": clip_tokenizer(),
        "scheduler": scheduler,
    }


def stable_xl(folder: Path) -> None:
    """A Stable Diffusion XL."""
    df.StableDiffusionXLPipeline(**xl_parts(), add_watermarker=False).save_pretrained(folder)


def flux_parts() -> dict[str, Any]:
    """The components of a Flux."""
    return {
        "scheduler": df.FlowMatchEulerDiscreteScheduler(),
        "vae": vae(
            block_out_channels=(4,),
            down_block_types=("DownEncoderBlock2D",),
            up_block_types=("UpDecoderBlock2D",),
            latent_channels=1,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.0609,
            scaling_factor=1.5035,
        ),
        **clip_text(),
        "text_encoder_2": hf.T5EncoderModel(t5_config()),
        "tokenizer_2": t5_tokenizer(),
        "transformer": df.FluxTransformer2DModel(**_FLUX),
    }


def flux(folder: Path) -> None:
    """A Flux."""
    df.FluxPipeline(**flux_parts()).save_pretrained(folder)


def kontext(folder: Path) -> None:
    """A Flux that follows instructions."""
    df.FluxKontextPipeline(**flux_parts()).save_pretrained(folder)


def controlnet(folder: Path) -> None:
    """A ControlNet for a Stable Diffusion."""
    _steering(df.ControlNetModel(**_control_size())).save_pretrained(folder)


def xl_controlnet(folder: Path) -> None:
    """A ControlNet for a Stable Diffusion XL."""
    _steering(df.ControlNetModel(**_control_size(**_XL))).save_pretrained(folder)


def xl_union(folder: Path) -> None:
    """A ControlNet for a Stable Diffusion XL and six kinds of maps."""
    net = df.ControlNetUnionModel(
        **_control_size(**_XL), num_trans_channel=16, num_trans_head=2, num_proj_channel=16
    )
    _steering(net).save_pretrained(folder)


def flux_union(folder: Path) -> None:
    """A ControlNet for a Flux and seven kinds of maps."""
    with hushed():
        net = df.FluxControlNetModel(**_FLUX, num_mode=7)
    _steering(net).save_pretrained(folder)


def adapter(folder: Path) -> None:
    """A T2I-Adapter for a Stable Diffusion, which takes grey maps."""
    df.T2IAdapter(
        in_channels=1, channels=[16, 32], num_res_blocks=1, downscale_factor=2, adapter_type="full_adapter"
    ).save_pretrained(folder)


def _control_size(**more: Any) -> dict[str, Any]:
    size = {name: value for name, value in _UNET.items() if name != "sample_size"}
    return {**size, "in_channels": 4, "conditioning_embedding_out_channels": (8, 16), **more}


def _steering(net: Any) -> Any:
    """A network of control that is no longer without effect, as all are before their training."""
    for weights in net.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.1)
    return net


def stable_audio(folder: Path) -> None:
    """A Stable Audio of two channels at 400 samples a second, for at most two seconds."""
    with hushed():
        pipe = df.StableAudioPipeline(
            transformer=df.StableAudioDiTModel(
                sample_size=200,
                in_channels=3,
                num_layers=2,
                attention_head_dim=4,
                num_key_value_attention_heads=2,
                out_channels=3,
                cross_attention_dim=4,
                time_proj_dim=8,
                global_states_input_dim=8,
                cross_attention_input_dim=4,
            ),
            tokenizer=t5_tokenizer(),
            text_encoder=hf.T5EncoderModel(t5_config(width=4)),
            projection_model=StableAudioProjectionModel(
                text_encoder_dim=4, conditioning_dim=4, min_value=0, max_value=32
            ),
            vae=df.AutoencoderOobleck(
                encoder_hidden_size=6,
                downsampling_ratios=[2, 2],
                decoder_channels=3,
                decoder_input_channels=3,
                audio_channels=2,
                channel_multiples=[2, 4],
                sampling_rate=400,
            ),
            scheduler=df.EDMDPMSolverMultistepScheduler(
                solver_order=2, prediction_type="v_prediction", sigma_data=1.0, sigma_schedule="exponential"
            ),
        )
    pipe.save_pretrained(folder)


def roberta_tokenizer() -> Any:
    """A RoBERTa tokenizer of single bytes."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *bytes_to_unicode().values()]
    vocab = {token: index for index, token in enumerate(tokens)}
    return hf.RobertaTokenizer(vocab=vocab, merges=[], model_max_length=64)


def audioldm(folder: Path) -> None:
    """An AudioLDM 2 at 800 samples a second, its language model saved as the famous one's is."""
    size = {**words.SIZE, "hidden_size": 8, "num_attention_heads": 1, "projection_dim": 8}
    hearing = {
        "spec_size": 8,
        "window_size": 4,
        "num_mel_bins": 8,
        "depths": [1, 1],
        "num_attention_heads": [1, 1],
        "num_hidden_layers": 1,
        "hidden_size": 192,
        "patch_size": 2,
        "patch_stride": 2,
        "patch_embed_input_channels": 4,
        "projection_dim": 8,
    }
    tokenizer = roberta_tokenizer()
    clap = hf.ClapConfig(
        text_config={**size, "vocab_size": len(tokenizer)}, audio_config=hearing, projection_dim=16
    )
    vocoder = hf.SpeechT5HifiGanConfig(
        model_in_dim=8,
        sampling_rate=800,
        initializer_range=0.5,
        upsample_initial_channel=16,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        normalize_before=False,
    )
    speaker = hf.GPT2LMHeadModel(
        hf.GPT2Config(n_embd=16, n_head=1, n_layer=1, vocab_size=100, n_positions=99)
    )
    df.AudioLDM2Pipeline(
        vae=vae(in_channels=1, out_channels=1, block_out_channels=(8, 16)),
        text_encoder=hf.ClapModel(clap),
        text_encoder_2=hf.T5EncoderModel(t5_config()),
        projection_model=AudioLDM2ProjectionModel(
            text_encoder_dim=16, text_encoder_1_dim=CROSS, langauge_model_dim=16
        ),
        language_model=speaker,
        tokenizer=tokenizer,
        tokenizer_2=t5_tokenizer(),
        feature_extractor=hf.ClapFeatureExtractor(feature_size=8),
        unet=AudioLDM2UNet2DConditionModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=8,
            sample_size=32,
            in_channels=4,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=(8, 16),
        ),
        scheduler=df.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        vocoder=hf.SpeechT5HifiGan(vocoder),
    ).save_pretrained(folder)
    speaker.transformer.save_pretrained(folder / "language_model")
    index = folder / "model_index.json"
    index.write_text(index.read_text("utf-8").replace("GPT2LMHeadModel", "GPT2Model"), "utf-8")
