"""Reading: a request as sentences of tokens, with its files and quoted texts as single tokens."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from controller.request import Message
from controller.rules.language import language_of
from controller.rules.mentions import Mention, find_mentions
from controller.rules.vocabulary import Vocabulary
from model_catalog.tasks import Modality

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_+")
_ENDS = frozenset(".!?;。！？")
_INTRODUCTION = 8
"""How many words before a colon, or in the line above a text, may say that a text follows."""
_SHORTEST = 2
"""The fewest words of a text that no quotation marks enclose."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word in lower case, a mark, or a mention written ``<image>``; and where it stands."""

    word: str
    start: int
    end: int
    mention: Mention | None = None


@dataclass(frozen=True)
class Sentence:
    """Tokens up to the end of a sentence, or to a word such as "then" that begins a step of its own."""

    tokens: tuple[Token, ...]
    vocabulary: Vocabulary

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The tokens' words."""
        return tuple(token.word for token in self.tokens)

    @cached_property
    def openings(self) -> frozenset[int]:
        """Positions where a clause may open: behind joints and the small talk that follows them."""
        passed = self.vocabulary.groups["fillers"] | self.vocabulary.groups["joints"]
        joints = self.vocabulary.groups["joints"]
        relatives = frozenset() if "?" in self.words else self.vocabulary.groups["relatives"]
        places: set[int] = set()
        for index in range(len(self.words)):
            before = self.words[index - 1] if index else ","
            if index and before in {",", "("} and self.words[index] in relatives:
                continue  # "…, where a man speaks" asks nothing
            if before in joints or (index - 1 in places and before in passed):
                places.add(index)
        return frozenset(places)

    @cached_property
    def paper(self) -> bool:
        """Whether it speaks of a document rather than of any other picture."""
        return next(self.vocabulary.papers.matches(self.words, self.openings), None) is not None


@dataclass(frozen=True)
class Reading:
    """A request, read.

    Attributes:
        text: its words as written; the tokens' places count in it.
        vocabulary: the language it was read in.
        sentences: its sentences in order.

    """

    text: str
    vocabulary: Vocabulary
    sentences: tuple[Sentence, ...]

    @cached_property
    def mentions(self) -> tuple[Mention, ...]:
        """Every file and quoted text, in order."""
        return tuple(
            token.mention for sentence in self.sentences for token in sentence.tokens if token.mention
        )

    def slice(self, tokens: Sequence[Token]) -> str:
        """The text that the tokens cover, as written."""
        return self.text[tokens[0].start : tokens[-1].end] if tokens else ""


def read(
    text: str, vocabularies: Sequence[Vocabulary] | None = None, context: Sequence[Message] = ()
) -> Reading:
    """Read a request in its language; ``context`` tells it where its own words do not."""
    vocabulary = language_of(text, context, vocabularies)
    mentions = find_mentions(text, lambda before: vocabulary.noun(_words(before, vocabulary)))
    sentences = _sentences(text, mentions, vocabulary)
    inline = _inline(text, sentences, vocabulary)
    if inline:
        mentions = sorted([*mentions, inline], key=lambda mention: mention.start)
        sentences = _placed(_sentences(text, mentions, vocabulary), inline)
    return Reading(text, vocabulary, sentences)


def is_question(text: str, vocabulary: Vocabulary) -> bool:
    """Whether a text asks something."""
    first = _TOKEN.search(text)
    asks = first is not None and _words(first[0], vocabulary)[0] in vocabulary.groups["questions"]
    return text.rstrip().endswith("?") and (asks or len(text) < 300)


def _words(text: str, vocabulary: Vocabulary) -> list[str]:
    return [token.word for token in _plain(text, 0, len(text), vocabulary)]


def _tokens(text: str, mentions: Sequence[Mention], vocabulary: Vocabulary) -> Iterator[Token]:
    cursor = 0
    for mention in mentions:
        yield from _plain(text, cursor, mention.start, vocabulary)
        yield Token(f"<{mention.modality}>", mention.start, mention.end, mention)
        cursor = mention.end
    yield from _plain(text, cursor, len(text), vocabulary)


def _plain(text: str, start: int, end: int, vocabulary: Vocabulary) -> Iterator[Token]:
    enclitics = vocabulary.groups["enclitics"]
    for match in _TOKEN.finditer(text, start, end):
        if (
            match[0] == "-"
            and text[match.start() - 1 : match.start()].isalnum()
            and text[match.end() : match.end() + 1].isalnum()
        ):
            continue
        place = match.start()
        for word, length in vocabulary.letters.words(match[0]):
            joined = f"-{word}"
            known = joined in enclitics and text[place - 1 : place] == "-"
            yield Token(joined if known else vocabulary.spelling.right(word), place, place + length)
            place += length


def _sentences(text: str, mentions: Sequence[Mention], vocabulary: Vocabulary) -> tuple[Sentence, ...]:
    sequels = vocabulary.groups["sequels"]
    groups: list[list[Token]] = [[]]
    for token in _tokens(text, mentions, vocabulary):
        last = groups[-1][-1] if groups[-1] else None
        if last and (token.word in sequels or _ends(text, last, token)):
            groups.append([])
        groups[-1].append(token)
    return tuple(Sentence(tuple(group), vocabulary) for group in groups if group)


def _ends(text: str, last: Token, token: Token) -> bool:
    """Whether a sentence ends between two tokens."""
    between = text[last.end : token.start]
    if "\n" in between:
        return True
    if last.mention is not None:  # a quoted sentence ends the sentence around it where a capital follows
        return last.mention.value[-1] in _ENDS and text[token.start].isupper()
    return last.word in _ENDS and token.word not in _ENDS and (bool(between) or token.mention is not None)


def _inline(text: str, sentences: Sequence[Sentence], vocabulary: Vocabulary) -> Mention | None:
    """The text that follows a colon, or stands under a first line, without quotation marks."""
    for number, sentence in enumerate(sentences):
        for index, token in enumerate(sentence.tokens):
            ends_line = index == len(sentence.tokens) - 1
            if token.word == ":" and (ends_line or sentence.tokens[index + 1].start > token.end):
                before = _introduction(text, sentences[: number + 1], index)
                if vocabulary.groups["texts"].intersection(before):
                    return _extent(text, [sentence.tokens[index + 1 :]], sentences[number + 1 :], vocabulary)
    if _titled(text, sentences, vocabulary):
        return _extent(text, [], sentences[1:], vocabulary)
    return None


def _introduction(text: str, sentences: Sequence[Sentence], index: int) -> Sequence[str]:
    """The words in front of a colon, with those of the step before it: "… the text, then read it:"."""
    *earlier, sentence = sentences
    words = sentence.words[:index]
    if earlier and not _ends(text, earlier[-1].tokens[-1], sentence.tokens[0]):
        words = earlier[-1].words + words
    return words[-_INTRODUCTION:] if not earlier else words[-2 * _INTRODUCTION :]


def _placed(sentences: tuple[Sentence, ...], inline: Mention) -> tuple[Sentence, ...]:
    """The sentences with the text where it is announced, if that is a step before the colon.

    In "translate the following text and read it: …" the text is what to translate.
    """
    holders = [number for number, sentence in enumerate(sentences) if _holds(sentence, inline)]
    last = holders[0] if holders else 0
    for number in range(max(0, last - 1), last + 1):
        place = _announced(sentences[number], sentences[number + 1 : last + 1], inline)
        if place is not None:
            token = next(token for token in sentences[last].tokens if token.mention is inline)
            return _moved(sentences, token, last, number, place)
    return sentences


def _holds(sentence: Sentence, inline: Mention) -> bool:
    return any(token.mention is inline for token in sentence.tokens)


def _announced(sentence: Sentence, rest: Sequence[Sentence], inline: Mention) -> int | None:
    """Where a sentence announces the text ("this article"), if a pronoun in a later step means it too."""
    groups, nouns = sentence.vocabulary.groups, sentence.vocabulary.nouns
    colon = next((i for i, token in enumerate(sentence.tokens) if token.mention is inline), None)
    head = sentence.words[:colon]
    first = next((i for i, word in enumerate(head) if word in groups["announcing"]), None)
    if first is None:
        return None
    place = first + 1
    if place < len(head) and nouns.get(head[place]) is Modality.TEXT:
        place += 1
    later = [*head[place:], *(token.word for after in rest for token in after.tokens)]
    return None if groups["pronouns"].isdisjoint(later) else place


def _moved(
    sentences: tuple[Sentence, ...], token: Token, source: int, target: int, place: int
) -> tuple[Sentence, ...]:
    """The sentences with one token taken from ``source`` to a place in ``target``."""
    moved = list(sentences)
    for number in {source, target}:
        kept = [other for other in sentences[number].tokens if other is not token]
        if number == target:
            kept.insert(place, token)
        moved[number] = Sentence(tuple(kept), sentences[number].vocabulary)
    return tuple(moved)


def _titled(text: str, sentences: Sequence[Sentence], vocabulary: Vocabulary) -> bool:
    """Whether the first line is a short instruction above a text of its own."""
    if len(sentences) < 2:
        return False
    first, second = sentences[:2]
    apart = "\n\n" in text[first.tokens[-1].end : second.tokens[0].start]
    short = len(first.words) <= 2 * _INTRODUCTION
    return apart and short and not vocabulary.groups["texts"].isdisjoint(first.words)


def _extent(
    text: str, begun: list[tuple[Token, ...]], rest: Sequence[Sentence], vocabulary: Vocabulary
) -> Mention | None:
    """From the first token up to a mention, or to a sentence that asks for something."""
    taken: list[Token] = [token for tokens in begun for token in tokens]
    if any(token.mention for token in taken):
        return None
    for sentence in rest:
        if any(token.mention for token in sentence.tokens) or (taken and _asks(sentence, vocabulary)):
            break
        taken += sentence.tokens
    if len(taken) < _SHORTEST:
        return None
    start, end = taken[0].start, taken[-1].end
    return Mention(text[start:end], Modality.TEXT, start, end)


def _asks(sentence: Sentence, vocabulary: Vocabulary) -> bool:
    head = sentence.words[: 2 * _INTRODUCTION]
    if head[0] not in vocabulary.groups["restarts"]:
        return False
    return next(vocabulary.senses.matches(head, sentence.openings), None) is not None
