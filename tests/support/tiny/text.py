"""Tiny text models."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.support.tiny import tokens, words

SENTIMENT = {0: "NEGATIVE", 1: "POSITIVE"}
ENTITIES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
NLI = ("contradiction", "neutral", "entailment")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML.replace("assistant\n{%", "assistant\n<think>\n{%")


def bert_config(**more: Any) -> Any:
    """Of a tiny BERT."""
    size = {**words.SIZE, "vocab_size": len(words.wordpiece()), "max_position_embeddings": 128}
    return hf.BertConfig(**{**size, "initializer_range": 0.3, **more})


def named(labels: Any) -> dict[str, Any]:
    """Both ways of a configuration's labels."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}


def classifier(folder: Path) -> None:
    """A BERT that tells good from bad."""
    config = bert_config(**named(SENTIMENT.values()))
    hf.BertForSequenceClassification(config).save_pretrained(folder)
    words.bert().save_pretrained(folder)


def encoder(folder: Path) -> None:
    """A BERT without a head."""
    hf.BertModel(bert_config()).save_pretrained(folder)
    words.bert().save_pretrained(folder)


def many_scripts_filler(folder: Path) -> None:
    """A BERT that fills gaps, among whose letters are those by which others mark their words."""
    vocabulary = words.wordpiece()
    vocabulary |= {letter: len(vocabulary) + n for n, letter in enumerate("▁Ġ")}
    hf.BertForMaskedLM(bert_config(vocab_size=len(vocabulary))).save_pretrained(folder)
    hf.BertTokenizer(vocab=vocabulary, model_max_length=128).save_pretrained(folder)


def tagger(folder: Path) -> None:
    """A BERT that finds entities."""
    hf.BertForTokenClassification(bert_config(**named(ENTITIES))).save_pretrained(folder)
    words.bert().save_pretrained(folder)


def filler(folder: Path) -> None:
    """A BERT that fills gaps."""
    hf.BertForMaskedLM(bert_config()).save_pretrained(folder)
    words.bert().save_pretrained(folder)


def answerer(folder: Path) -> None:
    """A BERT that finds answers."""
    hf.BertForQuestionAnswering(bert_config()).save_pretrained(folder)
    words.bert().save_pretrained(folder)


def judge(folder: Path) -> None:
    """A BERT of natural language inference."""
    hf.BertForSequenceClassification(bert_config(**named(NLI))).save_pretrained(folder)
    words.bert().save_pretrained(folder)


def roberta_filler(folder: Path) -> None:
    """A RoBERTa that fills gaps, 62 tokens at once."""
    vocabulary = tokens.byte_vocabulary("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer = hf.RobertaTokenizer(vocab=vocabulary, merges=[])
    size = {**words.SIZE, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    hf.RobertaForMaskedLM(
        hf.RobertaConfig(**size, pad_token_id=1, bos_token_id=0, eos_token_id=2)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def modern_filler(folder: Path) -> None:
    """A ModernBERT that fills gaps."""
    size = {**words.SIZE, "vocab_size": len(words.wordpiece()), "max_position_embeddings": 128}
    specials = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    hf.ModernBertForMaskedLM(hf.ModernBertConfig(**size, **specials)).save_pretrained(folder)
    names = ["input_ids", "attention_mask"]
    hf.BertTokenizer(vocab=words.wordpiece(), model_max_length=128, model_input_names=names).save_pretrained(
        folder
    )


def bart_judge(folder: Path) -> None:
    """A BART of natural language inference."""
    config, tokenizer = _bart()
    for name, value in named(NLI).items():
        setattr(config, name, value)
    hf.BartForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# Vectors ----------------------------------------------------------------------------------------------


def last_token(folder: Path) -> None:
    """A Qwen3 whose last token's state is the vector, padded on the left."""
    tokenizer = hf.Qwen2Tokenizer(
        vocab=tokens.byte_vocabulary("<|endoftext|>"), merges=[], padding_side="left"
    )
    config = hf.Qwen3Config(
        **words.SIZE,
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        num_key_value_heads=2,
        head_dim=8,
    )
    hf.Qwen3Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tokens.write(folder / "1_Pooling" / "config.json", {"pooling_mode_lasttoken": True})


# Encoder-decoders --------------------------------------------------------------------------------------


def t5(folder: Path, tokenizer: Any = None) -> None:
    """A T5 with the presets of the real one."""
    tokenizer = tokenizer or tokens.t5_tokenizer()
    presets = {
        "summarization": {"prefix": "summarize: ", "max_length": 12, "min_length": 8, "num_beams": 2},
        "translation_en_to_fr": {"prefix": "translate English to French: ", "num_beams": 2},
    }
    config = hf.T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        task_specific_params=presets,
    )
    hf.T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def madlad(folder: Path) -> None:
    """A T5 with a token for each target."""
    tokenizer = tokens.t5_tokenizer()
    tokenizer.add_tokens(["<2en>", "<2fr>", "<2zh>"])
    t5(folder, tokenizer)


def bart(folder: Path) -> None:
    """A BART that reads 128 tokens at once."""
    config, tokenizer = _bart()
    endless(hf.BartForConditionalGeneration(config), folder)
    tokenizer.save_pretrained(folder)


def pegasus(folder: Path) -> None:
    """A Pegasus, whose positions are sines."""
    tokenizer = tokens.t5_tokenizer()
    tokenizer.save_pretrained(folder)
    config = hf.PegasusConfig(
        vocab_size=len(tokenizer),
        **SEQ2SEQ,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    endless(hf.PegasusForConditionalGeneration(config), folder)


def tapex(folder: Path) -> None:
    """A BART over tables, as TAPEX is stored: BART's vocabulary under a tokenizer class of its own."""
    config, tokenizer = _bart()
    model = hf.BartForConditionalGeneration(config)
    model.generation_config.max_length = 8
    endless(model, folder)
    tokens.write(folder / "vocab.json", tokenizer.get_vocab())
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokens.write(
        folder / "tokenizer_config.json", {"tokenizer_class": "TapexTokenizer", "do_lower_case": True}
    )


def _bart(**more: Any) -> tuple[Any, Any]:
    vocabulary = tokens.byte_vocabulary("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer = hf.BartTokenizer(vocab=vocabulary, merges=[], model_max_length=128)
    config = hf.BartConfig(
        vocab_size=len(tokenizer),
        **{**SEQ2SEQ, "max_position_embeddings": 128, **more},
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    return config, tokenizer


SEQ2SEQ: dict[str, Any] = {
    "init_std": 0.3,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
}


# Decoders -----------------------------------------------------------------------------------------------


def llama(folder: Path, template: str | None = None, marks: tuple[str, ...] = (), **generation: Any) -> None:
    """A Llama that reads and writes 256 tokens, with a chat template or without."""
    marks = ("<|im_start|>", "<|im_end|>", *marks)
    tokenizer = hf.GPT2Tokenizer(
        vocab=tokens.byte_vocabulary("<|endoftext|>", *marks),
        merges=[],
        chat_template=template,
        extra_special_tokens=list(marks),
    )
    config = hf.LlamaConfig(
        **words.SIZE,
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = hf.LlamaForCausalLM(config)
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def chat(folder: Path) -> None:
    """A chat model that draws its words by chance."""
    llama(folder, CHATML, do_sample=True, temperature=1.0)


def thinker(folder: Path) -> None:
    """A chat model that is made to think first."""
    llama(folder, THINKING)


def harmonist(folder: Path) -> None:
    """A chat model that thinks and answers in channels."""
    llama(folder, CHATML, ("<|channel|>", "<|message|>", "<|end|>"))


def gpt2(folder: Path) -> None:
    """A GPT-2 without a token for padding."""
    tokenizer = hf.GPT2Tokenizer(
        vocab=tokens.byte_vocabulary("<|endoftext|>"), merges=[], model_max_length=64
    )
    config = hf.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    hf.GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# Tables -------------------------------------------------------------------------------------------------


def tapas(folder: Path) -> None:
    """A TAPAS that counts and adds."""
    import torch

    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words.wordpiece()))
    hf.TapasTokenizer(vocab_file=str(vocabulary), model_max_length=128).save_pretrained(folder)
    config = hf.TapasConfig(
        **words.SIZE,
        vocab_size=len(words.wordpiece()),
        max_position_embeddings=128,
        num_aggregation_labels=4,
        initializer_range=0.3,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
    )
    model = hf.TapasForQuestionAnswering(config)
    model.output_bias.data.fill_(9.0)  # every cell of the best column is chosen,
    model.aggregation_classifier.bias.data[:] = torch.tensor([0.0, 0.0, 0.0, 99.0])  # and counted
    model.save_pretrained(folder)


def endless(model: Any, folder: Path) -> None:
    """Store an encoder-decoder so that it never ends by itself: by chance most would end at once."""
    model.generation_config.suppress_tokens = [model.config.eos_token_id]
    model.generation_config.forced_eos_token_id = None
    model.save_pretrained(folder)
