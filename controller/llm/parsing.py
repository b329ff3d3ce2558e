"""A plan read while it is written: text in pieces in, whole tasks and the words of a reply out.

Taken are ``{"tasks": [...], "reply": ...}``, a bare list of tasks, and tasks one after another, fenced or
with prose around them. A text without any plan is a reply as a whole.

Some endpoints write the end of a model's thoughts without their beginning. What came before it, drafts of
plans maybe, is taken back where that is possible yet.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.llm.stream import JsonStream, Place
from controller.planner import Reply
from deployments.llm.thoughts import Ends

_TASKS = frozenset({"tasks", "plan"})
_REPLIES = frozenset({"reply", "answer", "response", "message"})
_TASK = frozenset({"task", "args"})
_OPENER = re.compile(r"[{\[]")
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*$", re.MULTILINE)
_LONGEST_BROKEN = 2_000


@dataclass(frozen=True, slots=True)
class Written:
    """A task as the LLM wrote it, its brace just closed."""

    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """A task that is no JSON, or no object: what of it could be read."""

    raw: Mapping[str, Any]


Event = Written | Broken | Reply


class PlanReader:
    """Reads one answer of a planning LLM.

    Words of a reply come out as soon as it is known that there are no tasks; where there are tasks, there is
    no reply. What follows a whole plan is not read.

    Attributes:
        whole: whether the plan or the reply is read to its end, so that nothing more can come of the text.
        planned: whether a task was read, or broken.
        unfinished: after ``close``, whether the text ended in the middle of a plan, or held none that can be
            read.

    """

    def __init__(self, forget: Callable[[], bool] = lambda: True) -> None:
        """Prepare to read.

        Args:
            forget: told that what was read was thoughts; returns whether that can be taken back.

        """
        self._forget = forget
        self._ends = Ends()
        self._begin()

    def _begin(self) -> None:
        self.whole = False
        self.planned = False
        self.unfinished = False
        self._json: JsonStream | None = None
        self._events: list[Event] = []
        self._prose: list[str] = []  # what is no part of a plan, so far
        self._attempt: list[str] = []  # what is read as JSON now
        self._fruitful = False  # whether that held a task
        self._reply: list[str] = []  # held until it is known whether there are tasks
        self._empty = False  # whether it is known that there are none
        self._worded = False
        self._replied = False
        self._told = False  # whether words of a reply were given out
        self._garbled = False  # whether a part of a plan could not be read

    def feed(self, text: str) -> list[Event]:
        """What became whole with a piece of text."""
        self._read(self._ends.take(text))
        return self._taken()

    def close(self) -> list[Event]:
        """What is left when the text has ended."""
        self._read(self._ends.rest())
        stream = self._json
        if stream is None:
            self.unfinished = self._garbled and not self.planned
        elif self._planlike(stream) or self._blank():
            self.unfinished = True
        else:
            self._prose += self._attempt
        in_tasks = stream is not None and stream.frames and stream.frames[0].name in _TASKS
        if not (self.planned or self._replied or in_tasks):
            self._say(self._reply)
        if not (self.planned or self._replied or self.unfinished or self._blank()):
            text = "".join(self._prose)
            self._say([(_FENCE.sub("", text) if self._empty else text).strip()])
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        self._told = self._told or any(isinstance(event, Reply) for event in events)
        return events

    def _say(self, pieces: list[str]) -> None:
        """Tell words of the reply; blanks at its start are held, for they may be all there is."""
        text = "".join(pieces)
        if self._replied or text.strip():
            self._replied = True
            self._reply = []
            self._events.append(Reply(text))

    def _read(self, parts: list[str]) -> None:
        """Read on; between two parts thoughts end that did not begin."""
        for count, text in enumerate(parts):
            if count and not self._told and self._forget():
                self._begin()
            at = 0
            while at < len(text) and not self.whole:
                at = self._in_prose(text, at) if self._json is None else self._in_json(self._json, text, at)

    # Prose and JSON -----------------------------------------------------------------------------------------

    def _in_prose(self, text: str, at: int) -> int:
        found = _OPENER.search(text, at)
        end = found.start() if found else len(text)
        self._prose.append(text[at:end])
        if found:
            self._json, self._attempt = JsonStream(self._on_value, self._on_words), []
            self._fruitful = False
        return end

    def _in_json(self, stream: JsonStream, text: str, at: int) -> int:
        end = stream.feed(text, at)
        self._attempt.append(text[at:end])
        if stream.failed:
            self._on_failure(stream)
            self._json = None
        elif stream.done:
            self._on_end(stream.value)
            self._json = None
        return end

    def _on_failure(self, stream: JsonStream) -> None:
        """What was read as JSON is none; the next bracket begins anew, so that later tasks are found."""
        if self._planlike(stream):
            self._garbled = True
            element = _element(stream)
            if element:
                self._break(element)
        self._prose += self._attempt
        self._reply = []

    def _on_end(self, value: Any) -> None:
        """A whole object or list: a plan, a single task, or something in a text."""
        if isinstance(value, Mapping) and not (_TASKS | _REPLIES).isdisjoint(value):
            if not self.planned and not self._replied:
                self._say(self._reply)
            self.whole = self.planned or self._replied
            self._empty = self._empty or not self.whole  # words behind it are the reply
        elif isinstance(value, Mapping) and "task" in value:
            self._write(value)
        elif isinstance(value, list) and self._fruitful:
            self.whole = True
        elif value or not self._blank():
            self._prose += self._attempt
        else:
            self._empty = True  # brackets alone are an empty plan

    # What is in a plan --------------------------------------------------------------------------------------

    def _on_value(self, place: Place, value: Any) -> None:
        match place:
            case (int(),):
                if isinstance(value, Mapping) and not _TASK.isdisjoint(value):
                    self._write(value)
            case (str(name), int()) if name in _TASKS:
                self._write(value)
            case (str(name),) if name in _TASKS:
                self._on_tasks(value)

    def _on_tasks(self, value: Any) -> None:
        """The list of tasks has ended; one without any lets the reply out."""
        if isinstance(value, Mapping) and value:
            self._write(value)
        elif not self.planned:
            self._empty = True
            self._say(self._reply)

    def _on_words(self, place: Place, piece: str) -> None:
        if place[0] not in _REPLIES or self.planned:
            return
        self._reply.append(piece)
        if self._empty and (self._replied or piece.strip()):
            self._say(self._reply)

    def _write(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self._add(Written(value))
        else:
            self._break({"task": value})

    def _break(self, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=False)[:_LONGEST_BROKEN]
        self._add(Broken({"task": value.get("task"), "id": value.get("id"), "text": text}))

    def _add(self, event: Event) -> None:
        if not self._replied:
            self.planned = self._fruitful = True
            self._events.append(event)

    # Words without a plan -----------------------------------------------------------------------------------

    def _planlike(self, stream: JsonStream) -> bool:
        """Whether what is open has the form of a plan."""
        names = [name for frame in stream.frames[:3] for name in _names(frame.value, frame.name)]
        return self.planned or not (_TASKS | _REPLIES | _TASK).isdisjoint(names)

    def _blank(self) -> bool:
        """Whether there is no prose but the fences of a plan."""
        if not self._worded:
            text = "".join(self._prose)
            self._worded = bool(_FENCE.sub("", text).strip())
            self._prose = [text] if self._worded else []
        return not self._worded


def _element(stream: JsonStream) -> dict[str, Any]:
    """What there is of the task that is open, empty where none is."""
    outer = stream.frames[0]
    depth = 0 if "task" in outer.value else 1 if isinstance(outer.value, list) else 2
    value = stream.frames[depth].value if depth < len(stream.frames) else {}
    return value if isinstance(value, dict) else {}


def _names(value: dict[str, Any] | list[Any], name: str | None) -> list[str]:
    return [*value, *([name] if name else [])] if isinstance(value, dict) else []
