"""Questions: the one that a request quotes, or the one that its own words ask, put directly."""

from collections.abc import Sequence

from controller.rules.cues import Segment
from controller.rules.mentions import Mention
from controller.rules.reading import Reading, Token, is_question
from controller.rules.vocabulary import Vocabulary
from controller.rules.wording import MARKS, spoken, trimmed
from model_catalog.tasks import Modality

_LONGEST_SUBJECT = 9
"""Within how many words a question has its verb."""


def question_quotes(segment: Segment) -> list[Mention]:
    """The quoted questions among its words."""
    quotes = segment.mentions(Modality.TEXT)
    return [quote for quote in quotes if is_question(quote.value, segment.vocabulary)]


def question(reading: Reading, segment: Segment) -> str | None:
    """The question its words ask, with "the picture" in place of a file's name; None where they ask none."""
    asking = "?" in segment.words
    places = range(segment.start, segment.end)
    groups = segment.vocabulary.groups
    leads = (groups["fillers"] - groups["prepositions"] - groups["whether"]) | MARKS
    first = next((_led(segment, place) for place in places if _asks(segment, place, asking)), None)
    if first is None:
        first = _fact(segment)
    if first is None and asking:
        first, leads = _inverted(segment), MARKS
    if first is None:
        return None
    trails = (groups["fillers"] - groups["inversions"]) | groups["joints"] | MARKS
    tokens = trimmed(segment.sentence.tokens[first : segment.end], leads, trails)
    if all(token.mention or token.word in groups["whether"] for token in tokens):
        return None
    words = _direct(reading, segment.vocabulary, tokens)
    asked = segment.vocabulary.asked.format(words=words[:1].upper() + words[1:])
    return asked if len(tokens) > 1 else None


def _direct(reading: Reading, vocabulary: Vocabulary, tokens: Sequence[Token]) -> str:
    """The words of a question in the order of a direct one: "if there is a dog", "what the man is doing"."""
    words = [token.word for token in tokens]
    groups = vocabulary.groups
    verb = next((i for i, word in enumerate(words[:_LONGEST_SUBJECT]) if word in groups["aux"]), 0)
    asks_whether = words[:1] and words[0] in groups["whether"]
    if not verb or not groups["whether"]:
        return spoken(reading, vocabulary, tokens[1:] if asks_whether else tokens)
    if asks_whether:
        order = [slice(verb, verb + 1), slice(1, verb), slice(verb + 1, None)]
    else:
        subject = _subject(words[:verb], vocabulary)
        if subject is None:
            return spoken(reading, vocabulary, tokens)
        order = [slice(subject), slice(verb, verb + 1), slice(subject, verb), slice(verb + 1, None)]
    parts = [spoken(reading, vocabulary, tokens[part]) for part in order]
    return " ".join(part for part in parts if part)


def _subject(words: Sequence[str], vocabulary: Vocabulary) -> int | None:
    """Where the subject begins that stands between a question word and its verb; None for the word itself."""
    groups = vocabulary.groups
    starts = (groups["definites"] | groups["pronouns"]) - groups["wh"] - groups["relatives"]
    place = next((i for i, word in enumerate(words) if i and word in starts), None)
    if place is None or (place > 1 and words[place - 1] in groups["prepositions"]):
        return None
    relative = not (groups["pronouns"] | groups["relatives"]).isdisjoint(words[place + 1 :])
    return None if relative or any(word in groups["joints"] or word in MARKS for word in words) else place


def _fact(segment: Segment) -> int | None:
    """Where the words behind "know" begin that name what is asked: "know the price of …"."""
    facts, words = segment.vocabulary.groups["fact"], segment.sentence.words
    asked = any(words[place] in facts for place in segment.cue)
    return segment.cue[0] + 1 if asked else None


def _led(segment: Segment, place: int) -> int:
    """Where a question begins that a preposition may open: "in which country …"."""
    groups, words, before = segment.vocabulary.groups, segment.sentence.words, place - 1
    free = groups["fillers"] | groups["knowing"]
    opens = before >= segment.start and (
        before in segment.sentence.openings or (before > 0 and words[before - 1] in free)
    )
    return before if opens and words[before] in groups["prepositions"] - groups["joints"] else place


def _inverted(segment: Segment) -> int | None:
    """Where the clause begins in which a pronoun behind the verb asks: "la voiture est-elle rouge"."""
    groups, words = segment.vocabulary.groups, segment.sentence.words
    if groups["inversions"].isdisjoint(words[place] for place in segment.cue):
        return None
    before = range(segment.cue[0] - 1, segment.start - 1, -1)
    return next((place + 1 for place in before if words[place] in groups["joints"]), segment.start)


def _asks(segment: Segment, place: int, asking: bool) -> bool:
    """Whether a question begins here: at a word such as "what", or at "is" in front of a "?"."""
    groups, words = segment.vocabulary.groups, segment.sentence.words
    if words[place] in groups["wh"]:
        return not segment.cue or place >= segment.cue[0] or place in segment.sentence.openings
    opens = place == 0 or words[place - 1] in groups["joints"]
    return asking and opens and words[place] in groups["aux"]
