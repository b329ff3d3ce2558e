"""Filling: the arguments of a task, from the words of its segment and the sources it may take."""

from collections.abc import Callable, Mapping, Sequence

from controller.rules import wording
from controller.rules.cues import Segment
from controller.rules.reading import Reading
from controller.rules.sources import Group
from controller.rules.wiring import Board
from model_catalog.tasks import TASKS, Argument, Modality, TaskType

GUIDED: Mapping[str, str] = {
    **{f"{name}-text-to-image": f"{name}-control" for name in ("openpose", "canny", "hed", "mlsd", "normal")},
    "depth-text-to-image": "depth-estimation",
    "seg-text-to-image": "image-segmentation",
}
"""Tasks that draw along a picture, and the task that makes it."""

_SPOKEN = frozenset({"text-to-speech"})
"""Tasks that say a text, and so can say it twice in one result."""

_LONGEST_ASIDE = 2
"""The most words that rather say how to do it ("narrate slowly") where a text is there to be used."""

Values = dict[str, Sequence[str]]


class Filler:
    """Fills arguments; draws on, and adds converters to, one board."""

    def __init__(self, reading: Reading, board: Board) -> None:
        """Work on the sources and tasks of ``board``."""
        self._reading = reading
        self._board = board
        told, made = self._told, self._made_of
        self._texts: Mapping[str, Callable[[Segment], Sequence[str] | None]] = {
            **dict.fromkeys(["text-to-image", "text-to-video", "text-to-audio", "inpainting", *GUIDED], made),
            **dict.fromkeys(["text-generation", "text2text-generation"], self._prompt),
            **dict.fromkeys(["text-to-speech", "translation"], told),
            **dict.fromkeys(["image-to-image", "image-to-video"], self._instruction),
            "conversational": self._remark,
        }

    def fill(self, task: str, segment: Segment) -> Values:
        """Values by argument name, several where the task is done to each; what is not found is left out."""
        row = TASKS[task]
        if not any(argument.required for argument in row.arguments):
            return self._either(row, segment)
        pairs = self._pairs(row, segment)
        values: Values = {}
        for argument in row.arguments:
            found = pairs.pop(argument.name, None) or self._value(row, argument, segment)
            if found:
                values[argument.name] = found
        return values

    def lacks(self, task: str, segment: Segment) -> bool:
        """Whether one of two things to set side by side is not there yet."""
        row = TASKS[task]
        pairs = self._pairs(row, segment)
        return any(argument.required and argument.name not in pairs for argument in row.arguments)

    def orders(self, task: str, segment: Segment) -> list[str]:
        """The quoted texts of a segment that tell what to do, and so are no texts to work on."""
        if self._texts.get(task) != self._instruction:
            return []
        return [quote.value for quote in segment.mentions(Modality.TEXT)]

    def _either(self, row: TaskType, segment: Segment) -> Values:
        """The one argument for which there is a source."""
        for argument in row.arguments:
            group = self._board.sources.known(argument.modality)
            if group is not None:
                found = self._board.find(argument.modality, segment)
                return {argument.name: found.values} if found else {}
        return {}

    def _pairs(self, row: TaskType, segment: Segment) -> Values:
        """Values for arguments of one modality that take different sources, such as two texts to compare."""
        required = [argument for argument in row.arguments if argument.required and argument.name != "labels"]
        values: Values = {}
        for modality in {argument.modality for argument in required}:
            names = [argument.name for argument in required if argument.modality is modality]
            if len(names) > 1:
                found = self._board.find_two(modality, segment)
                values |= {name: [value] for name, value in zip(names, found, strict=False)}
        return values

    def _value(self, row: TaskType, argument: Argument, segment: Segment) -> Sequence[str] | None:
        if argument.name == "target_language":
            return wording.target_languages(segment)
        if argument.name == "labels":
            return _listed(wording.labels(self._reading, segment))
        if argument.modality is Modality.TEXT and row.name in self._texts:
            return self._texts[row.name](segment)
        if argument.modality is Modality.IMAGE and row.name in GUIDED:
            return _of(self._board.sources.made([GUIDED[row.name]], Modality.IMAGE))
        return _of(self._board.find(argument.modality, segment)) if argument.required else None

    def _made_of(self, segment: Segment) -> Sequence[str] | None:
        """What to draw: the words that describe it, or the text they point at."""
        several = wording.descriptions(self._reading, segment)
        if len(several) > 1:
            return several
        words = wording.picture(self._reading, segment)
        if words is None or (words.pointing and self._has_text()):
            found = _of(self._board.find(Modality.TEXT, segment))
            return found or _listed(wording.antecedent(self._reading, segment))
        known = _of(self._board.find(Modality.TEXT, segment)) if words.addition else None
        return [f"{value} {words.addition}" for value in known] if known else [words.text]

    def _told(self, segment: Segment) -> Sequence[str] | None:
        """What to say or translate: the text the words point at, or the words themselves."""
        quotes = segment.mentions(Modality.TEXT)
        if quotes:
            return [quote.value for quote in quotes]
        words = wording.description(self._reading, segment)
        aside = words is None or words.pointing or len(words.text.split()) <= _LONGEST_ASIDE
        points = bool(self._board.sources.named(Modality.TEXT, segment))
        if words and not points and not (aside and self._has_text()):
            return [words.text]
        return _of(self._board.find(Modality.TEXT, segment))

    def _prompt(self, segment: Segment) -> Sequence[str] | None:
        """What to write: the instruction itself, or the text it points at."""
        named = self._board.sources.named(Modality.TEXT, segment)
        if named and not segment.mentions(Modality.TEXT):
            return named[-1].values
        words = wording.prompt(self._reading, segment)
        if words and not words.pointing:
            return [words.text]
        found = _of(self._board.find(Modality.TEXT, segment)) if not words or self._has_text() else None
        return found or [wording.clause(self._reading, segment)]

    def _remark(self, segment: Segment) -> Sequence[str] | None:
        """What to reply to: the text pointed at, or the request itself."""
        return _of(self._board.find(Modality.TEXT, segment)) or [self._reading.text]

    def _instruction(self, segment: Segment) -> Sequence[str] | None:
        """How to change a picture: the words, or the result they say to follow ("… as the answer says")."""
        named = self._board.sources.named(Modality.TEXT, segment)
        if named and segment.has("bases") and not segment.mentions(Modality.TEXT):
            return named[-1].values
        return _listed(wording.instruction(self._reading, segment))

    def _has_text(self) -> bool:
        """Whether there are words to point at, or a recording of some."""
        sources = self._board.sources
        return any(sources.thing(modality) for modality in (Modality.TEXT, Modality.AUDIO)) or bool(
            sources.unmet(Modality.AUDIO)
        )


def multiplied(task: str, values: Values, times: int) -> Values:
    """Values for a result that is wanted several times: drawn anew each time, or said over again."""
    if any(knob.name == "seed" for knob in TASKS[task].knobs) and task not in _SPOKEN:
        if all(len(listed) == 1 for listed in values.values()) and Modality.IMAGE in _made(task):
            return {**values, "seed": [str(number) for number in range(1, times + 1)]}
        return values
    if task not in _SPOKEN:
        return values
    return {name: [" ".join([value] * times) for value in listed] for name, listed in values.items()}


def _made(task: str) -> Sequence[Modality]:
    """What a task makes without a picture to begin with; nothing where it needs one."""
    row = TASKS[task]
    taken = {argument.modality for argument in row.arguments if argument.required}
    return row.outputs if taken == {Modality.TEXT} else ()


def _of(group: Group | None) -> Sequence[str] | None:
    return group.values if group else None


def _listed(value: str | None) -> Sequence[str] | None:
    return [value] if value else None
