"""Tiny models of pictures and words together."""

import json
from pathlib import Path
from typing import Any

import transformers as hf

from tests.support.tiny import words

SIDE = {"height": 32, "width": 32}
VIT = {"image_size": 32, "patch_size": 8, **words.SIZE}
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ANSWERS = {0: "yes", 1: "no", 2: "red", 3: "two", 4: "cat", 5: "dog"}


def lively(model: Any, times: float = 12.0) -> Any:
    """The model with larger weights, so that what it says depends on what it is given."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(times)
    return model


def letters(*specials: str, cls: Any = None, **more: Any) -> Any:
    """A tokenizer of bytes, its first special token the one that fills up."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    vocabulary = dict.fromkeys((*specials, *bytes_to_unicode().values()))
    return (cls or hf.GPT2Tokenizer)(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=[],
        model_max_length=512,
        **{"pad_token": specials[0], **more},
    )


def _blip(cls: Any, folder: Path) -> None:
    tokenizer = words.bert()
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
        "encoder_hidden_size": 32,
        "projection_dim": 32,
        **words.SIZE,
    }
    vision = {"initializer_range": 0.02, **VIT}
    config = hf.BlipConfig(text_config=text, vision_config=vision, projection_dim=32)
    lively(cls(config)).save_pretrained(folder)
    hf.BlipProcessor(hf.BlipImageProcessor(size=SIDE), tokenizer).save_pretrained(folder)


def blip(folder: Path) -> None:
    """A BLIP that describes pictures."""
    _blip(hf.BlipForConditionalGeneration, folder)


def blip_answers(folder: Path) -> None:
    """A BLIP that answers questions."""
    _blip(hf.BlipForQuestionAnswering, folder)


def blip2(folder: Path) -> None:
    """A BLIP-2 with OPT."""
    tokenizer = letters("<pad>", "<s>", "</s>", "<image>", bos_token="</s>", eos_token="</s>")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<image>"]})
    text = {
        "model_type": "opt",
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 37,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 2,
    }
    config = hf.Blip2Config(
        vision_config=VIT,
        qformer_config={"vocab_size": 10, "encoder_hidden_size": 32, **words.SIZE},
        text_config=text,
        num_query_tokens=4,
        image_token_index=3,
    )
    lively(hf.Blip2ForConditionalGeneration(config)).save_pretrained(folder)
    images = hf.BlipImageProcessor(size=SIDE)
    hf.Blip2Processor(images, tokenizer, num_query_tokens=4).save_pretrained(folder)


def git(folder: Path) -> None:
    """A GIT."""
    tokenizer = words.bert()
    config = hf.GitConfig(
        vision_config={**VIT, "projection_dim": 32},
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        **words.SIZE,
    )
    lively(hf.GitForCausalLM(config)).save_pretrained(folder)
    images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    hf.GitProcessor(images, tokenizer).save_pretrained(folder)


def _pair(folder: Path, encoder: Any, decoder: Any, **tokens: int) -> None:
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    for name, token in tokens.items():
        setattr(config, name, token)
    model = lively(hf.VisionEncoderDecoderModel(config))
    for name, token in tokens.items():
        setattr(model.generation_config, name, token)
    model.save_pretrained(folder)


def vit_gpt2(folder: Path) -> None:
    """A ViT with a GPT-2."""
    tokenizer = letters("<|endoftext|>")
    decoder = hf.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
        add_cross_attention=True,
        is_decoder=True,
    )
    tokens = {"decoder_start_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    _pair(folder, hf.ViTConfig(**VIT), decoder, **tokens)
    hf.ViTImageProcessor(size=SIDE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def trocr(folder: Path) -> None:
    """A TrOCR, whose configuration tells what it begins with in its decoder alone."""
    tokenizer = _bart()
    decoder = hf.TrOCRConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=37,
        max_position_embeddings=64,
        decoder_start_token_id=2,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    _pair(folder, hf.ViTConfig(**VIT), decoder)
    hf.TrOCRProcessor(hf.ViTImageProcessor(size=SIDE), tokenizer).save_pretrained(folder)


def donut(folder: Path) -> None:
    """A Donut that answers questions about documents."""
    marks = ("<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "</s_answer>")
    tokenizer = _bart()
    tokenizer.add_special_tokens({"extra_special_tokens": list(marks)})
    encoder = hf.DonutSwinConfig(
        image_size=[64, 64], patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4
    )
    decoder = hf.MBartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=37,
        max_position_embeddings=256,
        is_decoder=True,
        add_cross_attention=True,
        encoder_layers=0,
        encoder_attention_heads=4,
        encoder_ffn_dim=4,
        is_encoder_decoder=False,
    )
    tokens = {"decoder_start_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    _pair(folder, encoder, decoder, **tokens)
    images = hf.DonutImageProcessor(size={"height": 64, "width": 64})
    hf.DonutProcessor(images, tokenizer).save_pretrained(folder)


def _bart() -> Any:
    return letters("<s>", "<pad>", "</s>", "<unk>", "<mask>", cls=hf.RobertaTokenizer, pad_token="<pad>")


def vilt(folder: Path) -> None:
    """A ViLT that chooses among answers."""
    tokenizer = words.bert()
    config = hf.ViltConfig(
        vocab_size=len(tokenizer),
        image_size=32,
        patch_size=8,
        max_position_embeddings=40,
        id2label=ANSWERS,
        label2id={answer: index for index, answer in ANSWERS.items()},
        **words.SIZE,
    )
    lively(hf.ViltForQuestionAnswering(config)).save_pretrained(folder)
    images = hf.ViltImageProcessor(size={"shortest_edge": 32}, size_divisor=8)
    hf.ViltProcessor(images, tokenizer).save_pretrained(folder)


def _llava(folder: Path, chat: str | None, **generation: Any) -> None:
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>")
    tokenizer = letters(*specials, extra_special_tokens={"image_token": "<image>"})
    tokenizer.add_special_tokens({"additional_special_tokens": list(specials[1:3])})
    text = hf.LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        **words.SIZE,
    )
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(projection_dim=32, **VIT),
        text_config=text,
        image_token_index=3,
        vision_feature_layer=-1,
        image_seq_length=16,
    )
    model = lively(hf.LlavaForConditionalGeneration(config))
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    hf.LlavaProcessor(
        hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat,
    ).save_pretrained(folder)


def llava(folder: Path) -> None:
    """A LLaVA."""
    _llava(folder, CHAT)


def llava_drawn(folder: Path) -> None:
    """A LLaVA whose own configuration has it draw its tokens."""
    _llava(folder, CHAT, do_sample=True, temperature=0.8, top_p=0.9)


def llava_mute(folder: Path) -> None:
    """A LLaVA without a chat template."""
    _llava(folder, None)


def qwen_vl(folder: Path) -> None:
    """A Qwen2.5-VL as on the Hub: its processor also takes films."""
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = letters(*specials, *marks, cls=hf.Qwen2Tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": [*specials[1:], *marks]})
    tokenizer.chat_template = CHAT.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    start, end, image, video = tokenizer.convert_tokens_to_ids(list(marks))
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 512,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        **words.SIZE,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_heads": 4,
        "out_hidden_size": 32,
        "patch_size": 14,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }
    config = hf.Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    lively(hf.Qwen2_5_VLForConditionalGeneration(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    hf.Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56}).save_pretrained(
        folder
    )
    written = folder / "preprocessor_config.json"
    named = {**json.loads(written.read_text("utf-8")), "processor_class": "Qwen2_5_VLProcessor"}
    written.write_text(json.dumps(named), "utf-8")


def layoutlm(folder: Path) -> None:
    """A LayoutLM that answers questions about documents."""
    tokenizer = words.bert()
    config = hf.LayoutLMConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, max_2d_position_embeddings=1024, **words.SIZE
    )
    lively(hf.LayoutLMForQuestionAnswering(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def manga(folder: Path) -> None:
    """A ViT with a BERT that writes Japanese; its tokenizer would split words with MeCab."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x3042 + n) for n in range(40))]
    (folder / "vocab.txt").write_text("\n".join(tokens), "utf-8")
    tokenizer = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": "mecab",
        "subword_tokenizer_type": "character",
        "mecab_kwargs": {"mecab_dic": "unidic_lite"},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), "utf-8")
    decoder = hf.BertConfig(
        vocab_size=len(tokens),
        max_position_embeddings=64,
        is_decoder=True,
        add_cross_attention=True,
        **words.SIZE,
    )
    tokens_of = {"decoder_start_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    _pair(folder, hf.ViTConfig(**VIT), decoder, **tokens_of)
    hf.ViTImageProcessor(size=SIDE).save_pretrained(folder)


def paligemma(folder: Path) -> None:
    """A PaliGemma, which is asked without a chat template."""
    tokenizer = letters("<pad>", "<eos>", "<bos>", "<image>", bos_token="<bos>", eos_token="<eos>")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<image>"]})
    images = hf.SiglipImageProcessor(size=SIDE)
    images.image_seq_length = 16
    made = hf.PaliGemmaProcessor(images, tokenizer)
    text = {
        "model_type": "gemma",
        "vocab_size": len(tokenizer),
        "head_dim": 8,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        **words.SIZE,
    }
    config = hf.PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", "projection_dim": 32, **VIT},
        text_config=text,
        image_token_index=3,
        projection_dim=32,
        hidden_size=32,
    )
    lively(hf.PaliGemmaForConditionalGeneration(config)).save_pretrained(folder)
    made.save_pretrained(folder)
