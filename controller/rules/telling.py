"""Telling: what one outcome says, in the words of one language.

The web client of HuggingGPT finds files with a pattern that runs over words, blanks, dots, hyphens and
slashes. So every path stands verbatim behind a colon or a comma, and every other name with a slash in it
stands in quotation marks or behind all paths.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from controller import reference
from controller.outcome import Outcome
from controller.plan import Task
from controller.rules.prose import LONGEST, Prose
from model_catalog.tasks import MEDIA, Modality

LONGEST_ASIDE = 300
"""The most characters of a text that an answer repeats as a step on the way to another result."""

_LONGEST_WORD = 60
_LONGEST_LANGUAGE = 40
_LONGEST_NAME = 100
_MOST_LABELS = 20
_MOST_SCORES = 10
"""Of more things of one kind only the highest and the lowest probability are told."""
_RUNNERS_UP = 2

_DETECTIONS = frozenset({"object-detection", "zero-shot-object-detection"})

Row = Mapping[str, Any]


class Teller:
    """Tells what tasks found and made."""

    def __init__(self, prose: Prose) -> None:
        """Tell it in the wording of ``prose``."""
        self._prose = prose
        self._say = prose.say

    def tell(self, task: Task, outcome: Outcome, final: bool = True) -> str:
        """What a task found or made; of a step on the way (not ``final``) the words alone."""
        words = self._words(task, outcome, LONGEST if final else LONGEST_ASIDE)
        files = self._files(task, outcome) if final else ""
        told = " ".join(part for part in (words, files) if part)
        if not told and final:
            return self._say("ended", task=self._prose.task(task.task))
        return told

    def about(self, task: Task) -> str:
        """Which file or text a task is about, to tell it from others of its type."""
        literal = [value for value in task.args.values() if not reference.find(value)]
        return self._say("about", what=self._prose.quote(literal[0], _LONGEST_NAME)) if literal else ""

    def _words(self, task: Task, outcome: Outcome, longest: int) -> str:
        structured = self._structured(task, outcome.data)
        if structured:
            return structured
        if not outcome.text or not outcome.text.strip():
            return self._without_words(task, outcome)
        text = self._prose.quote(outcome.text, longest)
        return self._say("told", introduction=self._introduction(task), text=text)

    def _introduction(self, task: Task) -> str:
        if task.task == "image-to-text":
            return self._say("ocr" if task.want == "ocr" else "caption")
        asked = task.args.get("question") or task.args.get("text", "")
        if task.task.endswith("question-answering") and asked and not reference.find(asked):
            return self._say("answer", question=self._prose.quote(asked, LONGEST_ASIDE))
        language = task.args.get("target_language")
        if task.task == "translation" and language and not reference.find(language):
            name = self._prose.languages.get(language, language[:_LONGEST_LANGUAGE])
            return self._say("language", language=name)
        return self._prose.texts.get(task.task) or self._say("result", task=self._prose.task(task.task))

    def _without_words(self, task: Task, outcome: Outcome) -> str:
        if Modality.TEXT not in task.type.outputs[:1] or outcome.artifacts:
            return ""
        if task.task == "image-to-text" and task.want == "ocr":
            return self._say("no_text")
        if task.task == "automatic-speech-recognition":
            return self._say("no_speech")
        name = self._prose.task(task.task)
        if outcome.data not in (None, [], {}):
            data = json.dumps(outcome.data, ensure_ascii=False, default=str)
            text = self._prose.quote(data, LONGEST_ASIDE)
            return self._say("told", introduction=self._say("result", task=name), text=text)
        return self._say("empty", task=name)

    def _structured(self, task: Task, data: Any) -> str:
        """What data says better than its text: a score, the best classes, what was counted."""
        if task.task == "sentence-similarity" and isinstance(data, Mapping) and _is_number(data.get("score")):
            return self._say("alike", score=self._prose.fraction(data["score"]))
        rows = [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []
        if task.task == "token-classification":
            return self._entities(rows)
        if task.task.endswith("classification"):
            return self._classes(task, rows)
        if task.task in _DETECTIONS:
            return self._found(rows, "object", own=task.task.startswith("zero-shot")) or self._none(data)
        if task.task == "image-segmentation":
            return self._found(rows, "part") or (self._say("found_no_parts") if data == [] else "")
        return ""

    def _none(self, data: Any) -> str:
        return self._say("found_no_objects") if data == [] else ""

    def _classes(self, task: Task, rows: Sequence[Row]) -> str:
        scored = [row for row in rows if isinstance(row.get("label"), str) and _is_number(row.get("score"))]
        if not scored:
            return ""
        best, *others = [
            self._say("scored", thing=self._class(row["label"]), scores=self._prose.percent(row["score"]))
            for row in sorted(scored, key=_score, reverse=True)
        ]
        runners_up = self._prose.listed(others[:_RUNNERS_UP])
        classes = self._say("then", best=best, others=runners_up) if others else best
        return self._prose.classed[_subject(task)].format(classes=classes)

    def _class(self, label: str) -> str:
        """A class without its further names: "tabby, tabby cat" is a tabby."""
        return self._prose.label(label.partition(",")[0].strip() or label)

    def _found(self, rows: Sequence[Row], thing: str, own: bool = False) -> str:
        """How many of which things, each detection with its probability; nothing where no row has a label."""
        kinds: dict[str, list[Row]] = {}
        for row in rows:
            if isinstance(row.get("label"), str):
                kinds.setdefault(row["label"], []).append(row)
        if not kinds:
            return ""
        ranked = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
        scored = thing == "object"
        told = [self._kind(label, found, own, scored) for label, found in ranked[:_MOST_LABELS]]
        count = sum(map(len, kinds.values()))
        if len(ranked) == 1 and scored:
            return self._say("found", things=told[0])
        more = len(ranked) - _MOST_LABELS
        return self._say(
            "found_kinds",
            count=self._prose.number(count),
            things=self._say(f"{thing}s" if count > 1 else thing),
            list=self._listed(told, more > 0),
            more=self._say("more_kinds", count=self._prose.number(more)) if more > 0 else "",
        )

    def _kind(self, label: str, found: Sequence[Row], own: bool, scored: bool) -> str:
        """The things of one label: "2 cats (98 % and 95 %)"; of a single part the label alone."""
        if not scored and len(found) == 1:
            return self._prose.label(label)
        things = self._prose.counted(label, len(found), own)
        scores = sorted((row["score"] for row in found if _is_number(row.get("score"))), reverse=True)
        if not scored or len(scores) < len(found):
            return things
        told = [self._prose.percent(score) for score in scores]
        several = self._prose.listed(told)
        if len(told) > _MOST_SCORES:
            alike = told[0] == told[-1]
            several = told[0] if alike else self._say("range", highest=told[0], lowest=told[-1])
        return self._say("scored", thing=things, scores=several)

    def _entities(self, rows: Sequence[Row]) -> str:
        found = [
            self._say(
                "scored",
                thing=self._prose.quote(str(row["word"]), _LONGEST_WORD),
                scores=self._prose.label(str(row.get("entity_group") or row.get("entity") or "?")),
            )
            for row in rows
            if row.get("word")
        ]
        more = len(found) - _MOST_LABELS
        rest = self._say("more", count=self._prose.number(more)) if more > 0 else ""
        told = self._listed(found[:_MOST_LABELS], more > 0)
        return self._say("entities", list=told, more=rest) if found else ""

    def _listed(self, names: Sequence[str], open_end: bool) -> str:
        """Names as a list; with commas alone where more follow."""
        return self._prose.sentences["comma"].join(names) if open_end else self._prose.listed(names)

    def _files(self, task: Task, outcome: Outcome) -> str:
        paths = [artifact.path for artifact in outcome.artifacts if artifact.modality in MEDIA]
        paths = paths or [artifact.path for artifact in outcome.artifacts]
        if not paths:
            return ""
        return self._say("files", told=self._made(task), files=", ".join(paths))

    def _made(self, task: Task) -> str:
        """What the files of a task are."""
        text, files = task.args.get("text", ""), self._prose.files
        if task.task == "text-to-speech" and text and not reference.find(text):
            return self._say("aloud", text=self._prose.quote(text, LONGEST_ASIDE))
        if task.task.endswith("-text-to-image"):
            return files["text-to-image"]
        return files.get(task.task) or self._say("file")


def _subject(task: Task) -> Modality:
    """What a task is about: the modality of its first input."""
    given = [argument.modality for argument in task.type.arguments if argument.name in task.args]
    return given[0] if given else Modality.TEXT


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _score(row: Row) -> float:
    return float(row["score"])
