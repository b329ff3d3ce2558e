"""Wording: the very words of a request that belong to a task, such as its question or its description."""

from collections.abc import Sequence

from controller.rules.cues import Segment
from controller.rules.mentions import Mention
from controller.rules.reading import Reading, Token, is_question
from controller.rules.vocabulary import Vocabulary
from model_catalog.tasks import MEDIA, Modality

_LONGEST_REFERENCE = 3
"""The most words of a description that may point at a result ("the main topic") and describe nothing."""


def question_quote(segment: Segment) -> Mention | None:
    """The quoted question among its words."""
    quotes = segment.mentions(Modality.TEXT)
    return next((quote for quote in quotes if is_question(quote.value, segment.vocabulary)), None)


def question(reading: Reading, segment: Segment) -> str | None:
    """The question its words ask, with "the picture" in place of a file's name; None where they ask none."""
    groups = segment.vocabulary.groups
    tokens = segment.tokens
    first = next(
        (index for index, token in enumerate(tokens) if _asks(segment, index, token)),
        None,
    )
    if first is None:
        return None
    words = _spoken(reading, _trimmed(tokens[first:], groups["joints"] | {".", "?", "!", ";"}))
    return words[:1].upper() + words[1:] + "?" if words else None


def _asks(segment: Segment, index: int, token: Token) -> bool:
    groups = segment.vocabulary.groups
    place = segment.start + index
    if token.word in groups["wh"]:
        return place >= segment.cue[0] or place in segment.sentence.openings
    return token.word in groups["questions"] and place in segment.sentence.openings and _leads(segment, index)


def _leads(segment: Segment, index: int) -> bool:
    """Whether nothing but small talk stands before the word ("can you" is small talk itself)."""
    groups = segment.vocabulary.groups
    following = segment.words[index + 1] if index + 1 < len(segment.words) else ""
    return following not in groups["fillers"] or segment.words[index] not in groups["fillers"]


def description(reading: Reading, segment: Segment) -> str | None:
    """What a picture or text to be made is to show; None where its words only point at something else."""
    quotes = [quote.value for quote in segment.mentions(Modality.TEXT)]
    if quotes:
        return " ".join(quotes)
    groups = segment.vocabulary.groups
    cue = segment.cue
    between = [
        segment.sentence.tokens[place]
        for place in range(cue[0] + 1, cue[-1])
        if place not in cue
        and segment.sentence.tokens[place].word not in groups["vague"] | groups["articles"]
    ]
    tokens = [token for token in segment.sentence.tokens[cue[-1] + 1 : segment.end]]
    tokens = _before_file(_stripped(tokens, groups["leads"], groups["trails"]))
    tokens = _stripped(tokens, groups["leads"], groups["trails"])
    if between and not any(token.mention for token in between):
        tokens = (
            [token for token in segment.sentence.tokens if between[0].start <= token.start]
            if False
            else tokens
        )
    described = [token for token in tokens if _describes(token.word, segment.vocabulary)]
    if not described:
        return None
    return reading.slice(tokens)
