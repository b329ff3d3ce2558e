"""Languages by name and code, and a text's language."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

_TABLE = """
af afr Afrikaans; am amh Amharic; ar ara arb Arabic; az aze azj Azerbaijani; be bel Belarusian;
bg bul Bulgarian; bn ben Bengali/Bangla; bs bos Bosnian; ca cat Catalan; cs ces cze Czech; cy cym wel Welsh;
da dan Danish; de deu ger German; el ell gre Greek; en eng English; eo epo Esperanto;
es spa Spanish/Castilian; et est ekk Estonian; eu eus baq Basque; fa fas per pes Persian/Farsi;
fi fin Finnish; fil tl tgl Filipino/Tagalog; fr fra fre French; ga gle Irish; gl glg Galician;
gu guj Gujarati; ha hau Hausa; he iw heb Hebrew; hi hin Hindi; hr hrv Croatian; hu hun Hungarian;
hy hye arm Armenian; id ind Indonesian; ig ibo Igbo; is isl ice Icelandic; it ita Italian;
ja jpn jap Japanese; jv jav Javanese; ka kat geo Georgian; kk kaz Kazakh; km khm Khmer; kn kan Kannada;
ko kor Korean; ku kur kmr Kurdish; ky kir Kyrgyz; la lat Latin; lb ltz Luxembourgish; lo lao Lao;
lt lit Lithuanian; lv lav lvs Latvian; mg mlg plt Malagasy; mk mkd mac Macedonian; ml mal Malayalam;
mn mon khk Mongolian; mr mar Marathi; ms msa may zsm Malay; mt mlt Maltese; my mya bur Burmese;
ne nep npi Nepali; nl nld dut Dutch/Flemish; no nb nor nob Norwegian; or ory Odia/Oriya;
pa pan Punjabi; pl pol Polish; ps pus pbt Pashto; pt por Portuguese; ro ron rum Romanian/Moldovan;
ru rus Russian; sd snd Sindhi; si sin Sinhala; sk slk slo Slovak; sl slv Slovenian; so som Somali;
sq sqi alb als Albanian; sr srp Serbian; su sun Sundanese; sv swe Swedish; sw swa swh Swahili; ta tam Tamil;
te tel Telugu; th tha Thai; tr tur Turkish; uk ukr Ukrainian; ur urd Urdu; uz uzb uzn Uzbek;
vi vie Vietnamese; wo wol Wolof; xh xho Xhosa; yi yid ydd Yiddish; yo yor Yoruba;
zh zho chi cmn Chinese/Mandarin; zu zul Zulu
"""
"""Codes of ISO 639-1, 639-2 and 639-3, those of one language together, then its English names."""

_LOOKED_AT = 2000  # characters that tell a text's language
_NAMED = 12  # languages shown in a message


@dataclass(frozen=True, slots=True)
class Language:
    """A language.

    Attributes:
        codes: its codes of ISO 639, the usual one first.
        names: its English names, the usual one first.

    """

    codes: tuple[str, ...]
    names: tuple[str, ...]


@cache
def _known() -> dict[str, Language]:
    """Every language of the table by each of its codes and names, in lower case."""
    found = {}
    for row in _TABLE.replace("\n", " ").split(";"):
        *codes, names = row.split()
        language = Language(tuple(codes), tuple(names.split("/")))
        found.update(dict.fromkeys((*codes, *(name.lower() for name in language.names)), language))
    return found


def language(written: str) -> Language | None:
    """The language that a name or code means, as ``French``, ``fr``, ``fra_Latn`` or ``pt-BR``."""
    plain = " ".join(written.lower().split())
    return _known().get(plain) or _known().get(re.split(r"[_-]", plain)[0])


def choose(written: str, codes: Sequence[str]) -> str | None:
    """The one of a model's own codes that a name or code means, None where the model has none for it.

    Args:
        written: as a person or a plan writes it.
        codes: the model's codes; of several for one language the first is taken.

    """
    plain = written.strip().lower().replace("-", "_")
    for code in codes:
        if plain == code.lower().replace("-", "_"):
            return code
    meant = language(written)
    return next((code for code in codes if meant and language(code) == meant), None)


def told(codes: Iterable[str]) -> str:
    """A model's languages, in words: the best known first, and how many more there are."""
    found = {}
    for code in codes:
        meant = language(code)
        found[meant.names[0] if meant else code] = meant is None
    names = sorted(found, key=lambda name: (found[name], name))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def detector() -> Any:
    """The language classifier, None where py3langid is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def detect(classifier: Any, text: str, codes: Sequence[str]) -> str | None:
    """The one of a model's codes that a text is most likely written in."""
    for label, _ in classifier.rank(text[:_LOOKED_AT]):
        found = choose(str(label), codes)
        if found:
            return found
    return None
