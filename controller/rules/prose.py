"""Prose: how answers are worded in one language: sentences, plurals, numbers and quotation marks as data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_catalog.tasks import TASKS, Modality

LONGEST = 2_000
"""The most characters of a result's text that an answer repeats."""

_LONGEST_LABEL = 60
_PLAIN = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")

SENTENCES: Mapping[str, frozenset[str]] = {
    key: frozenset(names.split())
    for key, names in {
        "sorry": "",
        "ended": "task",
        "about": "what",
        "quoted": "text",
        "cut": "text shown total",
        "comma": "",
        "and": "",
        "percent": "number",
        "range": "highest lowest",
        "scored": "thing scores",
        "told": "introduction text",
        "ocr": "",
        "caption": "",
        "answer": "question",
        "language": "language",
        "result": "task",
        "empty": "task",
        "no_text": "",
        "no_speech": "",
        "alike": "score",
        "objects": "",
        "object": "",
        "parts": "",
        "part": "",
        "found": "things",
        "found_kinds": "count things list more",
        "found_no_objects": "",
        "found_no_parts": "",
        "more_kinds": "count",
        "entities": "list more",
        "more": "count",
        "then": "best others",
        "aloud": "text",
        "file": "",
        "files": "told files",
        "failed": "task reason",
        "skipped": "task reason",
        "cancelled": "task reason",
        "not_run": "task",
        "left_out": "task reason",
        "left_out_more": "count",
        "mended": "notes more",
        "mended_more": "count",
        "remark": "text",
        "links": "list",
        "beginning": "link",
        "models": "list",
        "model": "model task after",
        "after": "models",
    }.items()
}
"""The sentences, and parts of some, that every language has, with the values that each takes."""


@dataclass(frozen=True)
class Prose:
    """One language's wording.

    Attributes:
        sentences: templates by their keys in ``SENTENCES``.
        texts: what stands before the text that a task of that type found.
        files: what stands before the files that a task of that type made.
        classed: how the class of something of that modality is told; takes ``classes``.
        tasks: names of task types; the registry's where there is none.
        labels: what experts call things, in this language; one word, or the singular and the plural.
        plurals: words with a plural of their own.
        rules: patterns of endings with what takes their place in the plural; the first that fits is taken.
        decimal: the mark before decimals.
        thousands: the mark between thousands.
        languages: names of languages by their English names.

    """

    sentences: Mapping[str, str]
    texts: Mapping[str, str]
    files: Mapping[str, str]
    classed: Mapping[Modality, str]
    tasks: Mapping[str, str]
    labels: Mapping[str, str | Sequence[str]]
    plurals: Mapping[str, str]
    rules: Sequence[tuple[re.Pattern[str], str]]
    decimal: str
    thousands: str
    languages: Mapping[str, str]

    @classmethod
    def parse(cls, content: Mapping[str, Any], languages: Mapping[str, str]) -> "Prose":
        """From the part ``answers`` of a language's file.

        Args:
            content: that part.
            languages: English names of languages by their own ones.

        Raises:
            KeyError: a sentence or a part is missing.

        """
        return cls(
            {key: content["sentences"][key] for key in SENTENCES},
            content["texts"],
            content["files"],
            {Modality(name): template for name, template in content["classed"].items()},
            content["tasks"],
            content["labels"],
            content["plurals"]["words"],
            [(re.compile(pattern), ending) for pattern, ending in content["plurals"]["rules"]],
            content["numbers"]["decimal"],
            content["numbers"]["thousands"],
            {name: word for word, name in reversed(list(languages.items()))},
        )

    def say(self, key: str, **values: object) -> str:
        """A sentence with its values."""
        return self.sentences[key].format(**values)

    def task(self, name: str) -> str:
        """What a task type is called."""
        return self.tasks.get(name, TASKS[name].label)

    def quote(self, text: str, longest: int = LONGEST) -> str:
        """A text in quotation marks, cut where it is too long, which is then said."""
        text = text.strip()
        if len(text) <= longest:
            return self.say("quoted", text=text)
        shown = text[:longest].rstrip()
        return self.say("cut", text=shown, shown=self.number(longest), total=self.number(len(text)))

    def listed(self, names: Sequence[str]) -> str:
        """Names as a list in words."""
        parts = [self.sentences["comma"].join(names[:-1]), names[-1]] if len(names) > 1 else names
        return self.sentences["and"].join(parts)

    def number(self, count: int) -> str:
        """A whole number."""
        return f"{count:,}".replace(",", self.thousands)

    def fraction(self, value: float) -> str:
        """A number with two decimals."""
        return f"{value:.2f}".replace(".", self.decimal)

    def percent(self, score: float) -> str:
        """A probability; less than certain is never told as certain."""
        number = round(100 * score)
        return self.say("percent", number=number if score >= 1 else min(number, 99))

    def label(self, label: str) -> str:
        """What an expert calls one thing; in quotation marks where that is no plain name."""
        known = self._known(label)
        if known is not None:
            return known if isinstance(known, str) else known[0]
        return self.quote(label, _LONGEST_LABEL) if "/" in label or len(label) > _LONGEST_LABEL else label

    def counted(self, label: str, count: int, own: bool = False) -> str:
        """So many things of a label; ``own`` tells that the label is in this language whatever it is."""
        known = None if own else self._known(label)
        if known is not None and not isinstance(known, str):
            word = known[count > 1]
        elif known is not None:
            word = self.plural(known) if count > 1 else known
        elif (self.labels and not own) or not _PLAIN.fullmatch(label) or len(label) > _LONGEST_LABEL:
            word = self.quote(label, _LONGEST_LABEL)
        else:
            word = self.plural(label) if count > 1 else label
        return f"{self.number(count)} {word}"

    def plural(self, words: str) -> str:
        """The plural of a word, or of the last one of several."""
        *before, last = words.split(" ")
        several = self.plurals.get(last.lower())
        if several is None:
            rule = next(((pattern, end) for pattern, end in self.rules if pattern.search(last)), None)
            several = rule[0].sub(rule[1], last, count=1) if rule else last
        return " ".join([*before, several])

    def _known(self, label: str) -> str | Sequence[str] | None:
        return self.labels.get(label.lower())
