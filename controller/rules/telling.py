"""Telling: what one outcome says, in plain English.

The web client of HuggingGPT finds files with a pattern that runs over words, blanks, dots, hyphens and
slashes. So every path stands verbatim behind a colon or a comma, and every other name with a slash in it
stands in quotation marks or behind all paths.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from controller import reference
from controller.outcome import Outcome
from controller.plan import Task
from model_catalog.tasks import MEDIA, Modality

LONGEST = 2_000
"""The most characters of a result's text that an answer repeats."""

LONGEST_ASIDE = 300
"""The same, where the text is a step on the way to another result."""

_MOST_LABELS = 20
_RUNNERS_UP = 2

_TEXTS: Mapping[str, str] = {
    "automatic-speech-recognition": "The recording says:",
    "summarization": "In short:",
    "translation": "The translation is:",
    "fill-mask": "The gap filled:",
    "conversational": "My reply:",
}
_PICTURES: Mapping[str, str] = {
    "text-to-image": "Here is the picture you asked for",
    "image-to-image": "Here is the changed picture",
    "inpainting": "Here is the changed picture",
    "text-to-speech": "Here it is read aloud",
    "audio-to-audio": "Here is the cleaned recording",
    "text-to-audio": "Here is the sound",
    "text-to-video": "Here is the video",
    "image-to-video": "Here is the video",
    "depth-estimation": "Here is the depth map",
    "object-detection": "Here they are in the picture",
    "zero-shot-object-detection": "Here they are in the picture",
    "image-segmentation": "Here are the parts in the picture",
    "mask-generation": "Here are the outlines in the picture",
    "depth-control": "Here is the depth map",
    "seg-control": "Here is the map of segments",
    "canny-control": "Here are the edges",
    "hed-control": "Here are the soft edges",
    "mlsd-control": "Here are the straight lines",
    "openpose-control": "Here is the pose",
    "normal-control": "Here is the normal map",
}


def tell(task: Task, outcome: Outcome, final: bool = True) -> str:
    """What a task found or made; of a step on the way (not ``final``) the words alone."""
    words = _words(task, outcome, LONGEST if final else LONGEST_ASIDE)
    files = _files(task, outcome) if final else ""
    told = " ".join(part for part in (words, files) if part)
    if not told and final:
        return f"The task {task.type.label} ended without a result."
    return told


def about(task: Task) -> str:
    """Which file or text a task is about, to tell it from others of its type."""
    literal = [value for value in task.args.values() if not reference.find(value)]
    return f"For {quote(literal[0], 100)}: " if literal else ""


def quote(text: str, longest: int = LONGEST) -> str:
    """A text in quotation marks, cut where it is too long, which is then said."""
    text = text.strip()
    if len(text) <= longest:
        return f"“{text}”"
    return f"“{text[:longest].rstrip()}…” (cut: the first {longest:,} of {len(text):,} characters)"


def listed(names: Sequence[str]) -> str:
    """Names as a list in words."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _words(task: Task, outcome: Outcome, longest: int) -> str:
    structured = _structured(task, outcome.data)
    if structured:
        return structured
    if not outcome.text or not outcome.text.strip():
        return _without_words(task, outcome)
    return f"{_introduction(task)} {quote(outcome.text, longest)}."


def _introduction(task: Task) -> str:
    if task.task == "image-to-text":
        return "The text in the picture reads:" if task.want == "ocr" else "The picture shows:"
    asked = task.args.get("question") or task.args.get("text", "")
    if task.task.endswith("question-answering") and asked and not reference.find(asked):
        return f"The answer to {quote(asked, LONGEST_ASIDE)} is:"
    language = task.args.get("target_language")
    if task.task == "translation" and language and not reference.find(language):
        return f"In {language[:40]}:"
    return _TEXTS.get(task.task, f"The result of {task.type.label}:")


def _without_words(task: Task, outcome: Outcome) -> str:
    if Modality.TEXT not in task.type.outputs[:1] or outcome.artifacts:
        return ""
    if task.task == "image-to-text" and task.want == "ocr":
        return "I found no text in the picture."
    if task.task == "automatic-speech-recognition":
        return "I heard no words in the recording."
    if outcome.data not in (None, [], {}):
        data = json.dumps(outcome.data, ensure_ascii=False, default=str)
        return f"The result of {task.type.label}: {quote(data, LONGEST_ASIDE)}."
    return f"The result of {task.type.label} is empty."


def _structured(task: Task, data: Any) -> str:
    """What data says better than its text: a score, the best classes, what was counted."""
    if task.task == "sentence-similarity" and isinstance(data, Mapping) and _is_number(data.get("score")):
        return f"The two texts are alike by {data['score']:.2f}, where 1 is the same and 0 nothing in common."
    rows = [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []
    if task.task == "token-classification":
        return _entities(rows)
    if task.task.endswith("classification"):
        return _classes(task, rows)
    if task.task in {"object-detection", "zero-shot-object-detection", "image-segmentation"}:
        return _counts(task, data, rows)
    return ""


def _classes(task: Task, rows: Sequence[Mapping[str, Any]]) -> str:
    scored = [row for row in rows if isinstance(row.get("label"), str) and _is_number(row.get("score"))]
    if not scored:
        return ""
    best, *others = [
        f"{_name(row['label'])} ({row['score']:.2f})" for row in sorted(scored, key=_score)[::-1]
    ]
    runners_up = f"; then {listed(others[:_RUNNERS_UP])}" if others else ""
    return f"The {_subject(task)} is classed as {best}{runners_up}."


def _counts(task: Task, data: Any, rows: Sequence[Mapping[str, Any]]) -> str:
    things = "parts" if task.task == "image-segmentation" else "objects"
    labels = [row["label"] for row in rows if isinstance(row.get("label"), str)]
    if not labels:
        return f"I found no {things}." if data == [] else ""
    counted = Counter(labels).most_common()
    names = [f"{_name(label)} ({count})" for label, count in counted[:_MOST_LABELS]]
    more = f" and {len(counted) - _MOST_LABELS} other kinds" if len(counted) > _MOST_LABELS else ""
    things = things if len(labels) > 1 else things[:-1]
    return f"I found {len(labels)} {things}: {listed(names)}{more}."


def _entities(rows: Sequence[Mapping[str, Any]]) -> str:
    found = [
        f"{quote(str(row['word']), 60)} ({_name(str(row.get('entity_group') or row.get('entity') or '?'))})"
        for row in rows
        if row.get("word")
    ]
    more = f" and {len(found) - _MOST_LABELS} more" if len(found) > _MOST_LABELS else ""
    return f"I found in the text: {listed(found[:_MOST_LABELS])}{more}." if found else ""


def _subject(task: Task) -> str:
    names = {Modality.IMAGE: "picture", Modality.AUDIO: "recording", Modality.DATA: "data"}
    given = [argument.modality for argument in task.type.arguments if argument.name in task.args]
    modality = given[0] if given else Modality.TEXT
    return names.get(modality, str(modality))


def _files(task: Task, outcome: Outcome) -> str:
    paths = [artifact.path for artifact in outcome.artifacts if artifact.modality in MEDIA]
    paths = paths or [artifact.path for artifact in outcome.artifacts]
    if not paths:
        return ""
    text = task.args.get("text", "")
    if task.task == "text-to-speech" and text and not reference.find(text):
        return f"Here is {quote(text, LONGEST_ASIDE)} read aloud: {', '.join(paths)}"
    guided = task.task.endswith("-text-to-image")
    told = _PICTURES["text-to-image"] if guided else _PICTURES.get(task.task, "Here is the file")
    return f"{told}: {', '.join(paths)}"


def _name(label: str) -> str:
    return quote(label, 60) if "/" in label or len(label) > 60 else label


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _score(row: Mapping[str, Any]) -> float:
    return float(row["score"])
