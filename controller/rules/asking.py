"""Asking: the questions of a request, and what each is put to."""

from collections.abc import Sequence
from dataclasses import replace

from controller.rules import questions, wording
from controller.rules.cues import Cue, Segment
from controller.rules.reading import Reading, read
from controller.rules.sources import ANSWERS, Group
from controller.rules.wiring import Board
from model_catalog.tasks import MEDIA, TASKS, Modality

_ANSWERABLE = (Modality.IMAGE, Modality.TABLE, Modality.AUDIO, Modality.TEXT)

_MOST_QUESTIONS = 10
"""How many quoted questions of one breath are answered."""


class Asker:
    """Drafts the answers to questions."""

    def __init__(self, reading: Reading, board: Board) -> None:
        """Work on the sources and tasks of ``board``."""
        self._reading = reading
        self._board = board
        self._sources = board.sources
        self._asked: set[str] = set()

    def ask(self, cue: Cue, quoted: bool) -> None:
        """Draft the answer to a question: the one quoted, else the one in its words, else one announced.

        Args:
            cue: where the question is.
            quoted: whether its sentence quotes a question; then no other words of it are one.

        """
        segment, task = cue.segment, cue.sense.tasks.get(None)
        asked = [quote.value for quote in questions.question_quotes(segment)]
        if not asked and not quoted:
            question = questions.question(self._reading, segment) or self._announced(segment)
            asked = [question] if question else []
        self._sources.see(segment, asked)
        for question in list(dict.fromkeys(asked))[:_MOST_QUESTIONS]:
            self._answer(segment, question, task)

    def _announced(self, segment: Segment) -> str | None:
        """The question that "answer the question" means; its own words where the request puts none."""
        if not segment.has("answering"):
            return None
        group = self._sources.called(("question",), Modality.TEXT)
        text = group.values[0] if group else wording.clause(self._reading, segment)
        return text if text not in self._asked else None

    def _answer(self, segment: Segment, question: str, task: str | None) -> None:
        """Draft the answer; a question about nothing at hand is mere talk."""
        quoted = read(question, [segment.vocabulary])
        modality = TASKS[task].arguments[0].modality if task else self._about(segment, quoted)
        if modality is Modality.AUDIO:
            group = self._board.transcript(segment)
        else:
            group = self._beside(question, segment, self._board.find(modality, segment)) if modality else None
        if group is None:
            if segment.mentions(Modality.TEXT):  # put to nothing but whoever answers
                self._board.add("conversational", {"text": [question]})
            return
        self._asked.add(question)
        if group.modality is Modality.IMAGE:
            kind = "document" if self._is_paper(group, segment, quoted) else "visual"
            task = task or f"{kind}-question-answering"
            self._board.add(task, {"image": group.values, "text": [question]})
        elif group.modality is Modality.TABLE:
            self._board.add("table-question-answering", {"table": group.values, "text": [question]})
        else:
            self._board.add("question-answering", {"question": [question], "context": group.values})

    def _about(self, segment: Segment, quoted: Reading) -> Modality | None:
        """What it is put to: what it mentions, speaks of or points at, else what is newest."""
        held = [modality for modality in _ANSWERABLE if self._sources.subject(modality)]
        held = held or [modality for modality in _ANSWERABLE if self._sources.known(modality)]
        told = [modality for modality in held if modality in MEDIA and segment.mentions(modality)]
        pointed = (self._sources.named(modality, segment) for modality in _ANSWERABLE)
        told += [group.modality for groups in pointed for group in groups if group.task]
        if Modality.IMAGE in held and (segment.paper or _speaks_of_paper(quoted)):
            told.append(Modality.IMAGE)
        told += [modality for modality in (*segment.things, *_things(quoted)) if modality in held]
        subjects = [subject for modality in held if (subject := self._sources.subject(modality))]
        newest = max(subjects, key=lambda subject: subject.age, default=self._sources.newest(held))
        return told[0] if told else newest.modality if newest else None

    def _beside(self, question: str, segment: Segment, group: Group | None) -> Group | None:
        """What a question is put to: not to itself, nor to an answer that its words do not point at."""
        if group is None:
            return None
        values = tuple(value for value in group.values if value != question)
        answer = group.task in ANSWERS and not self._sources.named(group.modality, segment)
        if values and not answer:
            return replace(group, values=values)
        other = self._sources.subject(group.modality) or self._sources.known(group.modality)
        return other if other and question not in other.values else group if values else None

    @staticmethod
    def _is_paper(group: Group, segment: Segment, quoted: Reading) -> bool:
        spoken = segment.sentence.paper or _speaks_of_paper(quoted)
        return group.paper or (group.task is None and spoken)


def _things(quoted: Reading) -> Sequence[Modality]:
    nouns = quoted.vocabulary.nouns
    return [
        nouns[word] for sentence in quoted.sentences for word in reversed(sentence.words) if word in nouns
    ]


def _speaks_of_paper(quoted: Reading) -> bool:
    return any(sentence.paper for sentence in quoted.sentences)
