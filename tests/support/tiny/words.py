"""Tokenizers made from scratch, and the size of a tiny transformer."""

import string
from typing import Any

import transformers as hf

_TEXT = """
    the a cat dog sat on mat in is are was red blue green car house man woman city paris france who
    what where when how many much question answer yes no good bad movie film love hate this that it
    of to and summarize translate english french total number invoice name age alice bob london
    hello hill text short about
"""
WORDS = tuple(_TEXT.split())
LETTERS = string.ascii_lowercase + string.digits + ".,?!:'-()/"

SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
}
"""A transformer's usual measures."""


def wordpiece() -> dict[str, int]:
    """A vocabulary of words, letters and ends of words."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    tokens += [word for word in WORDS if len(word) > 1]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def bert(cls: Any = None) -> Any:
    """A BERT tokenizer."""
    return (cls or hf.BertTokenizer)(vocab=wordpiece(), model_max_length=128)
