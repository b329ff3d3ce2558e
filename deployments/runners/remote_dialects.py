"""How models of translation that are served elsewhere are told their languages: known by their ids alone.

The client takes a model's own codes of both languages, or none; names that people write become such codes.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from deployments.errors import InputError
from deployments.runners import languages

_T5 = re.compile(r"(?:^|/)(?:google-t5/)?t5-\w+$", re.IGNORECASE)
_T5_LANGUAGES = ("en", "de", "fr", "ro")  # what T5 was trained on (arXiv 1910.10683, section 2.4)


def _nllb() -> Sequence[str]:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    return sorted(FAIRSEQ_LANGUAGE_CODES)


def _m2m() -> Sequence[str]:
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    return sorted(FAIRSEQ_LANGUAGE_CODES["m2m100"])


def _mbart() -> Sequence[str]:
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES

    return sorted(FAIRSEQ_LANGUAGE_CODES)


_CODES: tuple[tuple[str, Callable[[], Sequence[str]]], ...] = (
    ("nllb", _nllb),
    ("m2m100", _m2m),
    ("mbart-large-50", _mbart),
)


def put(name: str, text: str, source: str | None, target: str | None) -> tuple[str, dict[str, str]]:
    """What a model is sent: the text, with a prefix where its kind wants one, and the client's options.

    Args:
        name: the model's id.
        text: the text to translate.
        source: the text's language as someone wrote it, None where nobody did; then the text tells it.
        target: the language wanted; models of one pair of languages need none.

    Raises:
        InputError: the model needs a target language, or does not know one of them.

    """
    lowered = name.lower()
    for mark, codes in _CODES:
        if mark in lowered:
            known = codes()
            return text, {
                "src_lang": _code(name, source, known) if source else _read(text, known),
                "tgt_lang": _code(name, target, known),
            }
    if "madlad" in lowered:
        meant = languages.language(target or "")
        return f"<2{meant.codes[0] if meant else _code(name, target, ())}> {text}", {}
    if _T5.search(name):
        first, second = (_code(name, told, _T5_LANGUAGES) for told in (source or "en", target))
        return f"translate {languages.told([first])} to {languages.told([second])}: {text}", {}
    return text, {"src_lang": source, "tgt_lang": target} if source and target else {}


def _code(name: str, written: str | None, codes: Sequence[str]) -> str:
    if not written:
        raise InputError(f"{name} needs a target_language, such as French.")
    found = languages.choose(written, codes)
    if found is None:
        known = f"; it knows {languages.told(codes)}" if codes else ""
        raise InputError(f"{name} does not know the language {written[:40]!r}{known}.")
    return found


def _read(text: str, codes: Sequence[str]) -> str:
    """The code of the language a text is written in; of English where that cannot be told."""
    classifier = _detector()
    found = languages.detect(classifier, text, codes) if classifier else None
    return found or languages.choose("English", codes) or codes[0]


@cache
def _detector() -> Any:
    return languages.detector()
