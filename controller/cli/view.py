"""How the command line shows a run: the plan as a small graph, choices, progress, files."""

import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from controller import reference
from controller.events import (
    Event,
    PlanDone,
    PlanTask,
    RunCreated,
    RunFailed,
    TaskChosen,
    TaskDone,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    TaskWaking,
)
from controller.outcome import Outcome, Status

_MARKS = {
    Status.DONE: ("✓", "green"),
    Status.FAILED: ("✗", "red"),
    Status.SKIPPED: ("–", "yellow"),
    Status.CANCELLED: ("–", "yellow"),
}
_SHOWN = 100
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Part = str | tuple[str, str]
"""A piece of a line: its words, with a style where it has one."""


def literal(text: str) -> Text:
    """Words of a request or a model, shown as they are: nothing in them steers the terminal."""
    return Text(_harmless(text))


def _harmless(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class View:
    """Prints a run as it happens; the answer and the files are left to the caller."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[int, str] = {}
        self._brain = ""

    def show(self, event: Event) -> None:
        """Print what an event tells; most events need one line."""
        match event:
            case RunCreated():
                self._brain = event.brain
            case PlanTask():
                self._tasks[event.task["id"]] = event.task["task"]
            case PlanDone():
                self._plan(event)
            case TaskChosen():
                beaten = [model for model in event.choice.candidates if model != event.choice.model]
                over = f"; beat {', '.join(beaten)}" if beaten else ""
                self._task(event.id, "·", (event.choice.model, "cyan"), f"  ({event.choice.reason}{over})")
            case TaskWaking():
                told = f"{event.model} wakes up, which takes about {event.seconds:.0f} s"
                self._task(event.id, "…", (told, "dim"))
            case TaskStarted():
                self._task(event.id, "▸", (f"runs on {event.model}", "dim"))
            case TaskDone() | TaskFailed() | TaskSkipped():
                self._outcome(event.outcome)
            case RunFailed():
                self._line(("✗", "red"), f" {event.error.message}")
            case _:
                pass

    def _plan(self, event: PlanDone) -> None:
        if event.plan:
            self._console.print(graph(event.plan, self._brain))
        for note in event.notes:
            self._line((f"  {note}", "dim"))
        for fault in event.left_out:
            self._line((f"  left out {fault.task}: {fault.reason}", "yellow"))

    def _outcome(self, outcome: Outcome) -> None:
        for attempt in outcome.attempts:
            if attempt.failure is not None:
                said = f"{attempt.model} failed after {attempt.seconds:.2f} s: {attempt.failure.message}"
                self._task(outcome.id, ("!", "yellow"), said)
        self._task(outcome.id, _MARKS[outcome.status], f"{_seconds(outcome)}{_found(outcome)}")

    def _task(self, task: int, mark: Part, *parts: Part) -> None:
        self._line(mark, f" {task} {self._tasks.get(task, '')}  ", *parts)

    def _line(self, *parts: Part) -> None:
        words = ((part, "") if isinstance(part, str) else part for part in parts)
        line = Text.assemble(*((" ".join(_harmless(text).split("\n")), style) for text, style in words))
        self._console.print(line, soft_wrap=True)


def graph(plan: Sequence[dict[str, object]], brain: str = "") -> Tree:
    """A plan as a tree: each task under the last one that it waits for, with its own arguments."""
    by = (f"  by {_harmless(brain)}", "dim") if brain else ""
    tree = Tree(Text.assemble(("plan", "bold"), by))
    branches: dict[int, Tree] = {}
    for task in plan:
        dep, args, task_id = task["dep"], task["args"], task["id"]
        assert isinstance(dep, list)  # noqa: S101
        assert isinstance(args, dict)  # noqa: S101
        assert isinstance(task_id, int)  # noqa: S101
        parent = next((branches[n] for n in sorted(dep, reverse=True) if n in branches), tree)
        shown = ", ".join(f"{name}={_argument(str(value))}" for name, value in args.items())
        label = Text.assemble((f"{task_id} ", "bold"), (_harmless(str(task["task"])), "cyan"), f"  {shown}")
        branches[task_id] = parent.add(label)
    return tree


def _argument(value: str) -> str:
    alone = reference.whole(value)
    if alone is not None:
        return f"← {alone}"
    flat = _cut(value)
    return _harmless(flat) if "/" in flat and " " not in flat else repr(flat)


def _cut(text: str) -> str:
    """The text on one line, and its beginning alone where it is long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}…"


def _seconds(outcome: Outcome) -> str:
    timings = outcome.timings
    if timings is None or timings.started is None or timings.finished is None:
        return ""
    return f"{timings.finished - timings.started:.2f} s  "


def _found(outcome: Outcome) -> str:
    if outcome.error is not None:
        return outcome.error.message
    parts = [artifact.path for artifact in outcome.artifacts]
    if outcome.text:
        parts.append(f"“{_cut(outcome.text)}”")
    return "  ".join(parts)
