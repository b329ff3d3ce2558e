"""Cues: the places of a sentence that ask for a task, each with the words that belong to it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, pairwise, zip_longest

from controller.rules.mentions import Mention
from controller.rules.phrases import Match
from controller.rules.reading import Sentence, Token
from controller.rules.vocabulary import Name, Sense, Vocabulary
from model_catalog.tasks import Modality

_CLAUSE_WORDS = 10
"""Within how many words another cue of the same clause counts more than one that stands in for it."""
_LEADING_WORDS = 3
"""How many words before a cue may say that the rest of its clause is to use it."""
_LONGEST_NAME = 8
"""The most positions between the first and the last word of a name."""


@dataclass(frozen=True)
class Segment:
    """The words of a sentence that belong to one cue.

    Attributes:
        sentence: the sentence.
        start: position of its first token.
        end: position behind its last token.
        cue: positions of the words that name the task; empty where nothing is asked.
        names: what it points at among the results, by position.
        later: whether what it mentions stands for what was made of that by then: "translate a.txt after
            summarizing it".

    """

    sentence: Sentence
    start: int
    end: int
    cue: tuple[int, ...] = ()
    names: tuple[Match[Name], ...] = ()
    later: bool = False

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
        if self.later:
            return ()
        return tuple(
            token.mention for token in self.tokens if token.mention and token.mention.modality is modality
        )

    @cached_property
    def things(self) -> tuple[Modality, ...]:
        """What the things it speaks of are made of, the last one first; those of the cue left out."""
        nouns, words, cue = self.vocabulary.nouns, self.sentence.words, set(self.cue)
        places = [
            place for place in range(self.start, self.end) if words[place] in nouns and place not in cue
        ]
        return tuple(nouns[words[place]] for place in reversed(places))

    @cached_property
    def paper(self) -> bool:
        """Whether it speaks of a document."""
        return next(self.vocabulary.papers.matches(self.words), None) is not None

    def has(self, group: str) -> bool:
        """Whether a word of a group of the vocabulary is in it."""
        return not self.vocabulary.groups[group].isdisjoint(self.words)


@dataclass(frozen=True)
class Cue:
    """One task that a sentence asks for."""

    sense: Sense
    segment: Segment

    @property
    def tasks(self) -> frozenset[str]:
        """The task types it may mean."""
        return frozenset(self.sense.tasks.values())


def find_cues(sentence: Sentence) -> list[Cue]:
    """The cues of a sentence in the order of work: what is done first comes first."""
    kept = _kept(sentence.vocabulary.senses.matches(sentence.words, sentence.openings))
    matches = [match for match in _sure(kept, sentence) if _parts(match, sentence)]
    if not matches:
        return []
    names = _kept_names(sentence)
    joints = [
        index for index, word in enumerate(sentence.words) if word in sentence.vocabulary.groups["joints"]
    ]
    bounds = _shared(matches, _bounds(matches, joints, len(sentence.words)))
    cues = [
        Cue(match.meaning, Segment(sentence, start, end, match.positions, _within(names, start, end)))
        for match, (start, end) in zip(matches, bounds, strict=True)
    ]
    return _in_order_of_work(cues, joints)


def whole(sentence: Sentence) -> Segment:
    """The sentence as one segment without a cue."""
    return Segment(sentence, 0, len(sentence.tokens), (), tuple(_kept_names(sentence)))


def _sure(matches: Sequence[Match[Sense]], sentence: Sentence) -> list[Match[Sense]]:
    """The matches without those that only count where nothing else in their clause asks for something."""
    joints = sentence.vocabulary.groups["joints"]
    kept = []
    for match, after in zip_longest(matches, matches[1:]):
        upto = min(after.start, match.end + _CLAUSE_WORDS) if after else match.end
        alone = after is None or not joints.isdisjoint(sentence.words[match.end : upto])
        if alone or not match.meaning.otherwise:
            kept.append(match)
    return kept


def _parts(match: Match[Sense], sentence: Sentence) -> bool:
    """Whether words part the cues around them; those that ask for nothing only where a clause begins."""
    words, groups = sentence.words, sentence.vocabulary.groups
    if match.meaning.tasks or match.meaning.repeat or not match.start:
        return True
    return words[match.start - 1] in groups["joints"] or words[match.start] in groups["whether"]


def _kept(matches: Iterable[Match[Sense]]) -> list[Match[Sense]]:
    """Of matches that share a word, the one that says more; of equal ones, the earlier sense."""
    taken: set[int] = set()
    kept = []
    for match in sorted(matches, key=_precedence):
        if taken.isdisjoint(match.positions):
            taken.update(match.positions)
            kept.append(match)
    return sorted(kept, key=lambda match: match.start)


def _precedence(match: Match[Sense]) -> tuple[int, int, int, int]:
    return -len(match.positions), match.meaning.rank, match.end - match.start, match.start


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
    """Names of which a word lies between the two positions."""
    low = bisect_left(names, start - _LONGEST_NAME, key=lambda match: match.start)
    high = bisect_left(names, end, key=lambda match: match.start)
    return tuple(match for match in names[low:high] if match.end > start)


def _bounds(matches: Sequence[Match[Sense]], joints: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Where each cue's words begin and end: at the last joint before the next cue, or at the cue itself."""
    starts = [0]
    for before, match in pairwise(matches):
        place = bisect_right(joints, match.start) - 1
        joint = joints[place] if place >= 0 else -1
        starts.append(joint if joint > before.start else match.start)
    return list(zip(starts, [*starts[1:], length], strict=True))


def _shared(matches: Sequence[Match[Sense]], bounds: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Bounds with the next cue's words added where a cue has none but its own: "classify and describe it"."""
    spans = list(bounds)
    for index in range(len(spans) - 2, -1, -1):
        (start, end), match = spans[index], matches[index]
        if match.meaning.last and start > 0:
            continue  # "… aloud" ends what it belongs to
        if end == match.end == start + len(match.positions) and matches[index + 1].start > end:
            spans[index] = (start, bounds[index + 1][1])
    return spans


def _in_order_of_work(cues: Sequence[Cue], joints: Sequence[int]) -> list[Cue]:
    """Cues that no joint parts are one phrase, inner things first: "summarize the text in the picture"."""
    groups = groupby(cues, key=lambda cue: bisect_right(joints, cue.segment.cue[0]))
    ordered: list[Cue] = []
    for clause in _in_order_of_time([list(clause) for _, clause in groups], joints):
        parts = _without_echoes(clause)
        first = [cue for cue in parts if not cue.sense.last]
        ordered += first if first and _leads(first[0]) else reversed(first)
        closing = sorted((cue for cue in parts if cue.sense.last), key=lambda cue: cue.sense.rank)
        if len(closing) == len(parts) > 1:  # "say 'hello' in French": the first takes the text
            closing[0] = _over(closing[0], parts[0].segment.start, parts[-1].segment.end)
            closing[1:] = [_over(cue, cue.segment.cue[0], cue.segment.cue[0] + 1) for cue in closing[1:]]
        ordered += closing
    return ordered


def _leads(cue: Cue) -> bool:
    """Whether a cue tells what the rest of its clause is to use: "use the depth of … to draw …"."""
    segment = cue.segment
    words, groups = segment.sentence.words, segment.vocabulary.groups
    before = words[max(segment.start, segment.cue[0] - _LEADING_WORDS) : segment.cue[0]]
    return not groups["bases"].isdisjoint(before)


def _in_order_of_time(clauses: list[list[Cue]], joints: Sequence[int]) -> list[list[Cue]]:
    """Clauses by when they are done: "do this after doing that", "before doing this, do that"."""
    ordered = list(clauses)
    for index in range(1, len(clauses)):
        closes = index == len(clauses) - 1
        earlier = _opener(clauses[index], joints, "after", inside=True, apart=closes)
        if earlier or (index == 1 and _opener(clauses[0], joints, "before", inside=False)):
            ordered[index - 1], ordered[index] = ordered[index], _behind(ordered[index - 1], ordered[index])
    return ordered


def _behind(clause: list[Cue], first: Sequence[Cue]) -> list[Cue]:
    """A clause that is done after one which speaks of the same thing as "it"."""
    parts = [cue.segment for cue in first]
    mentions = any(token.mention for part in parts for token in part.tokens)
    if mentions or not any(part.has("pronouns") for part in parts):
        return clause
    return [replace(cue, segment=replace(cue.segment, later=True)) for cue in clause]


def _opener(
    clause: Sequence[Cue], joints: Sequence[int], group: str, inside: bool, apart: bool = False
) -> bool:
    """Whether a clause begins with a word of the group, ``inside`` a sentence or at its front.

    "After that" tells nothing of the clause it stands in; nor does an "after" behind a comma, but for the
    last clause (``apart``), behind which there is nothing that it could belong to.
    """
    segment = clause[0].segment
    words, groups = segment.sentence.words, segment.vocabulary.groups
    place = bisect_right(joints, segment.cue[0]) - 1
    joint = joints[place] if place >= 0 else 0
    if words[joint] not in groups[group] or words[joint + 1 : joint + 2] == ():
        return False
    front = joint == 0 or (words[joint - 1] in groups["joints"] and not apart)
    return front is not inside and words[joint + 1] not in groups["pronouns"]


def _over(cue: Cue, start: int, end: int) -> Cue:
    return replace(cue, segment=replace(cue.segment, start=start, end=end))


def _without_echoes(parts: Sequence[Cue]) -> list[Cue]:
    """The cues of a clause, those that say one thing twice joined, as in "classify the sentiment of"."""
    runs: list[list[Cue]] = []
    for cue in parts:
        if runs and _continues(runs[-1], cue):
            runs[-1].append(cue)
        else:
            runs.append([cue])
    return [_joined(run) if len(run) > 1 else run[0] for run in runs]


def _continues(run: Sequence[Cue], cue: Cue) -> bool:
    """Whether a cue says the same as the one before it, or what that one asks ("what is the sentiment")."""
    before = run[-1]
    if not before.tasks or not cue.tasks:
        return False
    if not before.tasks.isdisjoint(cue.tasks):
        return not (_has_file(before) and _has_file(cue))
    return _is_open(before) and not cue.sense.last


def _joined(run: Sequence[Cue]) -> Cue:
    """One cue for a run: by its most exact sense, with the words of all."""
    sense = min((cue.sense for cue in run), key=lambda sense: (sense.question, len(sense.tasks)))
    segments = [cue.segment for cue in run]
    places = tuple(sorted({place for segment in segments for place in segment.cue}))
    names = tuple(dict.fromkeys(name for segment in segments for name in segment.names))
    return Cue(sense, Segment(segments[0].sentence, segments[0].start, segments[-1].end, places, names))


def _has_file(cue: Cue) -> bool:
    return any(token.mention and token.mention.file for token in cue.segment.tokens)


def _is_open(cue: Cue) -> bool:
    """Whether it is a question that neither counts something nor is quoted."""
    mentions = any(token.mention for token in cue.segment.tokens)
    return cue.sense.question and not mentions and not cue.segment.has("counting")
