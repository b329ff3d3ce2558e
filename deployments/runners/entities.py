"""Labelled tokens become entities: runs of tokens under one tag."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_NONE = frozenset({"O", "0", ""})  # labels of tokens outside every entity
_SCHEMES = frozenset("BIESLU")  # begin, inside, end, single; last and unit in another dialect
_FIRST = frozenset("BSU")


@dataclass(frozen=True, slots=True)
class Token:
    """A labelled token.

    Attributes:
        start: its first character in the text.
        end: the character behind its last.
        word: the number of the word it belongs to, None where words are not told.
        label: the best label, as ``B-PER``.
        score: the label's probability.

    """

    start: int
    end: int
    word: int | None
    label: str
    score: float


def entities(text: str, tokens: Iterable[Token]) -> list[dict[str, Any]]:
    """The entities of a text as plain data, in order; their words are the text's own.

    A token joins the run before it if it has the same tag and does not begin an entity (schemes BIO, BIOES,
    BILOU, or none), or is a further piece of the same word.
    """
    return [entity for run in _runs(tokens) for entity in _entity(text, run)]


def _runs(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    run: list[Token] = []
    for token in tokens:
        if run and _joins(run[-1], token):
            run.append(token)
            continue
        if run:
            yield run
        run = [token]
    if run:
        yield run


def _joins(last: Token, token: Token) -> bool:
    if _tag(last.label) != _tag(token.label):
        return False
    return token.label[:1] not in _FIRST or "-" not in token.label or _one_word(last, token)


def _one_word(last: Token, token: Token) -> bool:
    return token.word is not None and token.word == last.word and token.start == last.end


def _tag(label: str) -> str:
    scheme, dash, tag = label.partition("-")
    return tag if dash and scheme in _SCHEMES else label


def _entity(text: str, run: list[Token]) -> Iterator[dict[str, Any]]:
    tag = _tag(run[0].label)
    start, end = run[0].start, run[-1].end
    word = text[start:end]
    if tag in _NONE or not word.strip():
        return
    start += len(word) - len(word.lstrip())
    word = word.strip()
    yield {
        "entity": tag,
        "word": word,
        "score": round(sum(token.score for token in run) / len(run), 4),
        "start": start,
        "end": start + len(word),
    }
