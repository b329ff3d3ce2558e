"""Phrases: word patterns kept as data, matched over tokens in time linear in the text.

A phrase is a row of steps parted by blanks. A step is one or more words parted by ``/``:

- ``word`` that word; ``wor*`` any word that begins so; ``@name`` any word of a group;
- ``<image>``, ``<text>`` and so on: a file of that modality, a quoted text; ``<>`` either;
- a trailing ``?`` makes the step optional; round brackets keep its word free for other phrases;
- ``~`` before a step spans up to four words of one noun phrase, ``...`` up to ten words of any kind;
- ``^`` at the front: only where a clause opens.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Sense = TypeVar("Sense")

NARROW = 4
"""How many words ``~`` spans."""
WIDE = 10
"""How many words ``...`` spans."""

_ANY_MENTION = "<>"


@dataclass(frozen=True, slots=True)
class _Step:
    words: frozenset[str]
    stems: tuple[str, ...] = ()
    optional: bool = False
    free: bool = False
    gap: int = 0

    def accepts(self, word: str) -> bool:
        if word in self.words:
            return True
        if self.stems and word.startswith(self.stems):
            return True
        return _ANY_MENTION in self.words and word[0] == "<" and len(word) > 1


@dataclass(frozen=True, slots=True)
class Match(Generic[Sense]):
    """What a phrase means, and the positions of the words that say it (gaps and free words left out)."""

    meaning: Sense
    positions: tuple[int, ...]

    @property
    def start(self) -> int:
        """Position of its first word."""
        return self.positions[0]

    @property
    def end(self) -> int:
        """Position behind its last word."""
        return self.positions[-1] + 1


@dataclass(frozen=True, slots=True)
class _Phrase(Generic[Sense]):
    steps: tuple[_Step, ...]
    opening: bool
    meaning: Sense


class PhraseBook(Generic[Sense]):
    """Phrases with their meanings, indexed by their first word.

    Attributes:
        words: every word that a phrase names in full.

    """

    def __init__(
        self,
        entries: Iterable[tuple[str, Sense]],
        groups: Mapping[str, Collection[str]] | None = None,
        stops: Collection[str] = (),
    ) -> None:
        """Compile the phrases.

        Args:
            entries: each phrase with what it means.
            groups: the words behind each ``@name``.
            stops: words that ``~`` does not span, such as prepositions.

        Raises:
            ValueError: a phrase is empty, names no such group, or does not begin with a word.

        """
        self.words: set[str] = set()
        self._stops = frozenset(stops)
        self._by_word: defaultdict[str, list[_Phrase[Sense]]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[_Phrase[Sense]]] = defaultdict(list)
        for text, meaning in entries:
            phrase = _compile(text, meaning, groups or {})
            self.words.update(word for step in phrase.steps for word in step.words if word.isalpha())
            for word in phrase.steps[0].words:
                self._by_word[word].append(phrase)
            for stem in phrase.steps[0].stems:
                self._by_stem[stem].append(phrase)
        self._stem_lengths = sorted({len(stem) for stem in self._by_stem})

    def matches(self, words: Sequence[str], openings: Collection[int] = ()) -> Iterator[Match[Sense]]:
        """Every place where a phrase begins, from left to right; each with its nearest completion."""
        for index, word in enumerate(words):
            for phrase in self._candidates(word):
                if phrase.opening and index not in openings:
                    continue
                positions = self._complete(phrase.steps, 1, words, index + 1)
                if positions is not None:
                    yield Match(phrase.meaning, positions if phrase.steps[0].free else (index, *positions))

    def _candidates(self, word: str) -> Iterator[_Phrase[Sense]]:
        if word in self._by_word:
            yield from self._by_word[word]
        if word[0] == "<" and _ANY_MENTION in self._by_word:
            yield from self._by_word[_ANY_MENTION]
        for length in self._stem_lengths:
            if length > len(word):
                break
            if word[:length] in self._by_stem:
                yield from self._by_stem[word[:length]]

    def _complete(
        self, steps: tuple[_Step, ...], at: int, words: Sequence[str], index: int
    ) -> tuple[int, ...] | None:
        """Positions of the steps from ``at`` on, where they fit the words from ``index`` on."""
        if at == len(steps):
            return ()
        step = steps[at]
        for place in range(index, min(index + step.gap + 1, len(words))):
            if step.accepts(words[place]):
                rest = self._complete(steps, at + 1, words, place + 1)
                if rest is not None:
                    return rest if step.free else (place, *rest)
            if step.gap == NARROW and words[place] in self._stops:
                break
        return self._complete(steps, at + 1, words, index) if step.optional else None


def _compile(text: str, meaning: Sense, groups: Mapping[str, Collection[str]]) -> _Phrase[Sense]:
    parts = text.split()
    opening = bool(parts) and parts[0] == "^"
    steps: list[_Step] = []
    gap = 0
    for part in parts[opening:]:
        if part in {"~", "..."}:
            gap = NARROW if part == "~" else WIDE
            continue
        steps.append(_step(part, gap, groups))
        gap = 0
    if not steps or gap or steps[0].gap or steps[0].optional or all(step.free for step in steps):
        raise ValueError(f"The phrase {text!r} must begin and end with a word.")
    return _Phrase(tuple(steps), opening, meaning)


def _step(part: str, gap: int, groups: Mapping[str, Collection[str]]) -> _Step:
    optional = len(part) > 1 and part.endswith("?")
    part = part.removesuffix("?") if optional else part
    free = part.startswith("(") and part.endswith(")")
    words = [word for name in part.strip("()" if free else "").split("/") for word in expand(name, groups)]
    return _Step(
        frozenset(word for word in words if not word.endswith("*")),
        tuple(word[:-1] for word in words if word.endswith("*")),
        optional,
        free,
        gap,
    )


def expand(name: str, groups: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A word itself, or the words of a ``@group`` and of the groups it names."""
    if not name.startswith("@"):
        yield name
    elif name[1:] in groups:
        for word in groups[name[1:]]:
            yield from expand(word, groups)
    else:
        raise ValueError(f"There is no group of words {name!r}.")
