"""Language: which of the known languages a request is in."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from controller.request import Message
from controller.rules.mentions import find_mentions
from controller.rules.vocabulary import Vocabulary, vocabularies

_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_ADDRESSES = re.compile(r"https?://\S+|(?<!\w)/\S+")
_TEXT_FOLLOWS = re.compile(r":(?=\s)|\n\s*\n")
_MOST_WORDS = 500
"""How many words of a text tell its language."""
_MOST_TURNS = 10
"""How many earlier turns are asked where a request does not tell, newest first."""
_LONGEST_TURN = 20_000
_FIRST = 3
"""How many other words the first one weighs: "Draw le Tour de France" is English."""


def language_of(
    text: str, context: Sequence[Message] = (), among: Sequence[Vocabulary] | None = None
) -> Vocabulary:
    """The language that knows most words of a request; quoted texts and names of files do not count.

    The words before a colon or an empty line decide alone where they can, since a text to work on may
    follow. Where two languages know equally many, the person's earlier turns decide, the newest first; then
    the first language, which is English.
    """
    known = among or vocabularies()
    if len(known) == 1:
        return known[0]
    turns = (message.content[:_LONGEST_TURN] for message in reversed(context) if message.role == "user")
    for said in (text, *islice(turns, _MOST_TURNS)):
        found = _told(said, known)
        if found is not None:
            return found
    return known[0]


def _told(text: str, known: Sequence[Vocabulary]) -> Vocabulary | None:
    """The language that a text tells, None where two are equally likely."""
    own = "".join(_own(text))
    follows = _TEXT_FOLLOWS.search(own)
    return (_ahead(own[: follows.start()], known) if follows else None) or _ahead(own, known)


def _own(text: str) -> Iterator[str]:
    """What a person says besides quoted texts and names of files."""
    cursor = 0
    for mention in find_mentions(text):
        yield _ADDRESSES.sub(" ", text[cursor : mention.start])
        yield " "
        cursor = mention.end
    yield _ADDRESSES.sub(" ", text[cursor:])


def _ahead(text: str, known: Sequence[Vocabulary]) -> Vocabulary | None:
    words = [match[0] for match in islice(_WORDS.finditer(text), _MOST_WORDS)]
    counts = [_count(words, vocabulary) for vocabulary in known]
    most = max(counts)
    return known[counts.index(most)] if counts.count(most) == 1 else None


def _count(words: Sequence[str], vocabulary: Vocabulary) -> int:
    """How many of the words a language knows; the first word, mostly an order, weighs more than the rest."""
    spelled = [word for written in words for word, _ in vocabulary.letters.words(written)]
    known = [word in vocabulary.signs for word in spelled]
    return sum(known) + (_FIRST - 1) * sum(known[:1])
