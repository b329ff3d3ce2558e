"""Texts cut into sentences."""

import re
from collections.abc import Iterator

_END = re.compile(r"""[.!?…]+["'”’»)\]]*(?=\s)|[。！？]+[」』”’]*|\n\s*\n""")
_LAST_WORD = re.compile(r"\S+$")
_OPENING = "\"'“‘«([¿¡"

_NEVER_LAST = re.compile(
    r"""
    mr | mrs | ms | dr | prof | st | mt | messrs | gen | col | capt | lt | sgt | rev | hon | sen | rep | pres
    | jan | feb | mar | apr | jun | jul | aug | sept? | oct | nov | dec
    | e\.?g | i\.?e | cf | vs | ca | approx | al | figs? | no | vols? | pp | eds? | dept | min | max
    | z\.?b | d\.h | u\.a | bzw | nr | abb | mme | mlle | sra
    """,
    re.IGNORECASE | re.VERBOSE,
)
_STARTER = re.compile(
    r"(?:an?|and|as|at|but|for|he|his|how|however|i|if|in|its?|my|now|on|our|she|so|some|that|the|then|there|these"
    r"|they|this|those|to|we|what|when|while|who|why|you)\b",
    re.IGNORECASE,
)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+")
_LONGEST_WORD = 40


def split(text: str) -> list[str]:
    """The sentences of a text, in order, blanks evened out.

    A point ends a sentence where a capital, a number or a quote follows, but not after titles, usual
    abbreviations and initials. An empty line always ends one.
    """
    cut = [" ".join(piece.split()) for piece in _pieces(text)]
    return [sentence for sentence in cut if sentence]


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(text):
        if _ends(text, match):
            yield text[start : match.end()]
            start = match.end()
    yield text[start:]


def _ends(text: str, match: re.Match[str]) -> bool:
    mark = match[0]
    if mark[0] in "\n。！？":
        return True
    following = text[match.end() : match.end() + _LONGEST_WORD].lstrip()
    if not following:
        return True
    opening = following.lstrip(_OPENING)[:1]
    if opening.islower():
        return False
    return (
        mark[0] != "." or len(mark.strip("\"'”’»)]")) > 1 or not _abbreviated(text, match.start(), following)
    )


def _abbreviated(text: str, end: int, following: str) -> bool:
    """Whether the point at ``end`` belongs to the word before it rather than to the sentence."""
    before = _LAST_WORD.search(text, max(0, end - _LONGEST_WORD), end)
    if before is None:
        return False
    word = before[0].lstrip(_OPENING)
    if _NEVER_LAST.fullmatch(word):
        return word.lower() != "no" or following[:1].isdigit()
    if _INITIALS.fullmatch(word + "."):
        return _STARTER.match(following) is None
    return False
