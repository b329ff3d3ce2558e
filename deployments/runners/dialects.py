"""How models of translation are told their languages: by tokens, by prefixes, or not at all."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.runners import languages

_NLLB = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_MBART = re.compile(r"[a-z]{2}_[A-Z]{2}")
_MADLAD = re.compile(r"<2([a-z]{2,3}(?:_\w+)?)>")
_PAIR = re.compile(r"(?:^|[-_/])([a-z]{2,3})[-_](?:to[-_])?([a-z]{2,3})$", re.IGNORECASE)
_T5 = ("en", "de", "fr", "ro")  # what T5 was trained on (arXiv 1910.10683, section 2.4)


@dataclass(frozen=True)
class Dialect:
    """What one model of translation must be told.

    Attributes:
        targets: its own codes of the languages it writes; empty where it does not tell.
        sources: its own codes of the languages it reads, empty where it needs not be told which.
        usual: the source where none is told, empty where it must be told.
        prefix: what stands before the text, with ``{source}`` and ``{target}``.
        forced: the option of ``generate`` that takes the target's token, empty for none.
        tokens: the number of each target's token, by code.
        marks: what it takes for the name of a language wherever it stands in a text.

    """

    targets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    usual: str = ""
    prefix: str = ""
    forced: str = ""
    tokens: Mapping[str, int] = field(default_factory=dict)
    marks: tuple[str, ...] = ()

    @property
    def switched(self) -> bool:
        """Whether its tokenizer marks the source language."""
        return bool(self.tokens)

    def before(self, source: str, target: str) -> str:
        """What stands before a text."""
        if not self.switched and self.sources:  # T5 knows languages by their names
            source, target = (languages.told([code]) for code in (source, target))
        return self.prefix.replace("{source}", source).replace("{target}", target)

    def options(self, target: str) -> dict[str, int]:
        """What ``generate`` must be told."""
        return {self.forced: self.tokens[target]} if self.forced else {}


def dialect(model: Any, tokenizer: Any, name: str) -> Dialect:
    """The dialect of a model.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        name: its id on the Hub, from which a model of two languages tells them.

    """
    kind = model.config.model_type
    if kind in ("m2m_100", "nllb-moe", "mbart"):
        return _by_tokens(tokenizer, kind)
    if kind == "marian":
        return _marian(tokenizer, name)
    vocabulary = tokenizer.get_vocab()
    madlad = tuple(match[1] for token in vocabulary if (match := _MADLAD.fullmatch(token)))
    if madlad:
        return Dialect(
            targets=_preferred(madlad), prefix="<2{target}> ", marks=tuple(f"<2{code}>" for code in madlad)
        )
    pair = _pair(name)
    if kind == "t5" and not pair:
        return Dialect(_T5, _T5, usual="en", prefix="translate {source} to {target}: ")
    return Dialect(targets=pair[1:])


def _by_tokens(tokenizer: Any, kind: str) -> Dialect:
    """NLLB, M2M100, mBART-50 (``generate`` begins with the target), mBART (the decoder starts with it)."""
    tokens = dict(getattr(tokenizer, "lang_code_to_id", None) or {})
    if not tokens:
        shape = _MBART if kind == "mbart" else _NLLB
        tokens = {code: number for code, number in tokenizer.get_vocab().items() if shape.fullmatch(code)}
    codes = _preferred(tokens)
    first = type(tokenizer).__name__.startswith("MBartTokenizer")
    forced = "decoder_start_token_id" if first else "forced_bos_token_id"
    marks = tuple(tokenizer.convert_ids_to_tokens(list(tokens.values())))
    return Dialect(codes, codes, forced=forced, tokens=tokens, marks=marks)


def _marian(tokenizer: Any, name: str) -> Dialect:
    """OPUS-MT: a model of one target, or one with a token of each (``>>fra<<``)."""
    codes = tuple(code[2:-2] for code in getattr(tokenizer, "supported_language_codes", ()))
    if codes:
        marks = tuple(f">>{code}<<" for code in codes)
        return Dialect(targets=_preferred(codes), prefix=">>{target}<< ", marks=marks)
    last = name.lower().rpartition("-")[2]  # opus-mt-ROMANCE-en
    target = last if languages.language(last) else getattr(tokenizer, "target_lang", None)
    return Dialect(targets=(target,) if target else ())


def _pair(name: str) -> tuple[str, ...]:
    """Source and target in a name as ``opus-mt-en-de``; nothing where there are none."""
    match = _PAIR.search(name)
    found = (match[1].lower(), match[2].lower()) if match else ()
    return found if found and languages.language(found[1]) else ()


def _preferred(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes in order, so that of one language's the usual script comes first, as ``zho_Hans``."""
    return tuple(sorted(codes))
