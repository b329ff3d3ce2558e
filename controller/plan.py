"""Plans: a graph of tasks, parsed from the wire, validated and mended.

The wire form is JARVIS's: ``[{"task", "id", "dep", "args"}]``. A plan is read task by task, so that a task
can run while the next one is still being written; ``Plan.parse`` reads a whole list in any order.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from controller import reference
from controller.arguments import Faulty, bind, read_values
from controller.errors import TooManyTasksError
from model_catalog.tasks import MEDIA, TASKS, Modality, TaskType

if TYPE_CHECKING:  # planning alone needs nothing of results
    from controller.outcome import Link

NO_DEPENDENCY = -1
"""What JARVIS writes in ``dep`` of a task that depends on nothing."""

MAX_ID = 10**8
"""Greater ids are not taken over; the task gets a fresh one."""

MAX_TASKS = 32
"""The most tasks of one plan, where the settings say nothing else."""


_LONGEST_WORDS = 300  # of a reason, or a model's id

_STORED_TEXT = re.compile(r"^(?:https?://[^\s/]+)?/files/[\w.-]+$")


@dataclass(frozen=True, slots=True)
class Task:
    """One node of a plan.

    Attributes:
        task: the registry's task type.
        id: its number in the plan.
        args: literal values and references by declared argument name, in the registry's order.
        dep: ids of the tasks it waits for, those its arguments refer to first.
        want: the job asked for where the type covers two (``ocr`` or ``caption``).
        model: the model asked for, None for the first by downloads.
        reason: why that model, in the planner's words.
        alone: whether no other model may run it.
        links: the web links that stood in its arguments, once they are read.

    """

    task: str
    id: int
    args: Mapping[str, str]
    dep: tuple[int, ...] = ()
    want: str | None = None
    model: str | None = None
    reason: str | None = None
    alone: bool = False
    links: "tuple[Link, ...]" = ()

    @property
    def type(self) -> TaskType:
        """The registry's row."""
        return TASKS[self.task]

    def wire(self) -> dict[str, Any]:
        """The JARVIS-compatible form; ``want``, ``model`` and ``reason`` stay off the wire."""
        return {
            "task": self.task,
            "id": self.id,
            "dep": list(self.dep) or [NO_DEPENDENCY],
            "args": dict(self.args),
        }

    def files(self) -> tuple[tuple[str, Modality], ...]:
        """The arguments that must name a file, and of which modality: literal media, and stored texts."""
        pairs = ((value, self.type.argument(name)) for name, value in self.args.items())
        return tuple(
            (value, argument.modality)
            for value, argument in pairs
            if argument is not None and reference.whole(value) is None
            if argument.modality in MEDIA or _STORED_TEXT.search(value.strip())
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """A task that cannot be mended: why, and its raw form, so that a planner can write it again."""

    id: int | None
    task: str
    reason: str
    raw: Any = None


@dataclass(slots=True)
class Plan:
    """The tasks read so far, what was mended on the way, what was left out, and remarks for the answer.

    ``confidence``, from 0 to 1, is the planner's own, where it tells one. In a ``binding`` plan no model
    but the one that a task names may run it.
    """

    max_tasks: int = MAX_TASKS
    tasks: list[Task] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    confidence: float | None = None
    binding: bool = False
    _actual: dict[int, tuple[int, ...]] = field(default_factory=dict)  # id as written -> ids of its copies
    _by_id: dict[int, Task] = field(default_factory=dict)
    _next: int = 0

    @classmethod
    def parse(cls, raws: Iterable[Any], max_tasks: int = MAX_TASKS, *, binding: bool = False) -> "Plan":
        """Read a whole plan, whose tasks may come in any order; they keep the order they were given in.

        Raises:
            TooManyTasksError: it has more than ``max_tasks`` tasks.

        """
        listed = list(raws)
        if len(listed) > max_tasks:
            raise too_many(max_tasks)
        plan = cls(max_tasks, binding=binding)
        plan._next = 1 + max(
            (written for raw in listed if (written := written_id(raw)) is not None), default=-1
        )
        order, cyclic = ordered(listed)
        places = {index: plan.add(listed[index]) for index in order}
        plan.tasks = [task for index in sorted(places) for task in places[index]]
        for index in cyclic:
            plan.refuse(listed[index], "it waits for itself, directly or through other tasks")
        return plan

    def add(self, raw: Any) -> list[Task]:
        """Read one task whose references point to tasks already read; returns it, or its unfolded copies.

        A task that cannot be mended becomes a fault, and nothing is returned.

        Raises:
            TooManyTasksError: the plan is full.

        """
        try:
            tasks = self._read(raw)
        except Faulty as fault:
            self.refuse(raw, str(fault))
            return []
        except RecursionError:
            self.refuse(raw, "its arguments are nested too deeply")
            return []
        if len(self.tasks) + len(tasks) > self.max_tasks:
            raise too_many(self.max_tasks)
        self.tasks += tasks
        self._by_id |= {task.id: task for task in tasks}
        return tasks

    def retry(self, faults: Iterable[Fault]) -> None:
        """Take faults back, since their tasks are written anew."""
        again = {id(fault) for fault in faults}
        self.faults = [fault for fault in self.faults if id(fault) not in again]

    def task(self, task_id: int) -> Task:
        """The task with that id; KeyError where there is none."""
        return self._by_id[task_id]

    @property
    def final(self) -> list[Task]:
        """The tasks whose result no other task uses: they are what was asked for."""
        used = {upstream for task in self.tasks for upstream in _references(task.args.values())}
        return [task for task in self.tasks if task.id not in used]

    def wire(self) -> list[dict[str, Any]]:
        """The JARVIS-compatible form of the whole plan."""
        return [task.wire() for task in self.tasks]

    def refuse(self, raw: Any, reason: str) -> None:
        """Leave a task out; ``reason`` is a part of a sentence about it."""
        name = raw.get("task") if isinstance(raw, Mapping) else None
        self.faults.append(
            Fault(written_id(raw), name if isinstance(name, str) and name else "?", reason, raw)
        )

    def _read(self, raw: Any) -> list[Task]:
        if not isinstance(raw, Mapping):
            raise Faulty("a task must be an object with task, id, dep and args")
        row = _row(raw.get("task"))
        written = self._written(raw)
        note = f"task {written} ({row.name}): "
        values = read_values(raw.get("args"))
        deps = self._deps(raw.get("dep"), written, note)
        named, said = bind(row, self._resolve(values), deps, self._outputs)
        self.notes += [note + text for text in said.notes]
        copies = self._number(written, named)
        model = _words(raw.get("model"))
        return [
            Task(
                said.row.name,
                task_id,
                args,
                dep=tuple(dict.fromkeys([*_references(args.values()), *deps])),
                want=self._want(raw.get("want"), said.row, note),
                model=model,
                reason=_words(raw.get("reason")),
                alone=self.binding and model is not None,
            )
            for task_id, args in copies
        ]

    def _written(self, raw: Mapping[str, Any]) -> int:
        """The id as written; a fresh one where it is missing."""
        written = written_id(raw)
        if written is None:
            return self._fresh()
        if written in self._actual:
            raise Faulty(f"the id {written} is used twice")
        return written

    def _fresh(self) -> int:
        fresh = max([self._next, *(task_id + 1 for task_id in self._by_id)])
        self._next = fresh + 1
        return fresh

    def _number(self, written: int, named: Mapping[str, Sequence[str]]) -> list[tuple[int, dict[str, str]]]:
        """One copy for each combination of listed values, each with an id of its own."""
        lists = [items for items in named.values() if len(items) > 1]
        if len({len(items) for items in lists}) > 1 and prod(map(len, lists)) > self.max_tasks:
            raise too_many(self.max_tasks)
        copies = [
            dict(zip(named, combination, strict=True)) for combination in _combinations(list(named.values()))
        ]
        first = written if written not in self._by_id else self._fresh()
        self._next = max(self._next, first + 1)
        ids = (first, *(self._fresh() for _ in copies[1:]))
        self._actual[written] = ids
        return list(zip(ids, copies, strict=True))

    def _deps(self, dep: Any, own: int, note: str) -> list[int]:
        deps: list[int] = []
        for item in dep if isinstance(dep, list | tuple) else [dep]:
            if isinstance(item, bool) or not isinstance(item, int) or item == NO_DEPENDENCY:
                continue
            if item in self._actual and item != own:
                deps += self._actual[item]
            else:
                self.notes.append(f"{note}it named {item} in dep, where no such task is before it; ignored")
        return deps

    def _resolve(self, values: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """The values with references to written ids replaced by those to actual ones."""
        return {
            name: [copy for item in items for copy in self._actual_tags(item)]
            for name, items in values.items()
        }

    def _actual_tags(self, value: str) -> list[str]:
        for task_id in reference.find(value):
            if task_id not in self._actual:
                raise Faulty(f"it refers to task {task_id}, which does not exist or was left out")
        alone = reference.whole(value)
        if alone is not None:
            return [reference.tag(task_id) for task_id in self._actual[alone]]
        return [reference.substitute(value, lambda n: "\n".join(map(reference.tag, self._actual[n])))]

    def _outputs(self, task_id: int) -> tuple[Modality, ...]:
        return self._by_id[task_id].type.outputs

    def _want(self, want: Any, row: TaskType, note: str) -> str | None:
        if want is None or (isinstance(want, str) and want in row.wants):
            return want
        self.notes.append(f"{note}want {want!r} means nothing here; ignored")
        return None


def too_many(limit: int) -> TooManyTasksError:
    """What a plan over its limit is refused with."""
    return TooManyTasksError(f"This request plans more than {limit} tasks; split it into smaller requests.")


def _words(value: Any) -> str | None:
    said = " ".join(value.split()) if isinstance(value, str) else ""
    return said[:_LONGEST_WORDS] or None


def written_id(raw: Any) -> int | None:
    """The id that a raw task was given, None where it is none that can be used."""
    written = raw.get("id") if isinstance(raw, Mapping) else None
    if isinstance(written, str) and len(written) <= len(str(MAX_ID)) and written.strip().isdecimal():
        written = int(written)
    if isinstance(written, bool) or not isinstance(written, int):
        return None
    return written if 0 <= written <= MAX_ID else None


def _row(name: Any) -> TaskType:
    if not isinstance(name, str) or not name.strip():
        raise Faulty("it has no task type")
    row = TASKS.get("-".join(name.strip().lower().replace("_", " ").replace("-", " ").split()))
    if row is None:
        raise Faulty(f"there is no task type {name!r}")
    return row


def _references(values: Iterable[str]) -> Iterator[int]:
    return (task_id for value in values for task_id in reference.find(value))


def _combinations(lists: list[Sequence[str]]) -> list[tuple[str, ...]]:
    """Lists of one length go side by side, as several pictures with as many captions; others multiply."""
    longer = {len(items) for items in lists if len(items) > 1}
    if len(longer) == 1:
        size = longer.pop()
        return list(zip(*(items if len(items) > 1 else [items[0]] * size for items in lists), strict=True))
    return list(product(*lists))


def ordered(raws: list[Any]) -> tuple[list[int], list[int]]:
    """Positions with every task behind those it refers to, and the positions caught in a cycle."""
    by_id = {
        written: index
        for index, raw in reversed(list(enumerate(raws)))
        if (written := written_id(raw)) is not None
    }
    waits = {index: {by_id[n] for n in needs(raw) if n in by_id} for index, raw in enumerate(raws)}
    cyclic = [index for index in waits if index in _upstream(index, waits)]
    waits = {index: needs - set(cyclic) for index, needs in waits.items() if index not in cyclic}
    order: list[int] = []
    done: set[int] = set()
    while ready := [index for index in waits if index not in done and waits[index] <= done]:
        order += ready
        done.update(ready)
    return order, cyclic


def _upstream(index: int, waits: Mapping[int, set[int]]) -> set[int]:
    """Everything a task waits for, directly or through others."""
    found: set[int] = set()
    pending = set(waits[index])
    while pending:
        found |= pending
        pending = {upstream for waiting in pending for upstream in waits[waiting]} - found
    return found


def needs(raw: Any) -> set[int]:
    """The ids a task refers to or names in ``dep``.

    ``NO_DEPENDENCY`` and the like are none; its own id in ``dep`` alone is a slip and no cycle.
    """
    if not isinstance(raw, Mapping):
        return set()
    args = raw.get("args")
    values = args.values() if isinstance(args, Mapping) else ()
    dep = raw.get("dep")
    listed = dep if isinstance(dep, list | tuple) else ()
    explicit = {n for n in listed if isinstance(n, int) and not isinstance(n, bool) and n >= 0}
    return (explicit - {written_id(raw)}).union(*map(_named, values))


def _named(value: Any) -> Collection[int]:
    """The ids referred to in a value or in a list of values, whatever it may hold."""
    if isinstance(value, str):
        return reference.find(value)
    try:
        return reference.find(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return ()
