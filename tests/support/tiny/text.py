"""Tiny text models."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.support.tiny import words

SENTIMENT = {0: "NEGATIVE", 1: "POSITIVE"}


def bert_config(**more: Any) -> Any:
    """Of a tiny BERT."""
    size = {**words.SIZE, "vocab_size": len(words.wordpiece()), "max_position_embeddings": 128}
    return hf.BertConfig(**size, **more)


def classifier(folder: Path) -> None:
    """A BERT that tells good from bad."""
    labels = {label: index for index, label in SENTIMENT.items()}
    hf.BertForSequenceClassification(bert_config(id2label=SENTIMENT, label2id=labels)).save_pretrained(folder)
    words.bert().save_pretrained(folder)


def encoder(folder: Path) -> None:
    """A BERT without a head."""
    hf.BertModel(bert_config()).save_pretrained(folder)
    words.bert().save_pretrained(folder)
