"""Drafting: from the cues of a request to tasks, argument by argument."""

from collections.abc import Callable, Mapping, Sequence

from controller.rules import wording
from controller.rules.cues import Cue, Segment, find_cues, whole
from controller.rules.reading import Reading, Sentence
from controller.rules.sources import Group, Sources
from controller.rules.wiring import Board, Draft
from model_catalog.tasks import MEDIA, TASKS, Argument, Modality

GUIDED: Mapping[str, str] = {
    **{f"{name}-control": f"{name}-text-to-image" for name in ("openpose", "canny", "hed", "mlsd", "normal")},
    "depth-estimation": "depth-text-to-image",
    "image-segmentation": "seg-text-to-image",
}
"""The task that draws along the picture of a task."""

ZERO_SHOT: Mapping[str, str] = {
    "text-classification": "zero-shot-classification",
    "image-classification": "zero-shot-image-classification",
}
"""The task that sorts under labels of the request's own."""

_GUIDE_WORDS = 4
"""How many words before "the pose of" may say that a picture is to be based on it."""


def draft(reading: Reading, sources: Sources) -> list[Draft]:
    """The tasks of a request, each behind those it refers to; none where it asks for none."""
    drafter = _Drafter(reading, sources)
    for sentence in reading.sentences:
        drafter.read(sentence)
    drafter.finish()
    return drafter.board.tasks


class _Drafter:
    def __init__(self, reading: Reading, sources: Sources) -> None:
        self.reading = reading
        self.sources = sources
        self.board = Board(sources)
        self._guide: str | None = None  # the task whose picture the next drawing follows
        self._asked = False
        self._unasked: Cue | None = None  # speaks of a question that is not there
        self._words: Mapping[str, Callable[[Segment], Sequence[str] | None]] = {
            "text-to-image": self._description,
            "text-to-video": self._description,
            "inpainting": self._description,
            "text-to-speech": self._description,
            "translation": self._description,
            "text-generation": self._prompt,
            "text2text-generation": self._prompt,
            "conversational": self._quote,
            "image-to-image": self._instruction,
            "image-to-video": self._instruction,
        }

    # Sentences and cues

    def read(self, sentence: Sentence) -> None:
        """Draft the tasks of one sentence."""
        cues = find_cues(sentence)
        if not cues:
            self.sources.see(whole(sentence))
        quoted = any(cue.sense.question and wording.question_quote(cue.segment) for cue in cues)
        for number, cue in enumerate(cues):
            if self._is_name(cue) or self._repeats(cues, number) or not self._feasible(cue, cues):
                self._pass(cue)
            elif cue.sense.question:
                self._question(cue, quoted)
            else:
                self._task(cue)

    def finish(self) -> None:
        """Draft the question that was announced and never put."""
        if self._unasked and not self._asked:
            self._answer(self._unasked, wording.clause(self.reading, self._unasked.segment))

    def _pass(self, cue: Cue) -> None:
        self.sources.see(cue.segment)

    def _is_name(self, cue: Cue) -> bool:
        """Whether the words only point at a result that is there already."""
        place = set(cue.segment.cue)
        tasks = set(cue.sense.tasks.values())
        return any(
            place <= set(match.positions) and tasks & set(match.meaning.of) and self._exists(match.meaning.of)
            for match in cue.segment.names
        )

    def _exists(self, tasks: Sequence[str]) -> bool:
        return any(self.sources.made(tasks, modality) for modality in Modality)

    @staticmethod
    def _repeats(cues: Sequence[Cue], number: int) -> bool:
        """Whether a cue says again what the one before it says: "classify the sentiment of"."""
        before, cue = cues[number - 1], cues[number]
        same = set(before.sense.tasks.values()) & set(cue.sense.tasks.values())
        media = any(token.mention for token in cue.segment.tokens)
        return number > 0 and bool(same) and not media and cue.segment.end == before.segment.start

    def _feasible(self, cue: Cue, cues: Sequence[Cue]) -> bool:
        """Whether a picture or recording it needs exists; if it is all that is asked, it stays."""
        tasks = set(cue.sense.tasks.values())
        needs = {argument.modality for task in tasks for argument in TASKS[task].arguments if argument.required}
        if Modality.TEXT in needs or len(cues) == 1 and not cue.segment.mentions(Modality.TEXT):
            return True
        return any(self.sources.known(modality) for modality in needs) or not needs

    # Tasks

    def _task(self, cue: Cue) -> None:
        task = self._resolve(cue)
        segment = cue.segment
        if task == "text-to-image" and (guided := self._guided(segment)):
            task = guided
        labels = wording.labels(self.reading, segment) if task in ZERO_SHOT else None
        task = ZERO_SHOT[task] if labels else task
        spent = self._orders(task, segment)
        self.sources.see(segment, spent)
        values = self._values(task, cue, {"labels": labels, "target_language": wording.target_language(segment)})
        want = cue.sense.want if TASKS[task].wants and cue.sense.want != TASKS[task].wants[0] else None
        self.board.add(task, values, want)
        self._guide = task if task in GUIDED and self._leads_on(cue) else None if task in GUIDED.values() else self._guide

    def _values(
        self, task: str, cue: Cue, literal: Mapping[str, str | None]
    ) -> dict[str, Sequence[str]]:
        row = TASKS[task]
        modalities = [argument.modality for argument in row.arguments if argument.required]
        twice = {modality for modality in modalities if modalities.count(modality) > 1}
        pairs = {modality: iter(self.board.find_two(modality, cue.segment)) for modality in twice - {Modality.TEXT}}
        if row.name == "sentence-similarity":
            pairs[Modality.TEXT] = iter(self.board.find_two(Modality.TEXT, cue.segment))
        values: dict[str, Sequence[str]] = {}
        for argument in row.arguments:
            if argument.name in literal:
                found = [value] if (value := literal[argument.name]) else None
            elif argument.modality in pairs:
                found = [value] if (value := next(pairs[argument.modality], None)) else None
            else:
                found = self._value(row.name, argument, cue.segment)
            if found:
                values[argument.name] = found
        return values
