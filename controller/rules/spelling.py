"""Spelling: words as the vocabulary writes them, for those written in haste."""

from collections.abc import Iterable, Iterator, Mapping

_SHORTEST = 6
"""The fewest letters of a word that is put right: shorter ones are too often other words."""
_LONGEST = 20
_LONG = 8
"""From how many letters on a wrong letter is put right too; a shorter word may be another word."""


class Spelling:
    """Puts right a slip of the finger in the words that a language's vocabulary knows."""

    def __init__(self, spellings: Mapping[str, str], known: Iterable[str]) -> None:
        """Know the words, and the short forms that stand for them ("pls").

        Args:
            spellings: short forms, with the words they stand for.
            known: words that are right as they are, and that others are put right to.

        """
        self._spellings = dict(spellings)
        self._known = frozenset(known)
        self._slips: dict[str, str] = {}
        for word in sorted(self._known):
            if _SHORTEST <= len(word) <= _LONGEST:
                self._slips |= dict.fromkeys(_swapped(word), word)
                self._slips |= dict.fromkeys(_shortened(word), word)
            if _LONG <= len(word) <= _LONGEST:
                self._slips[word[:-1]] = word

    def right(self, word: str) -> str:
        """The word that was meant; the very word where that is not clear.

        The first and the last letter of a slip are right; two letters are swapped, one is missing or one too
        many. In a long word one letter may be wrong, or the last one missing.
        """
        if word in self._known or not word.isalpha():
            return self._spellings.get(word, word)
        if word in self._spellings:
            return self._spellings[word]
        if not _SHORTEST - 1 <= len(word) <= _LONGEST:
            return word
        if word in self._slips:
            return self._slips[word]
        for shorter in _shortened(word):
            if shorter in self._known and len(shorter) >= _SHORTEST:
                return shorter
            meant = self._slips.get(shorter)
            if meant is not None and len(word) == len(meant) >= _LONG and _differ_once(word, meant):
                return meant
        return word


def _swapped(word: str) -> Iterator[str]:
    """The word with two neighbouring letters swapped, the outer two kept."""
    for index in range(1, len(word) - 2):
        yield word[:index] + word[index + 1] + word[index] + word[index + 2 :]


def _shortened(word: str) -> Iterator[str]:
    """The word without one of its inner letters."""
    for index in range(1, len(word) - 1):
        yield word[:index] + word[index + 1 :]


def _differ_once(one: str, other: str) -> bool:
    return sum(a != b for a, b in zip(one, other, strict=True)) == 1
