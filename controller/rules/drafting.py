"""Drafting: from the cues of a request to its tasks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from controller.rules import questions, wording
from controller.rules.asking import Asker
from controller.rules.cues import Cue, Segment, find_cues, whole
from controller.rules.filling import GUIDED, Filler, multiplied
from controller.rules.reading import Reading, Sentence
from controller.rules.repeating import rounds
from controller.rules.sources import Sources
from controller.rules.wiring import Board, Draft
from model_catalog.tasks import MEDIA, TASKS, Modality

ZERO_SHOT: Mapping[str, str] = {
    "text-classification": "zero-shot-classification",
    "image-classification": "zero-shot-image-classification",
}
"""The task that sorts under labels of the request's own."""

_GUIDES: Mapping[str, str] = {guide: guided for guided, guide in GUIDED.items()}

_PAIRED = "sentence-similarity"
"""The task that sets two texts side by side."""

_MOST_ROUNDS = 10
"""How often one request has the same done again."""
_MOST_REPEATED = 20
"""How many of its tasks."""

_ADJECTIVES = 3
"""How many words before a name may hold "the" or "that"."""

_NEGATION_WORDS = 7
"""How many words before a cue may deny it."""

_GUIDE_WORDS = 4
"""How many words before "the pose of …" may say that a picture is to be based on it."""


def draft(reading: Reading, sources: Sources) -> list[Draft]:
    """The tasks of a request, each behind those it refers to; none where it asks for none."""
    drafter = _Drafter(reading, sources, Board(sources))
    for sentence in reading.sentences:
        drafter.read(sentence)
    return drafter.board.tasks


class _Drafter:
    """Goes through a request once, cue by cue."""

    def __init__(self, reading: Reading, sources: Sources, board: Board) -> None:
        self.board = board
        self._reading = reading
        self._sources = sources
        self._filler = Filler(reading, board)
        self._asker = Asker(reading, board)
        self._guide: str | None = None  # the task whose picture the next drawing follows
        self._before: Cue | None = None
        self._done: list[Cue] = []
        self._rounds = _MOST_ROUNDS

    def read(self, sentence: Sentence) -> None:
        """Draft the tasks of one sentence."""
        cues = find_cues(sentence)
        if not cues:
            self._sources.see(whole(sentence))
        self._all(cues, remember=True)

    def _all(self, cues: Sequence[Cue], remember: bool = False) -> None:
        quoted = any(cue.sense.question and questions.question_quotes(cue.segment) for cue in cues)
        pointer: Segment | None = None
        late: list[Cue] = []
        for said in cues:
            points = self._points(said)
            cue = said if points else _with(said, pointer)
            pointer = said.segment if points else None
            if cue.sense.repeat:
                self._again(cue.segment)
            elif points or self._passing(cue) or not self._feasible(cue, len(cues)):
                self._sources.see(cue.segment)
            elif cue.sense.question:
                self._asker.ask(cue, quoted)
            elif self._early(cue) and said is not cues[-1]:
                late.append(cue)
            else:
                self._task(cue)
            if len(cue.tasks) == 1 and cue.tasks <= _GUIDES.keys() and _based(cue.segment):
                (self._guide,) = cue.tasks
            self._before = cue
            if remember:
                self._done.append(cue)
        for cue in late:
            self._task(cue)

    def _early(self, cue: Cue) -> bool:
        """Whether it compares what is there with what the rest of the sentence makes."""
        return cue.tasks == {_PAIRED} and self._filler.lacks(_PAIRED, cue.segment)

    def _again(self, segment: Segment) -> None:
        """Do once more what the request asked for so far, else what the person asked for before it."""
        self._sources.see(segment)
        if not self._rounds:
            return
        drafter, again = self, _repeatable(self._done)
        said = [token.mention for token in segment.tokens if token.mention]
        if not again:
            said = said or self._sources.attached()
            reading = self._sources.asked_before()
            drafter = _Drafter(reading, self._sources, self.board)
            again = _repeatable(cue for sentence in reading.sentences for cue in find_cues(sentence))
        for cues in rounds(again, said)[: self._rounds]:
            self._rounds -= 1
            drafter._all(cues)

    def _points(self, cue: Cue) -> bool:
        """Whether the words only point at a result that is there already."""
        if cue.sense.question:
            return False
        words, groups = cue.segment.sentence.words, cue.segment.vocabulary.groups
        opens, said = cue.segment.cue[0], set(cue.segment.cue)
        for match in cue.segment.names:
            known = groups["definites"].intersection(words[max(0, match.start - _ADJECTIVES) : match.start])
            shares = not said.isdisjoint(match.positions)
            told = opens in match.positions or (known and shares)
            of = match.meaning.of
            if told and not cue.tasks.isdisjoint(of) and self._exists(of):
                return True
        return False

    def _exists(self, of: Sequence[str]) -> bool:
        """Whether the request has drafted one of the task types."""
        return any(self._sources.made(of, modality) for modality in Modality)

    def _passing(self, cue: Cue) -> bool:
        """Whether the words tell what is not to be done, or how the last task is ("edit it by …")."""
        sentence, first = cue.segment.sentence, cue.segment.cue[0]
        groups = sentence.vocabulary.groups
        previous = sentence.words[first - 1] if first else ""
        repeated = self._before is not None and not self._before.tasks.isdisjoint(cue.tasks)
        elaborates = repeated and previous in groups["elaborations"]
        return not cue.tasks or elaborates or _negated(cue.segment)

    def _feasible(self, cue: Cue, cues: int) -> bool:
        """Whether a file it needs exists; where it is all that is asked, it stays for the plan to refuse."""
        rows = [TASKS[task] for task in cue.tasks]
        needs = {argument.modality for row in rows for argument in row.arguments if argument.required}
        if Modality.AUDIO in needs:
            needs.add(Modality.VIDEO)  # its sound
        alone = cues == 1 and not cue.segment.mentions(Modality.TEXT)
        return alone or not needs or not needs <= MEDIA or any(map(self._sources.known, needs))

    def _task(self, cue: Cue) -> None:
        task, segment = self._kind(cue), cue.segment
        self._sources.see(segment, self._filler.orders(task, segment))
        wants = TASKS[task].wants
        want = cue.sense.want if cue.sense.want in wants[1:] else None
        values = self._filler.fill(task, segment)
        times = wording.times(segment)
        self.board.add(task, multiplied(task, values, times) if times > 1 else values, want)
        if task in GUIDED:
            self._guide = None

    def _kind(self, cue: Cue) -> str:
        """The task type: by what the words are about, the labels they offer, the picture they follow."""
        options = [modality for modality in cue.sense.tasks if modality is not None]
        task = cue.sense.tasks[self._about(cue.segment, options) if options else None]
        if task == "text-to-image":
            guide = self._guide or self._followed(cue.segment)
            return _GUIDES[guide] if guide else task
        if task in ZERO_SHOT and wording.labels(self._reading, cue.segment):
            return ZERO_SHOT[task]
        return task

    def _about(self, segment: Segment, options: Sequence[Modality]) -> Modality:
        """Which of the modalities a segment is about; the first where nothing tells."""
        things = segment.things
        if Modality.TABLE in options and Modality.TABLE in things:
            return Modality.TABLE
        told = [modality for modality in options if segment.mentions(modality)]
        told += [modality for modality in things if modality in options]
        told += [modality for modality in options if self._sources.named(modality, segment)]
        newest = self._sources.newest(options)
        return told[0] if told else newest.modality if newest else options[0]

    def _followed(self, segment: Segment) -> str | None:
        """The task whose picture the words of a drawing name as their guide ("use the edges to draw")."""
        if not segment.has("bases"):
            return None
        named = [task for match in segment.names for task in match.meaning.of if task in _GUIDES]
        newest = str(self.board.tasks[-1]["task"]) if self.board.tasks else ""
        if newest in _GUIDES and _follows_it(segment):
            named.append(newest)
        return next((task for task in named if self._sources.made([task], Modality.IMAGE)), None)


def _repeatable(cues: Iterable[Cue]) -> list[Cue]:
    return list(islice((cue for cue in cues if cue.tasks), _MOST_REPEATED))


def _negated(segment: Segment) -> bool:
    """Whether the words of the clause before the cue deny it ("I don't have the time to read it")."""
    groups, words = segment.vocabulary.groups, segment.sentence.words
    for place in range(segment.cue[0] - 1, max(-1, segment.cue[0] - 1 - _NEGATION_WORDS), -1):
        if words[place] in groups["negations"]:
            return words[place + 1] not in groups["merely"]
        if words[place] in groups["joints"] or words[place] in groups["knowing"]:
            return False
    return False


def _with(cue: Cue, pointer: Segment | None) -> Cue:
    """The cue with the words behind it that only point at a result: "describe" with "the depth map"."""
    if pointer is None or pointer.start != cue.segment.end:
        return cue
    names = tuple(dict.fromkeys([*cue.segment.names, *pointer.names]))
    return replace(cue, segment=replace(cue.segment, end=pointer.end, names=names))


def _follows_it(segment: Segment) -> bool:
    """Whether the words say to follow what was made last: "based on it"."""
    groups, words = segment.vocabulary.groups, segment.sentence.words
    places = (place for place in range(segment.start, segment.end) if words[place] in groups["bases"])
    return any(not groups["pronouns"].isdisjoint(words[place + 1 : place + 3]) for place in places)


def _based(segment: Segment) -> bool:
    """Whether the words before the cue say that something is to follow it: "based on the pose of …"."""
    first = segment.cue[0]
    before = segment.sentence.words[max(0, first - _GUIDE_WORDS) : first]
    return not segment.vocabulary.groups["bases"].isdisjoint(before)
