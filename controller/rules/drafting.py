"""Drafting: from the cues of a request to its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.rules import wording
from controller.rules.cues import Cue, Segment, find_cues, whole
from controller.rules.filling import GUIDED, Filler
from controller.rules.reading import Reading, Sentence
from controller.rules.sources import Group, Sources
from controller.rules.wiring import Board, Draft
from model_catalog.tasks import MEDIA, TASKS, Modality

ZERO_SHOT: Mapping[str, str] = {
    "text-classification": "zero-shot-classification",
    "image-classification": "zero-shot-image-classification",
}
"""The task that sorts under labels of the request's own."""

_GUIDES: Mapping[str, str] = {guide: guided for guided, guide in GUIDED.items()}

_GUIDE_WORDS = 4
"""How many words before "the pose of …" may say that a picture is to be based on it."""


def draft(reading: Reading, sources: Sources) -> list[Draft]:
    """The tasks of a request, each behind those it refers to; none where it asks for none."""
    drafter = _Drafter(reading, sources)
    for sentence in reading.sentences:
        drafter.read(sentence)
    return drafter.board.tasks


class _Drafter:
    """Goes through a request once, cue by cue."""

    def __init__(self, reading: Reading, sources: Sources) -> None:
        self.board = Board(sources)
        self._reading = reading
        self._sources = sources
        self._filler = Filler(reading, self.board)
        self._guide: str | None = None  # the task whose picture the next drawing follows
        self._asked: set[str] = set()

    def read(self, sentence: Sentence) -> None:
        """Draft the tasks of one sentence."""
        cues = find_cues(sentence)
        if not cues:
            self._sources.see(whole(sentence))
        quoted = any(cue.sense.question and wording.question_quote(cue.segment) for cue in cues)
        for number, cue in enumerate(cues):
            if self._points(cue) or self._elaborates(cue, cues[number - 1]) or not self._feasible(cue, len(cues)):
                self._sources.see(cue.segment)
            elif cue.sense.question:
                self._question(cue, quoted)
            else:
                self._task(cue)

    def _points(self, cue: Cue) -> bool:
        """Whether the words only point at a result that is there already."""
        tasks = set(cue.sense.tasks.values())
        called = [match.meaning.of for match in cue.segment.names if cue.segment.cue[0] in match.positions]
        return any(
            tasks & set(of) and any(self._sources.made(of, modality) for modality in Modality)
            for of in called
        )

    @staticmethod
    def _elaborates(cue: Cue, before: Cue) -> bool:
        """Whether it tells how the cue before is to be done ("edit it by changing …"), or what is not to be."""
        sentence, first = cue.segment.sentence, cue.segment.cue[0]
        previous = sentence.words[first - 1] if first else ""
        groups = sentence.vocabulary.groups
        same = set(cue.sense.tasks.values()) & set(before.sense.tasks.values())
        return previous in groups["negations"] or (before is not cue and bool(same) and previous in groups["elaborations"])

    def _feasible(self, cue: Cue, cues: int) -> bool:
        """Whether a file it needs exists; where it is all that is asked, it stays for the plan to refuse."""
        rows = [TASKS[task] for task in cue.sense.tasks.values()]
        needs = {argument.modality for row in rows for argument in row.arguments if argument.required}
        alone = cues == 1 and not cue.segment.mentions(Modality.TEXT)
        return alone or not needs or not needs <= MEDIA or any(map(self._sources.known, needs))

    def _task(self, cue: Cue) -> None:
        task, segment = self._resolve(cue), cue.segment
        if task == "text-to-image" and (self._guide or self._follows(segment)):
            task = _GUIDES[self._guide or self._follows(segment) or ""]
        elif task in ZERO_SHOT and wording.labels(self._reading, segment):
            task = ZERO_SHOT[task]
        self._sources.see(segment, self._filler.orders(task, segment))
        wants = TASKS[task].wants
        want = cue.sense.want if cue.sense.want in wants[1:] else None
        self.board.add(task, self._filler.fill(task, segment), want)
        if task in GUIDED:
            self._guide = None
        elif task in _GUIDES and _based(segment):
            self._guide = task

    def _follows(self, segment: Segment) -> str | None:
        """The task whose picture the words of a drawing name as their guide ("use the edges to draw")."""
        if not segment.has("bases"):
            return None
        named = [task for match in segment.names for task in match.meaning.of if task in _GUIDES]
        return next((task for task in named if self._sources.made([task], Modality.IMAGE)), None)

    def _resolve(self, cue: Cue) -> str:
        """The task type, by what the words are about where a phrase serves several."""
        tasks = cue.sense.tasks
        options = [modality for modality in tasks if modality is not None]
        if not options:
            return tasks[None]
        return tasks[self._about(cue.segment, options) or options[0]]

    def _about(self, segment: Segment, options: Sequence[Modality]) -> Modality | None:
        """Which of the modalities a segment is about."""
        nouns = self._nouns(segment)
        if Modality.TABLE in options and Modality.TABLE in nouns:
            return Modality.TABLE
        told = [modality for modality in options if self._sources.mentioned(modality, segment)]
        told += [modality for modality in nouns if modality in options]
        told += [modality for modality in options if self._sources.named(modality, segment)]
        newest = self._sources.newest(options)
        return told[0] if told else newest.modality if newest else None

    @staticmethod
    def _nouns(segment: Segment) -> list[Modality]:
        """What the things it speaks of are made of, the last one first."""
        nouns, words = segment.vocabulary.nouns, segment.sentence.words
        places = (place for place in range(segment.start, segment.end) if place not in segment.cue)
        return [nouns[words[place]] for place in places if words[place] in nouns][::-1]

    def _question(self, cue: Cue, quoted: bool) -> None:
        """Draft the answer to a question: the one quoted, else the one in its words, else one announced."""
        segment, task = cue.segment, cue.sense.tasks.get(None)
        quote = wording.question_quote(segment)
        if quote:
            self._answer(segment, quote.value, task)
        elif quoted:
            self._sources.see(segment)  # the sentence quotes the same question
        elif text := wording.question(self._reading, segment):
            self._answer(segment, text, task)
        elif announced := self._announced(segment):
            self._answer(segment, announced, task)
        else:
            self._sources.see(segment)

    def _announced(self, segment: Segment) -> str | None:
        """The question that "answer the question" means; its own words where the request puts none."""
        if not segment.has("answering"):
            return None
        group = self._sources.called(("question",), Modality.TEXT)
        text = group.values[0] if group else wording.clause(self._reading, segment)
        return text if text not in self._asked else None

    def _answer(self, segment: Segment, question: str, task: str | None = None) -> None:
        """Draft the answer to a question; one about nothing at hand is mere talk."""
        self._sources.see(segment, [question])
        modality = TASKS[task].arguments[0].modality if task else self._asked_about(segment, question)
        group = self._beside(question, self.board.find(modality, segment)) if modality else None
        if group is None:
            return
        self._asked.add(question)
        if group.modality is Modality.IMAGE:
            paper = group.paper or (group.task is None and (segment.sentence.paper or self._on_paper(question)))
            task = task or ("document-question-answering" if paper else "visual-question-answering")
            self.board.add(task, {"image": group.values, "text": [question]})
        elif group.modality is Modality.TABLE:
            self.board.add("table-question-answering", {"table": group.values, "text": [question]})
        else:
            self.board.add("question-answering", {"question": [question], "context": group.values})

    def _beside(self, question: str, group: Group | None) -> Group | None:
        """What a question is put to, without the question itself."""
        if group is None or question not in group.values:
            return group
        values = tuple(value for value in group.values if value != question)
        known = self._sources.known(Modality.TEXT)
        return replace(group, values=values) if values else known if known != group else None

    def _asked_about(self, segment: Segment, question: str) -> Modality | None:
        """What a question is put to: what it mentions, speaks of or points at, else what is newest."""
        options = [Modality.IMAGE, Modality.TABLE, Modality.AUDIO, Modality.TEXT]
        held = [modality for modality in options if self._sources.newest([modality])]
        quoted = whole(read_sentence(question, self._reading.vocabulary))
        told = [modality for modality in held if modality in MEDIA and segment.mentions(modality)]
        told += [modality for modality in (*self._nouns(segment), *self._nouns(quoted)) if modality in held]
        if Modality.IMAGE in held and quoted.sentence.paper and self._paper():
            told.append(Modality.IMAGE)
        told += [modality for modality in held if self._sources.named(modality, segment)]
        newest = self._sources.newest(held)
        about = told[0] if told else newest.modality if newest else None
        return Modality.TEXT if about is Modality.AUDIO else about

def _based(segment: Segment) -> bool:
    """Whether the words before the cue say that something is to follow it: "based on the pose of …"."""
    first = segment.cue[0]
    before = segment.sentence.words[max(0, first - _GUIDE_WORDS) : first]
    return not segment.vocabulary.groups["bases"].isdisjoint(before)
