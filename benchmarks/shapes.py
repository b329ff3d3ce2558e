"""Models with the architecture of well-known ones and random weights, made without a network.

Each builder fills a model folder as the Hub has it: configuration, weights as safetensors, tokenizer,
processor. Speed and memory hang on a model's shape and hardly on the values of its weights. The words that it
writes mean nothing; tokens that would end a text never win, so that all texts have their full length.

The measures are those of stable-diffusion-v1-5, stable-diffusion-xl-base-1.0, whisper-large-v3 and
Llama-3.2-1B-Instruct, or with ``full=False`` tiny ones of the same kind.
"""

import itertools
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WRITTEN = 128
"""Tokens that the Whisper here writes for a recording, about as many as half a minute of speech has."""

_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
)
_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}

_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_BIGG = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
}
_CLIP_TINY = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}

_UNET = {
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
    "sample_size": 64,
}
_UNET_XL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
}
_UNET_TINY = {
    "block_out_channels": (16, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "cross_attention_dim": 32,
    "norm_num_groups": 8,
    "sample_size": 32,
}
_UNET_XL_TINY = {
    **_UNET_TINY,
    "transformer_layers_per_block": [1, 1],
    "cross_attention_dim": 64,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 32,
}
_VAE = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
_VAE_TINY = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8}

_WHISPER = {
    "d_model": 1280,
    "encoder_layers": 32,
    "decoder_layers": 32,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120,
    "num_mel_bins": 128,
}
_WHISPER_TINY = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "num_mel_bins": 80,
}
_LLAMA = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 131_072,
}
_LLAMA_TINY = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 16_384,
}
_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def sd15(folder: Path, full: bool) -> None:
    """A Stable Diffusion 1.5, without its safety checker."""
    import diffusers

    parts = {
        "vae": _vae(full, sample_size=512, scaling_factor=0.18215),
        "unet": _half(diffusers.UNet2DConditionModel(**(_UNET if full else _UNET_TINY)), full),
        "tokenizer": _clip_tokenizer(full),
        "text_encoder": _clip(full, _CLIP_L),
        "scheduler": diffusers.PNDMScheduler(**_NOISE, skip_prk_steps=True, set_alpha_to_one=False),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    diffusers.StableDiffusionPipeline(**parts).save_pretrained(folder)


def sdxl(folder: Path, full: bool) -> None:
    """A Stable Diffusion XL, base."""
    import diffusers

    parts = {
        "vae": _vae(full, sample_size=1024, scaling_factor=0.13025, force_upcast=True),
        "unet": _half(diffusers.UNet2DConditionModel(**(_UNET_XL if full else _UNET_XL_TINY)), full),
        "tokenizer": _clip_tokenizer(full),
        "tokenizer_2": _clip_tokenizer(full),
        "text_encoder": _clip(full, _CLIP_L),
        "text_encoder_2": _clip(full, _CLIP_BIGG, second=True),
        "scheduler": diffusers.EulerDiscreteScheduler(**_NOISE, timestep_spacing="leading"),
    }
    diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False).save_pretrained(folder)


def whisper(folder: Path, full: bool) -> None:
    """A Whisper large-v3."""
    import transformers

    tokenizer = _whisper_tokenizer(50_257 if full else 300)
    of = tokenizer.convert_tokens_to_ids
    end = of("<|endoftext|>")
    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    sizes = _WHISPER if full else _WHISPER_TINY
    config = transformers.WhisperConfig(
        **sizes, **ends, vocab_size=len(tokenizer), decoder_start_token_id=of("<|startoftranscript|>")
    )
    model = transformers.WhisperForConditionalGeneration(config)
    # What the decoder gives has the mean 1, so that these weights make a score of -100: marks and times are
    # never written but where the decoding demands one.
    model.model.decoder.layer_norm.bias.data.fill_(1)
    model.model.decoder.embed_tokens.weight.data[end:].fill_(-100 / config.d_model)
    told = {
        "max_length": WRITTEN if full else 16,
        "is_multilingual": True,
        "no_timestamps_token_id": of("<|notimestamps|>"),
        "max_initial_timestamp_index": 0,
        "lang_to_id": {f"<|{code}|>": of(f"<|{code}|>") for code in _languages()},
        "task_to_id": {name: of(f"<|{name}|>") for name in ("transcribe", "translate")},
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
        "_from_model_config": False,  # else it is made anew when loaded, without these
    }
    for name, value in told.items():
        setattr(model.generation_config, name, value)
    _half(model, full).save_pretrained(folder)
    ears = transformers.WhisperFeatureExtractor(feature_size=sizes["num_mel_bins"])
    transformers.WhisperProcessor(ears, tokenizer).save_pretrained(folder)


def chat(folder: Path, full: bool) -> None:
    """A Llama 3.2 of a billion weights, with a chat template."""
    import transformers

    marks = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    vocabulary = _vocabulary((128_256 if full else 600) - len(marks), "Ġ{}")
    vocabulary |= {mark: len(vocabulary) + n for n, mark in enumerate(marks)}
    end = vocabulary["<|endoftext|>"]
    tokenizer = transformers.GPT2Tokenizer(
        vocab=vocabulary, merges=[], chat_template=_TEMPLATE, extra_special_tokens=marks[:2]
    )
    config = transformers.LlamaConfig(
        **(_LLAMA if full else _LLAMA_TINY),
        vocab_size=len(vocabulary),
        rms_norm_eps=1e-5,
        rope_parameters=_ROPE,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
    )
    model = transformers.LlamaForCausalLM(config)
    # Of many thousand random scores the best is far above 0.
    model.model.embed_tokens.weight.data[-len(marks) :].zero_()
    _half(model, full).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


BUILDERS = {"sd15": sd15, "sdxl": sdxl, "whisper": whisper, "chat": chat}
"""Builders by the model's short name."""


def made(name: str, root: Path, full: bool) -> Path:
    """The folder of a model, built where ``root`` does not have it yet."""
    import diffusers
    import torch
    import transformers

    for library in (diffusers.utils, transformers):
        library.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder = root / f"{'full' if full else 'tiny'}-{name}"
    if not folder.exists():
        begun = root / f".{folder.name}"  # so that one that was cut short is not taken for whole
        torch.manual_seed(0)
        BUILDERS[name](begun, full)
        begun.rename(folder)
    return folder


def _half(module: Any, full: bool) -> Any:
    """The network as it is saved: of half precision where it is large."""
    import torch

    return module.to(torch.bfloat16) if full else module


def _vae(full: bool, **settings: Any) -> Any:
    import diffusers

    sizes: Mapping[str, Any] = _VAE if full else _VAE_TINY
    count = len(sizes["block_out_channels"])
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * count,
        "up_block_types": ("UpDecoderBlock2D",) * count,
    }
    return _half(diffusers.AutoencoderKL(**sizes, **blocks, latent_channels=4, **settings), full)


def _clip_tokenizer(full: bool) -> Any:
    import transformers

    vocabulary = _vocabulary((49_408 if full else 600) - 2, "{}</w>", ends="</w>")
    for mark in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[mark] = len(vocabulary)
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _clip(full: bool, sizes: Mapping[str, int], second: bool = False) -> Any:
    """A text encoder of CLIP, with a projection where it is SDXL's second."""
    import transformers

    count = 49_408 if full else 600
    sizes = sizes if full else _CLIP_TINY
    config = transformers.CLIPTextConfig(
        **sizes,
        vocab_size=count,
        max_position_embeddings=77,
        hidden_act="gelu" if second else "quick_gelu",
        projection_dim=sizes["hidden_size"],
        bos_token_id=count - 2,
        eos_token_id=count - 1,
        pad_token_id=count - 1,
    )
    cls = transformers.CLIPTextModelWithProjection if second else transformers.CLIPTextModel
    return _half(cls(config), full)


def _whisper_tokenizer(count: int) -> Any:
    """A tokenizer of ``count`` plain tokens, and Whisper's marks in the order of large-v3."""
    import transformers

    vocabulary = _vocabulary(count, "Ġ{}")
    vocabulary["<|endoftext|>"] = len(vocabulary)
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=[], language=None)
    marks = ["startoftranscript", *_languages(), "translate", "transcribe", "startoflm", "startofprev"]
    marks += ["nospeech", "notimestamps"]
    tokenizer.add_special_tokens({"extra_special_tokens": [f"<|{mark}|>" for mark in marks]})
    tokenizer.add_tokens([f"<|{n * 0.02:.2f}|>" for n in range(1501)])
    return tokenizer


def _languages() -> list[str]:
    """The codes of the languages that Whisper large-v3 knows."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return list(LANGUAGES)


def _vocabulary(count: int, form: str, ends: str = "") -> dict[str, int]:
    """``count`` tokens: the bytes, these with ``ends`` behind them, then made-up words that no text has."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(letter + ends for letter in letters if ends)]
    made_up = map("".join, itertools.product(string.ascii_lowercase, repeat=4))
    tokens += [form.format(word) for word in itertools.islice(made_up, count - len(tokens))]
    return {token: number for number, token in enumerate(tokens)}
