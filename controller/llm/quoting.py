"""Quoting: outcomes as data for a prompt, one JSON object a line, within a budget of tokens.

What models wrote stands inside JSON strings. There, every character that a prompt's own marks, a chat
template or a renderer could take for more than text is written as an escape: no text can end the block.
"""

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller import reference
from controller.llm.history import tokens
from controller.outcome import Outcome, Status
from controller.plan import Plan, Task

LONGEST_TEXT = 8_000
"""The most characters of a text that are quoted, whatever the budget."""

LONGEST_CAUSE = 400
"""Of an error's message, or a reason why something was left out."""

_LONGEST_NAME = 200
_LONGEST_ARGUMENT = 300
_LONGEST_STRING = 200
_MOST_FILES = 20
_MOST_NOTES = 5
_DEEPEST = 5
_DIGITS = 3
_CUTS = (40, 20, 10, 5, 2)
"""How many items of a list are tried, until the data fit."""

_FINAL_WEIGHT = 4
_MARKS = re.compile(r"[<>]|\[(?=/?[A-Z_]{3,40}\])")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(slots=True, eq=False)
class _Line:
    """A task's account: what is always told of it, and what gives way when room is short."""

    fixed: dict[str, Any]
    final: bool
    text: str = ""
    data: Any = None

    @property
    def rank(self) -> int:
        """Which lines are told first: final ones, then failures, then steps on the way."""
        return 0 if self.final else 1 if self.fixed["status"] != Status.DONE else 2

    def written(self, room: int) -> str:
        """The line with as much of its text and data as fits into ``room`` tokens beyond what is fixed."""
        told = dict(self.fixed)
        need = _need(_told(self.text, LONGEST_TEXT)) if self.text else 0
        data = {} if self.data is None else _data(self.data, max(room // 2, room - need))
        if self.text:
            told |= _text(self.text, room - _need(data))
        told |= data
        return encoded(told)


@dataclass(frozen=True, slots=True)
class Quoted:
    """Outcomes as data for a prompt.

    Attributes:
        text: lines of JSON.
        faults: of how many tasks that were left out of the plan they tell.

    """

    text: str
    faults: int = 0


def quoted(plan: Plan, outcomes: Sequence[Outcome], budget_tokens: int) -> Quoted:
    """What became of each task, and of the plan; lines of JSON within the budget.

    Final tasks come with more of their text than steps on the way. Where not even the bare accounts fit,
    steps on the way are left out first, and counted.
    """
    known = {outcome.id: outcome for outcome in outcomes}
    final = {task.id for task in final_tasks(plan, outcomes)}
    lines = [_line(task, known.get(task.id), task.id in final) for task in plan.tasks]
    notes, faults = _notes(plan, budget_tokens // 4)
    room = budget_tokens - tokens(notes) - 1
    kept = _kept(lines, room)
    left = [line for line in lines if line not in kept]
    rest = f"\n{encoded(_counted(left))}" if left else ""
    room -= tokens(rest) + sum(_size(line) for line in kept)
    shares = _shares([(_wanted(line), _FINAL_WEIGHT if line.final else 1) for line in kept], room)
    told = "\n".join(line.written(share) for line, share in zip(kept, shares, strict=True))
    return Quoted(f"{told}{rest}{notes}".strip(), faults)


def final_tasks(plan: Plan, outcomes: Sequence[Outcome]) -> list[Task]:
    """The tasks whose result no task that ended well has used: they are what is to be delivered."""
    done = {outcome.id for outcome in outcomes if outcome.status is Status.DONE}
    used = {
        upstream
        for task in plan.tasks
        if task.id in done
        for value in task.args.values()
        for upstream in reference.find(value)
    }
    return [task for task in plan.tasks if task.id not in used]


def encoded(value: Any) -> str:
    """A value as JSON in one line; nothing in it can be taken for a mark."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return _MARKS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _visible(sign: str) -> str:
    if sign.isprintable() or unicodedata.category(sign) not in _HIDDEN:
        return sign
    code = ord(sign)
    if code > 0xFFFF:
        return f"\\u{0xD800 + ((code - 0x10000) >> 10):04x}\\u{0xDC00 + ((code - 0x10000) & 0x3FF):04x}"
    return f"\\u{code:04x}"


# Lines ---------------------------------------------------------------------------------------------------


def _line(task: Task, outcome: Outcome | None, final: bool) -> _Line:
    status = outcome.status if outcome else Status.SKIPPED
    fixed: dict[str, Any] = {"id": task.id, "task": task.task, "status": status.value}
    if final:
        fixed["asked_for"] = True
    fixed["args"] = {name: _argument(value) for name, value in task.args.items()}
    if task.want:
        fixed["want"] = task.want
    if outcome is None:
        return _Line(fixed | {"error": {"code": "not_run", "message": "It was not run."}}, final)
    if outcome.choice is not None:
        fixed["model"] = _head(outcome.choice.model, _LONGEST_NAME)
    failed = [_head(attempt.model, _LONGEST_NAME) for attempt in outcome.attempts if attempt.failure]
    if failed and status is Status.DONE:
        fixed["failed_before"] = list(dict.fromkeys(failed))[:_MOST_NOTES]
    if outcome.error is not None:
        message = _head(outcome.error.message, LONGEST_CAUSE)
        fixed["error"] = {"code": _head(outcome.error.code, _LONGEST_NAME), "message": message}
    fixed |= _files(outcome)
    return _Line(fixed, final, outcome.text or "", outcome.data)


def _argument(value: str) -> str:
    return _head(reference.substitute(value, "[result of task {}]".format), _LONGEST_ARGUMENT)


def _files(outcome: Outcome) -> dict[str, Any]:
    files = [
        {"path": item.path, "modality": item.modality.value, "kilobytes": round(item.size / 1000, 1)}
        for item in outcome.artifacts[:_MOST_FILES]
    ]
    more = len(outcome.artifacts) - len(files)
    return ({"files": files} if files else {}) | ({"more_files": more} if more > 0 else {})


def _notes(plan: Plan, budget: int) -> tuple[str, int]:
    """What was left out of the plan and mended in it; and how many of the faults are told."""
    for most in (_MOST_NOTES, 1, 0):
        faults, notes = plan.faults[:most], plan.notes[:most]
        told: dict[str, Any] = {}
        if faults:
            told["left_out"] = [
                {"task": _head(fault.task, _LONGEST_NAME), "reason": _head(fault.reason, LONGEST_CAUSE)}
                for fault in faults
            ]
        if notes:
            told["mended"] = [_head(note, LONGEST_CAUSE) for note in notes]
        text = f"\n{encoded(told)}" if told else ""
        if tokens(text) <= budget:
            return text, len(faults)
    return "", 0


def _counted(left: Sequence[_Line]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for line in left:
        counts[line.fixed["status"]] = counts.get(line.fixed["status"], 0) + 1
    return {"tasks_not_listed": counts}


# Room ----------------------------------------------------------------------------------------------------


def _size(line: _Line) -> int:
    return tokens(encoded(line.fixed)) + 1


def _kept(lines: Sequence[_Line], room: int) -> list[_Line]:
    """The lines whose fixed parts fit, in their order; the most important are taken first."""
    if sum(map(_size, lines)) <= room:
        return list(lines)
    room -= tokens(encoded(_counted(lines))) + 1
    kept: set[int] = set()
    for index in sorted(range(len(lines)), key=lambda index: lines[index].rank):
        room -= _size(lines[index])
        if room < 0:
            break
        kept.add(index)
    return [line for index, line in enumerate(lines) if index in kept]


def _wanted(line: _Line) -> int:
    """How much a line would take beyond what is fixed, if there were room for all of it."""
    text = _told(line.text, LONGEST_TEXT) if line.text else {}
    data = _data(line.data, 1 << 30) if line.data is not None else {}
    return _need(text) + _need(data)


def _need(told: Mapping[str, Any]) -> int:
    return tokens(encoded(told)) if told else 0


def _shares(wants: Sequence[tuple[int, int]], room: int) -> list[int]:
    """Room for each of several wants, by weight; what one does not need goes to the others."""
    shares = [0] * len(wants)
    open_ = {index for index, (want, _) in enumerate(wants) if want > 0}
    room = max(0, room)
    while open_:
        unit = room / sum(wants[index][1] for index in open_)
        content = {index for index in open_ if wants[index][0] <= unit * wants[index][1]}
        if not content:
            for index in open_:
                shares[index] = int(unit * wants[index][1])
            break
        for index in content:
            shares[index] = wants[index][0]
            room -= wants[index][0]
        open_ -= content
    return shares


# Values --------------------------------------------------------------------------------------------------


def _text(text: str, room: int) -> dict[str, Any]:
    """A text and, where it is cut, how much of it is there; nothing where not even the account fits."""
    kept = min(len(text), LONGEST_TEXT)
    while kept >= 0:
        told = _told(text, kept)
        over = _need(told) - room
        if over <= 0:
            return told
        if kept == 0:
            break
        kept = max(0, min(kept - 1, int(kept * (1 - over / (over + room + 1)))))
    return {}


def _told(text: str, kept: int) -> dict[str, Any]:
    if kept >= len(text):
        return {"text": text}
    return {"text": text[:kept], "text_cut": f"the first {kept:,} of {len(text):,} characters"}


def _data(data: Any, room: int) -> dict[str, Any]:
    """Data with lists cut to what fits; nothing where nothing does."""
    for most in _CUTS:
        told = {"data": _small(data, most, 0)}
        if _need(told) <= room:
            return told
    return {}


def _small(value: Any, most: int, depth: int) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return _head(value, _LONGEST_STRING)
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        items = list(value.items())
        small = {
            _head(str(key), _LONGEST_STRING): _small(item, most, depth + 1) for key, item in items[:most]
        }
        return small | ({"…": f"{len(items) - most} more"} if len(items) > most else {})
    if isinstance(value, list | tuple):
        short = [_small(item, most, depth + 1) for item in value[:most]]
        return [*short, f"… {len(value) - most} more"] if len(value) > most else short
    return _head(str(value), _LONGEST_STRING)


def _number(value: float) -> float | str:
    """Rounded to the digits that say something."""
    if isinstance(value, int):
        return value if abs(value) < 10**15 else f"{value:.3e}" if abs(value) < 10**300 else "a huge number"
    if not math.isfinite(value):
        return str(value)
    return round(value, _DIGITS) if abs(value) >= 1 or value == 0 else float(f"{value:.{_DIGITS}g}")


def _head(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest:,} characters cut)"
