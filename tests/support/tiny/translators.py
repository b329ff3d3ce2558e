"""Tiny encoder-decoders that translate."""

from pathlib import Path

import transformers as hf

from tests.support.tiny import tokens, words
from tests.support.tiny.text import SEQ2SEQ, endless


def marian(folder: Path) -> None:
    """A Marian of two languages, which only its name tells."""
    _marian(folder)


def marian_many(folder: Path) -> None:
    """A Marian of several targets."""
    _marian(folder, ">>fra<<", ">>spa<<", ">>pt_br<<")


def _marian(folder: Path, *codes: str) -> None:
    spm = tokens.sentencepiece(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    pieces = ["</s>", "<unk>", *codes, *(piece for piece in spm if piece[0] != "<"), "<pad>"]
    tokens.write(folder / "vocab.json", {piece: n for n, piece in enumerate(pieces)})
    tokens.write(
        folder / "tokenizer_config.json", {"tokenizer_class": "MarianTokenizer", "model_max_length": 64}
    )
    end = len(pieces) - 1
    config = hf.MarianConfig(
        vocab_size=len(pieces),
        **SEQ2SEQ,
        max_position_embeddings=64,
        pad_token_id=end,
        eos_token_id=0,
        decoder_start_token_id=end,
        bad_words_ids=[[end]],
        num_beams=2,
    )
    endless(hf.MarianMTModel(config), folder)


def m2m100(folder: Path) -> None:
    """An M2M100 of a hundred languages."""
    spm = tokens.sentencepiece(folder / "sentencepiece.bpe.model")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece in spm if piece[0] != "<")]
    tokens.write(folder / "vocab.json", {piece: n for n, piece in enumerate(pieces)})
    tokenizer = hf.M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), model_max_length=64
    )
    tokenizer.save_pretrained(folder)
    _m2m(folder, len(pieces) + 108, len(pieces))


def nllb(folder: Path) -> None:
    """An NLLB of some languages."""
    pieces = {**dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "▁", *words.LETTERS])}
    codes = ["eng_Latn", "fra_Latn", "deu_Latn", "zho_Hans", "zho_Hant", "ace_Arab"]
    tokenizer = hf.NllbTokenizer(
        vocab={piece: n for n, piece in enumerate(pieces)},
        merges=[],
        extra_special_tokens=codes,
        model_max_length=64,
    )
    tokenizer.save_pretrained(folder)
    _m2m(folder, len(tokenizer))


def _m2m(folder: Path, vocabulary: int, words_end: int | None = None) -> None:
    """Store a model; the tokens behind ``words_end`` are those of languages, and it rarely writes them."""
    config = hf.M2M100Config(
        vocab_size=vocabulary,
        **SEQ2SEQ,
        max_position_embeddings=64,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    model = hf.M2M100ForConditionalGeneration(config)
    if words_end is not None:
        model.model.shared.weight.data[words_end:] *= 0.1
    endless(model, folder)


def mbart50(folder: Path) -> None:
    """An mBART-50."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -6.0) for letter in words.LETTERS]
    tokenizer = hf.MBart50Tokenizer(vocab=pieces, model_max_length=64)
    tokenizer.save_pretrained(folder)
    config = hf.MBartConfig(
        vocab_size=len(tokenizer),
        **SEQ2SEQ,
        max_position_embeddings=64,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    endless(hf.MBartForConditionalGeneration(config), folder)
