"""Wording: the very words of a request that belong to a task, such as the description of a picture."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile

from controller.rules.cues import Segment
from controller.rules.reading import Reading, Token
from controller.rules.vocabulary import Vocabulary
from model_catalog.tasks import MEDIA, Modality

_LONGEST_POINTER = 3
"""The most words behind "the" that may point at a result instead of describing something new."""
_BASIS_WORDS = 2
"""How many words before a name may say that it is a basis."""
_MOST_TIMES = 10
"""The most times that one request makes the same thing."""
MARKS = frozenset(".,;:!?()-–—*•")
"""Marks that belong to no word."""


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
    names_nothing = vocabulary.groups["prepositions"] | vocabulary.groups["aux"]
    return known or (len(before) > 1 and determined and before[-1] not in names_nothing)


def picture(reading: Reading, segment: Segment) -> Words | None:
    """What a picture is to show; with its kind, where that says more than that it is a picture ("a logo")."""
    words, last = description(reading, segment), segment.cue[-1]
    kind = segment.sentence.tokens[last]
    if (
        words is None
        or kind.word not in segment.vocabulary.groups["kinds"]
        or segment.mentions(Modality.TEXT)
    ):
        return words
    before = _plain(segment.sentence.tokens[segment.cue[0] + 1 : last], segment.vocabulary)
    behind = _plain(segment.sentence.tokens[last + 1 : _before_basis(segment)], segment.vocabulary)
    tokens = [*before, kind, *behind]
    return words if words.addition else Words(reading.slice(tokens), words.pointing)


def description(reading: Reading, segment: Segment) -> Words | None:
    """What something to be made or said is to hold; None where no words of the segment tell it."""
    quotes = segment.mentions(Modality.TEXT)
    if quotes:
        return Words(" ".join(quote.value for quote in quotes))
    vocabulary = segment.vocabulary
    tokens, cue = segment.sentence.tokens, segment.cue
    behind = _plain(tokens[cue[-1] + 1 : _before_basis(segment)], vocabulary)
    if behind and _qualifies(tokens[cue[-1] : cue[-1] + 2], behind[0], vocabulary):
        behind = [tokens[cue[-1]], *behind]
    between = _between(segment)
    if not _describes(between, vocabulary):
        return _words(reading, behind, vocabulary) if _describes(behind, vocabulary) else None
    if not _describes(behind, vocabulary):
        return _words(reading, between, vocabulary)
    if between[-1] is tokens[cue[-1]]:  # "a black and white picture of a dog"
        return Words(reading.text[between[0].start : behind[-1].end])
    return _words(reading, behind, vocabulary)


def _qualifies(pair: Sequence[Token], first: Token, vocabulary: Vocabulary) -> bool:
    """Whether the first word told stands right behind the thing it qualifies: "une musique calme"."""
    groups = vocabulary.groups
    return (
        pair[-1] is first
        and vocabulary.nouns.get(pair[0].word) in MEDIA
        and not any(first.word in groups[group] for group in ("prepositions", "articles", "definites"))
    )


def descriptions(reading: Reading, segment: Segment) -> list[str]:
    """What each of several pictures is to show: "a picture of a cat and one of a dog"; else nothing."""
    groups, nouns = segment.vocabulary.groups, segment.vocabulary.nouns
    tokens = segment.sentence.tokens[segment.cue[-1] + 1 : _before_basis(segment)]
    words = [token.word for token in tokens]
    plural = any(segment.sentence.words[place] in groups["several"] for place in segment.cue)
    before = [*words[:1], segment.sentence.words[segment.cue[-1]]]
    lead = next((word for word in before if word in groups["prepositions"]), None)
    parts: list[list[Token]] = [[]]
    cursor = 0
    while cursor < len(tokens):
        width = _next_description(words, cursor, lead, plural, segment.vocabulary) if parts[-1] else 0
        if width:
            parts.append([])
        else:
            parts[-1].append(tokens[cursor])
        cursor += width or 1
    if any(token.mention for token in tokens) or len(parts) < 2:
        return []
    plain = [_plain(part, segment.vocabulary) for part in parts]
    known = all(part and _describes(part, segment.vocabulary) for part in plain)
    return [reading.slice(part) for part in plain] if known and nouns else []


def _next_description(
    words: Sequence[str], cursor: int, lead: str | None, plural: bool, vocabulary: Vocabulary
) -> int:
    """How many words lead to a description of its own: "and another one of", or "and" before "a dog"."""
    groups = vocabulary.groups
    if words[cursor] not in groups["joints"] or lead is None:
        return 0
    behind = cursor + 1
    while behind < min(len(words), cursor + _BASIS_WORDS) and words[behind] in groups["joints"]:
        behind += 1
    place = behind
    while place < min(len(words), behind + _BASIS_WORDS + 2) and _counts(words[place], vocabulary):
        place += 1
    if place < len(words) and words[place] == lead:
        return place + 1 - cursor
    return behind - cursor if plural and place > behind and words[place - 1] in groups["articles"] else 0


def _counts(word: str, vocabulary: Vocabulary) -> bool:
    """Whether a word may stand in for the thing described: "one", "a picture", "another"."""
    known = vocabulary.groups["articles"] | vocabulary.groups["another"] | vocabulary.numbers.keys()
    return word in known or vocabulary.nouns.get(word) in MEDIA


def times(segment: Segment) -> int:
    """How often a result is wanted: "two pictures", "twice", "three times"; once where nothing is said."""
    vocabulary, words, cue = segment.vocabulary, segment.sentence.words, segment.cue
    for place in range(segment.start, segment.end):
        number = vocabulary.numbers.get(words[place]) or _figure(words[place])
        if number is None:
            continue
        behind = words[place + 1] if place + 1 < segment.end else ""
        counted = cue[0] < place < cue[-1] and words[cue[-1]] in vocabulary.groups["several"]
        if counted or words[place] in vocabulary.groups["times"] or behind in vocabulary.groups["times"]:
            return min(number, _MOST_TIMES)
    return 1


def _figure(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 2 else None


def _before_basis(segment: Segment) -> int:
    """Where words such as "using that pose" begin, which tell what to follow and describe nothing."""
    bases, words = segment.vocabulary.groups["bases"], segment.sentence.words
    for match in segment.names:
        for place in range(match.start - 1, max(match.start - 1 - _BASIS_WORDS, segment.cue[-1]), -1):
            if words[place] in bases:
                return place
    return segment.end


def _between(segment: Segment) -> list[Token]:
    """What stands among the words of the cue, with the thing it qualifies: "(make a) scary picture"."""
    tokens, cue = segment.sentence.tokens, segment.cue
    named = set(cue)
    numbers = segment.vocabulary.numbers
    among = [tokens[place] for place in range(cue[0] + 1, cue[-1]) if place not in named]
    among = [token for token in among if token.word not in numbers and _figure(token.word) is None]
    between = _plain(among, segment.vocabulary)
    last = tokens[cue[-1]]
    qualifies = bool(between) and between[-1] is tokens[cue[-1] - 1] and last.word in segment.vocabulary.nouns
    return [*between, last] if qualifies else between


def _plain(tokens: Sequence[Token], vocabulary: Vocabulary) -> list[Token]:
    """The tokens up to the first file, without the words that lead to a description or trail behind it."""
    upto = next((index for index, token in enumerate(tokens) if token.mention), len(tokens))
    return trimmed(tokens[:upto], vocabulary.groups["leads"] | MARKS, _endings(vocabulary))


def _endings(vocabulary: Vocabulary) -> Collection[str]:
    return vocabulary.groups["trails"] | MARKS


def trimmed(tokens: Sequence[Token], leads: Collection[str], trails: Collection[str]) -> list[Token]:
    """The tokens without those in front and behind that are of no account there."""
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
        token.word in groups["greetings"]
        or (token.word not in MARKS and not any(token.word in groups[group] for group in empty))
        for token in tokens
    )


def _words(reading: Reading, tokens: Sequence[Token], vocabulary: Vocabulary) -> Words:
    text = reading.slice(tokens)
    definite = tokens[0].word in vocabulary.groups["definites"]
    pronoun = len(tokens) > 1 and tokens[0].word in vocabulary.groups["pronouns"]
    if pronoun and tokens[1].word in vocabulary.groups["prepositions"]:
        return Words(text, addition=reading.slice(tokens[1:]))
    return Words(text, definite and len(tokens) <= 1 + _LONGEST_POINTER and text[1:] == text[1:].lower())


def antecedent(reading: Reading, segment: Segment) -> str | None:
    """What stands before the words that name the task, for "it" to mean: "a red fox, please draw it"."""
    passed = segment.vocabulary.groups["fillers"] | segment.vocabulary.groups["joints"] | MARKS
    tokens = trimmed(segment.sentence.tokens[segment.start : segment.cue[0]], passed, passed)
    known = not any(token.mention for token in tokens) and _describes(tokens, segment.vocabulary)
    return reading.slice(tokens) if known else None


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
    spare = [tokens[place] for place in range(segment.cue[0], segment.end) if place not in cue]
    if not named and not _describes([token for token in spare if not token.mention], segment.vocabulary):
        return None
    return clause(reading, segment)


def clause(reading: Reading, segment: Segment) -> str:
    """The words from the one that names the task on, as a sentence without its small talk."""
    first = segment.cue[0] if segment.cue else segment.start
    trails = MARKS | segment.vocabulary.groups["joints"]
    tokens = trimmed(segment.sentence.tokens[first : segment.end], MARKS, trails)
    text = spoken(reading, segment.vocabulary, tokens)
    return text[:1].upper() + text[1:]


def target_languages(segment: Segment) -> list[str]:
    """The languages to translate into, by their English names."""
    languages, words = segment.vocabulary.languages, segment.sentence.words
    first = next((place for place in reversed(segment.cue) if words[place] in languages), None)
    if first is None:
        towards = segment.vocabulary.groups["towards"]
        behind = range(max(1, segment.start), segment.end)
        told = (place for place in behind if words[place] in languages and words[place - 1] in towards)
        first = next(told, None)
    if first is None:
        sources = segment.vocabulary.groups["sources"]
        places = [place for place in range(segment.start, segment.end) if words[place] in languages]
        first = next((place for place in places if not place or words[place - 1] not in sources), None)
    if first is None:
        return []
    groups = segment.vocabulary.groups
    passed = groups["joints"] | groups["towards"] | languages.keys()
    listed = takewhile(lambda place: words[place] in passed, range(first, len(words)))
    return list(dict.fromkeys(languages[words[place]] for place in listed if words[place] in languages))


def labels(reading: Reading, segment: Segment) -> str | None:
    """The classes that its words offer ("as sport, politics or art"), parted by commas."""
    groups, tokens = segment.vocabulary.groups, segment.tokens
    first = next((index for index, token in enumerate(tokens) if token.word in groups["sorting"]), None)
    if first is None:
        return None
    items: list[list[Token]] = [[]]
    for token in tokens[first + 1 :]:
        if any(items) and (token.mention or token.word == ":"):
            break  # the text to sort
        if token.word in groups["joints"] or token.word in MARKS:
            items.append([])
        elif token.word not in groups["sorting"]:
            items[-1].append(token)
    named = [reading.slice(trimmed(item, groups["articles"], ())) for item in items if item]
    offered = [name for name in named if name]
    return ", ".join(offered) if len(offered) > 1 else None
