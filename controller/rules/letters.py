"""Letters: how the words of a language are written, so that a forgotten accent changes nothing."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

_WORD = re.compile(r"[^\W\d_]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})


class Letters:
    """Writes words as the vocabulary has them: in lower case, without accents, one by one."""

    def __init__(self, accented: Iterable[str] = (), elisions: Sequence[str] = ()) -> None:
        """Know what is special in a language.

        Args:
            accented: words that only an accent tells from others, and that keep it.
            elisions: short words that an apostrophe joins to the next one, such as ``l'``.

        """
        self._accented = frozenset(accented)
        short = "|".join(re.escape(word.removesuffix("'")) for word in elisions)
        self._elided = re.compile(rf"(?:{short})['’](?=\w)", re.IGNORECASE) if short else None

    def word(self, written: str) -> str:
        """One word as the vocabulary has it."""
        word = written.lower().replace("’", "'")
        if word.isascii() or word in self._accented:
            return word
        apart = unicodedata.normalize("NFD", word.translate(_LIGATURES))
        return unicodedata.normalize("NFC", _ACCENTS.sub("", apart))

    def words(self, written: str) -> Iterator[tuple[str, int]]:
        """The words of what stands between two blanks, each with its length as written."""
        start = 0
        while self._elided and (match := self._elided.match(written, start)):
            yield self.word(match[0]), match.end() - start
            start = match.end()
        yield self.word(written[start:]), len(written) - start

    def text(self, written: str) -> str:
        """A text with every word as the vocabulary has it."""
        return _WORD.sub(lambda match: self.word(match[0]), written)
