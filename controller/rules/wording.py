"""Wording: the very words of a request that belong to a task, such as its question or its description."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from controller.rules.cues import Segment
from controller.rules.mentions import Mention
from controller.rules.reading import Reading, Token, is_question
from controller.rules.vocabulary import Vocabulary
from model_catalog.tasks import MEDIA, Modality

_LONGEST_POINTER = 3
"""The most words behind "the" that may point at a result instead of describing something new."""
_MARKS = frozenset(".,;:!?()-–—*•")


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a request that tell what something is to hold.

    Attributes:
        text: the words.
        pointing: whether they may point at something known instead ("the idea").
        addition: where they begin with a pronoun ("it as a watercolour"), the words behind it.

    """

    text: str
    pointing: bool = False
    addition: str | None = None


def question_quote(segment: Segment) -> Mention | None:
    """The quoted question among its words."""
    quotes = segment.mentions(Modality.TEXT)
    return next((quote for quote in quotes if is_question(quote.value, segment.vocabulary)), None)


def question(reading: Reading, segment: Segment) -> str | None:
    """The question its words ask, with "the picture" in place of a file's name; None where they ask none."""
    places = range(segment.start, segment.end)
    first = next((place for place in places if _asks(segment, place)), None)
    if first is None:
        return None
    tokens = _trimmed(segment.sentence.tokens[first : segment.end], _MARKS, _endings(segment.vocabulary))
    words = spoken(reading, segment.vocabulary, tokens)
    return words[:1].upper() + words[1:] + "?" if len(tokens) > 1 else None


def _asks(segment: Segment, place: int) -> bool:
    """Whether a question begins here: at a word such as "what", or at "is" in front of a "?"."""
    groups, words = segment.vocabulary.groups, segment.sentence.words
    if words[place] in groups["wh"]:
        return not segment.cue or place >= segment.cue[0] or place in segment.sentence.openings
    if words[place] not in groups["aux"] or "?" not in segment.words:
        return False
    return place == 0 or words[place - 1] in groups["joints"]


def spoken(reading: Reading, vocabulary: Vocabulary, tokens: Sequence[Token]) -> str:
    """The words as written, with what a file is in place of its name."""
    pieces: list[str] = []
    cursor = tokens[0].start if tokens else 0
    skipping = 0
    for index, token in enumerate(tokens):
        if skipping:
            skipping -= 1
            cursor = token.end
            continue
        thing, skipping = _thing(vocabulary, tokens, index)
        if thing is not None:
            pieces += [reading.text[cursor : token.start], thing]
            cursor = token.end
    pieces.append(reading.text[cursor : tokens[-1].end] if tokens else "")
    return " ".join("".join(pieces).replace("()", "").split())


def _thing(vocabulary: Vocabulary, tokens: Sequence[Token], index: int) -> tuple[str | None, int]:
    """What to say for a token, None for itself; and how many tokens behind it are said with it."""
    token = tokens[index]
    if token.mention and token.mention.file:
        said = _called(vocabulary, [other.word for other in tokens[max(0, index - 2) : index]])
        return ("" if said else vocabulary.things.get(token.mention.modality, "it")), 0
    if token.word in vocabulary.groups["several"] and index + 1 < len(tokens):
        modality = vocabulary.nouns.get(tokens[index + 1].word)
        if modality in MEDIA and tokens[index + 1].word in vocabulary.groups["several"]:
            return vocabulary.things[modality], 1
    return None, 0


def _called(vocabulary: Vocabulary, before: Sequence[str]) -> bool:
    """Whether the two words before a file's name say already what it is: "the sign", "an image ("."""
    if not before:
        return False
    known = before[-1] in vocabulary.nouns or before[-1] == "("
    determined = before[0] in vocabulary.groups["definites"] | vocabulary.groups["articles"]
    return known or (len(before) > 1 and determined and before[-1] not in vocabulary.groups["prepositions"])


def description(reading: Reading, segment: Segment) -> Words | None:
    """What something to be made or said is to hold; None where no words of the segment tell it."""
    quotes = segment.mentions(Modality.TEXT)
    if quotes:
        return Words(" ".join(quote.value for quote in quotes))
    vocabulary = segment.vocabulary
    tokens, cue = segment.sentence.tokens, segment.cue
    behind = _plain(tokens[cue[-1] + 1 : segment.end], vocabulary)
    between = _plain([tokens[place] for place in range(cue[0] + 1, cue[-1]) if place not in cue], vocabulary)
    if between and between[-1].end <= tokens[cue[-1]].start and tokens[cue[-1]].word in vocabulary.nouns:
        adjacent = between[-1] is tokens[cue[-1] - 1]
        between = [*between, tokens[cue[-1]]] if adjacent else between
    if _describes(behind, vocabulary):
        if _describes(between, vocabulary) and tokens[cue[-1]] in between:
            return Words(reading.text[between[0].start : behind[-1].end])
        return _words(reading, behind, vocabulary)
    if _describes(between, vocabulary):
        return _words(reading, between, vocabulary)
    return None


def _plain(tokens: Sequence[Token], vocabulary: Vocabulary) -> list[Token]:
    """The tokens up to the first file, without the words that lead to a description or trail behind it."""
    upto = next((index for index, token in enumerate(tokens) if token.mention), len(tokens))
    return _trimmed(tokens[:upto], vocabulary.groups["leads"] | _MARKS, _endings(vocabulary))


def _endings(vocabulary: Vocabulary) -> Collection[str]:
    return vocabulary.groups["trails"] | _MARKS


def _trimmed(tokens: Sequence[Token], leads: Collection[str], trails: Collection[str]) -> list[Token]:
    start, end = 0, len(tokens)
    while start < end and tokens[start].word in leads:
        start += 1
    while end > start and tokens[end - 1].word in trails:
        end -= 1
    return list(tokens[start:end])


def _describes(tokens: Sequence[Token], vocabulary: Vocabulary) -> bool:
    groups = vocabulary.groups
    empty = ("vague", "articles", "definites", "prepositions", "leads", "trails", "fillers")
    return any(
        token.word not in _MARKS and not any(token.word in groups[group] for group in empty)
        for token in tokens
    )


def _words(reading: Reading, tokens: Sequence[Token], vocabulary: Vocabulary) -> Words:
    text = reading.slice(tokens)
    definite = tokens[0].word in vocabulary.groups["definites"]
    if tokens[0].word in vocabulary.groups["pronouns"] and len(tokens) > 1:
        if tokens[1].word in vocabulary.groups["prepositions"]:
            return Words(text, addition=reading.slice(tokens[1:]))
    return Words(text, definite and len(tokens) <= 1 + _LONGEST_POINTER and text[1:] == text[1:].lower())


def prompt(reading: Reading, segment: Segment) -> Words | None:
    """The instruction itself, for experts that follow one ("Write a poem about autumn")."""
    described = description(reading, segment)
    if described is None or described.pointing or segment.mentions(Modality.TEXT):
        return described
    return Words(clause(reading, segment))


def instruction(reading: Reading, segment: Segment) -> str | None:
    """How a picture is to be changed; None where its words say no more than that it is."""
    quotes = segment.mentions(Modality.TEXT)
    if quotes:
        return " ".join(quote.value for quote in quotes)
    tokens, cue = segment.sentence.tokens, set(segment.cue)
    named = any(tokens[place].word in segment.vocabulary.groups["instructive"] for place in cue)
    spare = [tokens[place] for place in range(segment.start, segment.end) if place not in cue]
    if not named and not _describes([token for token in spare if not token.mention], segment.vocabulary):
        return None
    return clause(reading, segment)


def clause(reading: Reading, segment: Segment) -> str:
    """The words from the one that names the task on, as a sentence without its small talk."""
    first = segment.cue[0] if segment.cue else segment.start
    tokens = _trimmed(segment.sentence.tokens[first : segment.end], _MARKS, _MARKS)
    text = spoken(reading, segment.vocabulary, tokens)
    return text[:1].upper() + text[1:]


def target_language(segment: Segment) -> str | None:
    """The language to translate into, by its English name."""
    languages, words = segment.vocabulary.languages, segment.sentence.words
    said = [words[place] for place in segment.cue if words[place] in languages]
    if said:
        return languages[said[-1]]
    places = [place for place in range(segment.start, segment.end) if words[place] in languages]
    sources = segment.vocabulary.groups["sources"]
    targets = [place for place in places if not place or words[place - 1] not in sources]
    return languages[words[targets[-1]]] if targets else None


def labels(reading: Reading, segment: Segment) -> str | None:
    """The classes that its words offer ("as sport, politics or art"), parted by commas."""
    groups, tokens = segment.vocabulary.groups, segment.tokens
    first = next((index for index, token in enumerate(tokens) if token.word in groups["sorting"]), None)
    if first is None:
        return None
    items: list[list[Token]] = [[]]
    for token in tokens[first + 1 :]:
        if token.word in groups["joints"] or token.word in _MARKS:
            items.append([])
        elif token.word not in groups["sorting"]:
            items[-1].append(token)
    named = [reading.slice(_trimmed(item, groups["articles"], ())) for item in items if item]
    offered = [name for name in named if name]
    return ", ".join(offered) if len(offered) > 1 else None
