"""Wiring: which source each input takes, and the tasks drafted so far.

An input takes what its words name; else the newest source of its modality. Where there is none, the newest
source of another modality goes through a converter, such as speech recognition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller import reference
from controller.rules.cues import Segment
from controller.rules.sources import REMARKS, VIEWS, Group, Sources
from model_catalog.tasks import MEDIA, TASKS, Modality

CONVERTERS: Mapping[tuple[Modality, Modality], str | None] = {
    (Modality.AUDIO, Modality.TEXT): "automatic-speech-recognition",
    (Modality.VIDEO, Modality.TEXT): "automatic-speech-recognition",
    (Modality.IMAGE, Modality.TEXT): "image-to-text",
    (Modality.VIDEO, Modality.AUDIO): None,
}
"""The task that makes one modality of another; None where experts read it as it is.

What would have to be invented, such as the picture that a request forgot to name, is not converted.
"""

Draft = dict[str, Any]
"""A task in wire form, with ``want`` where it names one."""


class Board:
    """The tasks drafted so far, each behind those it refers to."""

    def __init__(self, sources: Sources) -> None:
        """Begin without tasks."""
        self.sources = sources
        self.tasks: list[Draft] = []
        self._drafted: dict[tuple[Any, ...], int] = {}

    def find(self, modality: Modality, segment: Segment) -> Group | None:
        """The source an input takes, by the words of its segment; converters are drafted where needed."""
        named = self.sources.named(modality, segment)
        return (
            self.sources.mentioned(modality, segment)
            or (_together(named, segment) if named else None)
            or self._spoken_of(modality, segment)
            or self.sources.known(modality)
            or self._convert(modality, segment, self.sources.newest(_convertible(modality)))
        )

    def find_two(self, modality: Modality, segment: Segment) -> list[str]:
        """Two sources to set side by side: those named and mentioned, then the newest others."""
        named = self.sources.named(modality, segment)
        mentioned = self.sources.mentioned(modality, segment)
        chosen = dict.fromkeys([*(mentioned.values if mentioned else ()), *_values(named)])
        first = len(chosen)
        for group in self.sources.backwards(modality):
            if len(chosen) >= 2:
                break
            chosen |= dict.fromkeys(group.values)
        values = list(chosen)
        return values[:2] if first != 1 or len(values) < 2 else [values[1], values[0]]

    def add(self, task: str, args: Mapping[str, Sequence[str]], want: str | None = None) -> list[Group]:
        """Draft a task for each of the listed values, side by side; returns what they make.

        A task that is drafted already is not drafted again.
        """
        args = {name: self._seen_through(task, values) for name, values in args.items()}
        count = max((len(values) for values in args.values()), default=1)
        ids = dict.fromkeys(self._draft(task, _pick(args, index), want) for index in range(count))
        tags = tuple(reference.tag(task_id) for task_id in ids)
        outputs = [modality for modality in TASKS[task].outputs if modality is not Modality.DATA]
        caption = task == "image-to-text" and want != "ocr"
        return [self.sources.result(task, modality, tags, aside=caption) for modality in outputs]

    def _seen_through(self, task: str, values: Sequence[str]) -> Sequence[str]:
        """The values; for what the same task made of a thing that thing itself, as boxes are drawn once."""
        if task not in VIEWS | REMARKS:
            return values
        made = [(value, reference.whole(value)) for value in values]
        return [value if of is None else self._behind(task, of, value) for value, of in made]

    def _behind(self, task: str, of: int, value: str) -> str:
        draft = self.tasks[of]
        given = draft["args"].values() if draft["task"] == task else ()
        return next(iter(given), value) if len(given) == 1 else value

    def _draft(self, task: str, args: dict[str, str], want: str | None) -> int:
        key = (task, want, *sorted(args.items()))
        if key not in self._drafted:
            task_id = self._drafted[key] = len(self.tasks)
            used = dict.fromkeys(n for value in args.values() for n in reference.find(value))
            draft = {"task": task, "id": task_id, "dep": list(used) or [-1], "args": args}
            self.tasks.append(draft | ({"want": want} if want else {}))
        return self._drafted[key]

    def _spoken_of(self, modality: Modality, segment: Segment) -> Group | None:
        """A file of another modality that the segment mentions, or a recording it speaks of, converted."""
        for other in _convertible(modality):
            group = self.sources.mentioned(other, segment) if other in MEDIA else None
            if group is not None:
                return self._convert(modality, segment, group)
        if modality is Modality.TEXT and segment.things[:1] == (Modality.AUDIO,):
            return self.transcript(segment)
        return None

    def transcript(self, segment: Segment) -> Group | None:
        """The words of the newest recording."""
        return self._convert(Modality.TEXT, segment, self.sources.thing(Modality.AUDIO))

    def _convert(self, modality: Modality, segment: Segment, group: Group | None) -> Group | None:
        if group is None or (group.modality is Modality.VIDEO and group.task):
            return None  # a video made by a task has no sound
        task = CONVERTERS[group.modality, modality]
        if task is None:
            return group
        name = TASKS[task].arguments[0].name
        ocr = task == "image-to-text" and (segment.has("written") or self._is_read(name, group))
        return self.add(task, {name: group.values}, "ocr" if ocr else None)[0]

    def _is_read(self, name: str, group: Group) -> bool:
        """Whether the text in the pictures is read already."""
        return all(("image-to-text", "ocr", (name, value)) in self._drafted for value in group.values)


def _together(named: Sequence[Group], segment: Segment) -> Group:
    """The last of the results that the words name; all of them where they say so ("both the … and the …")."""
    if len(named) < 2 or not segment.has("both"):
        return named[-1]
    return replace(named[-1], values=tuple(dict.fromkeys(_values(named))))


def _convertible(modality: Modality) -> list[Modality]:
    return [source for source, target in CONVERTERS if target is modality]


def _values(groups: Sequence[Group]) -> list[str]:
    return [value for group in groups for value in group.values]


def _pick(args: Mapping[str, Sequence[str]], index: int) -> dict[str, str]:
    return {name: values[min(index, len(values) - 1)] for name, values in args.items()}
