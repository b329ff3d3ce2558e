"""Cues: the places of a sentence that ask for a task, each with the words that belong to it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

from controller.rules.mentions import Mention
from controller.rules.phrases import Match
from controller.rules.reading import Sentence, Token
from controller.rules.vocabulary import Name, Sense, Vocabulary
from model_catalog.tasks import Modality


@dataclass(frozen=True)
class Segment:
    """The words of a sentence that belong to one cue.

    Attributes:
        sentence: the sentence.
        start: position of its first token.
        end: position behind its last token.
        cue: positions of the words that name the task; empty where nothing is asked.
        names: what it points at among the results, by position.

    """

    sentence: Sentence
    start: int
    end: int
    cue: tuple[int, ...] = ()
    names: tuple[Match[Name], ...] = ()

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Its tokens."""
        return self.sentence.tokens[self.start : self.end]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its words."""
        return self.sentence.words[self.start : self.end]

    @property
    def vocabulary(self) -> Vocabulary:
        """The language of the sentence."""
        return self.sentence.vocabulary

    def mentions(self, modality: Modality) -> tuple[Mention, ...]:
        """The files or quoted texts of that modality in it."""
        return tuple(
            token.mention for token in self.tokens if token.mention and token.mention.modality is modality
        )

    def has(self, group: str) -> bool:
        """Whether a word of a group of the vocabulary is in it."""
        return not self.vocabulary.groups[group].isdisjoint(self.words)


@dataclass(frozen=True)
class Cue:
    """One task that a sentence asks for."""

    sense: Sense
    segment: Segment


def find_cues(sentence: Sentence) -> list[Cue]:
    """The cues of a sentence in the order of work: what is done first comes first."""
    matches = _kept(sentence.vocabulary.senses.matches(sentence.words, sentence.openings))
    if not matches:
        return []
    names = _kept_names(sentence)
    joints = [
        index for index, word in enumerate(sentence.words) if word in sentence.vocabulary.groups["joints"]
    ]
    bounds = _bounds(matches, joints, len(sentence.words))
    cues = [
        Cue(match.meaning, Segment(sentence, start, end, match.positions, _within(names, start, end)))
        for match, (start, end) in zip(matches, bounds, strict=True)
    ]
    return _in_order_of_work(cues, joints)


def whole(sentence: Sentence) -> Segment:
    """The sentence as one segment without a cue."""
    return Segment(sentence, 0, len(sentence.tokens), (), tuple(_kept_names(sentence)))


def _kept(matches: Iterable[Match[Sense]]) -> list[Match[Sense]]:
    """Of matches that share a word, the one that says more; of equal ones, the earlier sense."""
    taken: set[int] = set()
    kept = []
    for match in sorted(matches, key=lambda match: (-len(match.positions), match.meaning.rank, match.start)):
        if taken.isdisjoint(match.positions):
            taken.update(match.positions)
            kept.append(match)
    return sorted(kept, key=lambda match: match.start)


def _kept_names(sentence: Sentence) -> list[Match[Name]]:
    taken: set[int] = set()
    kept = []
    matches = sentence.vocabulary.names.matches(sentence.words, sentence.openings)
    for match in sorted(matches, key=lambda match: (-len(match.positions), match.start)):
        if taken.isdisjoint(match.positions):
            taken.update(match.positions)
            kept.append(match)
    return sorted(kept, key=lambda match: match.start)


def _within(names: Sequence[Match[Name]], start: int, end: int) -> tuple[Match[Name], ...]:
    low = bisect_left(names, start, key=lambda match: match.start)
    high = bisect_left(names, end, key=lambda match: match.start)
    return tuple(names[low:high])


def _bounds(matches: Sequence[Match[Sense]], joints: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Where each cue's words begin and end: at the last joint before the next cue, or at the cue itself."""
    starts = [0]
    for before, match in pairwise(matches):
        place = bisect_right(joints, match.start) - 1
        joint = joints[place] if place >= 0 else -1
        starts.append(joint if joint > before.start else match.start)
    return list(zip(starts, [*starts[1:], length], strict=True))


def _in_order_of_work(cues: Sequence[Cue], joints: Sequence[int]) -> list[Cue]:
    """Cues that no joint parts are one phrase, inner things first: "summarize the text in the picture"."""
    clauses = groupby(cues, key=lambda cue: bisect_right(joints, cue.segment.cue[0]))
    ordered: list[Cue] = []
    for _, clause in clauses:
        parts = list(clause)
        ordered += reversed([cue for cue in parts if not cue.sense.last])
        ordered += sorted((cue for cue in parts if cue.sense.last), key=lambda cue: cue.sense.rank)
    return ordered
