"""Tokenizers and vocabularies of letters and a few words, beyond BERT's."""

import json
from pathlib import Path
from typing import Any

import transformers as hf

from tests.support.tiny import words


def byte_vocabulary(*specials: str) -> dict[str, int]:
    """Special tokens and the bytes."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {token: n for n, token in enumerate(dict.fromkeys([*specials, *bytes_to_unicode().values()]))}


def t5_tokenizer() -> Any:
    """A tokenizer of T5: words and letters."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0)]
    known = dict.fromkeys(word for word in words.WORDS if len(word) > 1)
    pieces += [("▁" + word, -3.0 - 0.01 * n) for n, word in enumerate(known)]
    pieces += [(letter, -6.0) for letter in words.LETTERS]
    return hf.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=64)


def sentencepiece(path: Path) -> list[str]:
    """Train a small SentencePiece model into a file; its pieces."""
    import sentencepiece as library

    library.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(words.WORDS), words.LETTERS] * 4),
        model_prefix=str(path.with_suffix("")),
        vocab_size=120,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.with_suffix(".vocab").unlink()
    path.with_suffix(".model").rename(path)
    model = library.SentencePieceProcessor(model_file=str(path))
    return [model.id_to_piece(n) for n in range(model.get_piece_size())]


def write(path: Path, value: Any) -> None:
    """Write a JSON file, and its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))
