"""The tasks of a plan on their way from the LLM to the controller, each behind those it refers to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

from controller.errors import TooManyTasksError
from controller.llm.parsing import Event, Written
from controller.llm.schema import raw_task
from controller.plan import Fault, Plan, needs, ordered, too_many, written_id
from controller.planner import RawTask, Reply

_CYCLE = "it waits for itself, directly or through other tasks"
_BROKEN = "it is not valid JSON"


@dataclass(frozen=True, slots=True)
class Mend:
    """A faulty task that is to be written anew, and the id it is to have."""

    fault: Fault
    id: int


class Queue:
    """Holds tasks until those they refer to are there.

    Whoever takes a task from an iterator of this class adds it to the plan before the next one: so the queue
    sees which were accepted.

    Attributes:
        written: the tasks that the plan accepted, as they were written.
        over: whether tasks of the second writing were passed over, since the plan is full.
        full: whether no more of the second writing need be read.

    """

    def __init__(self, plan: Plan) -> None:
        self.written: list[RawTask] = []
        self.over = False
        self.full = False
        self._plan = plan
        self._held: list[tuple[RawTask, set[int]]] = []
        self._given: set[int] = set()  # ids of accepted tasks
        self._bad: set[int] = set()  # ids of faulty ones
        self._mends: dict[int, Mend] | None = None
        self._count = 0
        self._kept: list[tuple[RawTask, set[int]]] = []  # what was held before this writing
        self._given_now = False  # whether a task of this writing was given out, or refused

    @property
    def waiting(self) -> list[RawTask]:
        """The tasks held."""
        return [raw for raw, _ in self._held]

    def next_id(self) -> int:
        """An id above all that were used, or promised to a faulty task."""
        held = (written_id(raw) for raw in self.waiting)
        used = {
            *self._given,
            *self._bad,
            *(self._mends or ()),
            *(task.id for task in self._plan.tasks),
            *held,
        }
        return 1 + max((task_id for task_id in used if task_id is not None), default=-1)

    def take(self, events: Iterable[Event]) -> Iterator[RawTask | Reply]:
        """What can go on of what was read.

        Raises:
            TooManyTasksError: more was written than a plan holds, and not for the second time: that is
                passed over, for tasks run by then.

        """
        for event in events:
            if isinstance(event, Reply):
                if self._mends is None:
                    yield event
                continue
            self._count += 1
            if self._count > self._plan.max_tasks:
                if self._mends is None:
                    raise too_many(self._plan.max_tasks)
                self.over = self.full = True
                return
            if isinstance(event, Written):
                yield from self._put(raw_task(event.raw))
            elif not self._mends:  # else it is a fault already
                self._refuse(event.raw, _BROKEN)

    def forget(self) -> bool:
        """Take back what was read of this writing; returns whether that was possible, as no task runs."""
        if self.written if self._mends is None else self._given_now:
            return False
        if self._mends is None:
            self._plan.retry(self._plan.faults)
            self._bad.clear()
        self._held = list(self._kept)
        self._count = 0
        return True

    def finish(self) -> Iterator[RawTask]:
        """All that is held, for nothing more is written; what waits for a faulty task is held still."""
        raws = self.waiting
        order, cyclic = ordered(raws)
        for index in cyclic:
            self._take_back(raws[index])
            self._refuse(raws[index], _CYCLE)
        held, self._held = self._held, []
        waiting: set[int] = set()
        for index in order:
            raw, wanted = held[index]
            if (wanted - self._given) & (self._bad | waiting):
                self._held.append((raw, wanted))
                waiting.update(_ids(raw))
            else:
                yield from self._give(raw)

    def rest(self) -> Iterator[RawTask]:
        """All that is held still, whatever becomes of it."""
        held, self._held = self._held, []
        for raw, _ in held:
            yield from self._give(raw)

    def mend(self, faults: Iterable[Fault]) -> list[Mend]:
        """Expect these tasks to be written anew; what is written twice from now on is passed over."""
        free = self.next_id()
        mends: dict[int, Mend] = {}
        for fault in faults:
            task_id = fault.id
            if task_id is None or task_id in self._given or task_id in mends:
                task_id, free = free, free + 1
            mends[task_id] = Mend(fault, task_id)
        self._mends = mends
        self._count = 0
        self._kept, self._given_now = list(self._held), False
        return list(mends.values())

    def _put(self, raw: RawTask) -> Iterator[RawTask]:
        if self._mends is not None:
            claimed = self._claimed(raw, self._mends)
            if claimed is None:
                return
            raw = claimed
            again = written_id(raw)
            self._held = [held for held in self._held if written_id(held[0]) != again or again is None]
        self._held.append((raw, needs(raw)))
        yield from self._ready()

    def _claimed(self, raw: RawTask, mends: Mapping[int, Mend]) -> RawTask | None:
        """A task of the second writing, expected or new; None where it is there already."""
        task_id = written_id(raw)
        if task_id in mends:
            return raw
        if any(_same(raw, other) for other in (*self.written, *self.waiting)):
            return None
        expected = [mend.id for mend in mends.values() if mend.fault.task == raw.get("task")]
        if expected:
            return {**raw, "id": expected[0]}
        return None if task_id in self._given else raw

    def _ready(self) -> Iterator[RawTask]:
        """Those held that refer to nothing but what is there."""
        while True:
            ready = (n for n, (_, wanted) in enumerate(self._held) if wanted <= self._given)
            index = next(ready, None)
            if index is None:
                return
            yield from self._give(self._held.pop(index)[0])

    def _give(self, raw: RawTask) -> Iterator[RawTask]:
        self._given_now = True
        if self._mends is not None and not self._fits(raw):
            self.over = True
            self._bad.update(_ids(raw))
            return
        self._take_back(raw)
        before = len(self._plan.faults)
        yield raw
        if len(self._plan.faults) > before:
            self._bad.update(_ids(raw))
        else:
            self.written.append(raw)
            self._given.update(_ids(raw))
            self._bad -= self._given

    def _fits(self, raw: RawTask) -> bool:
        """Whether the plan holds a task with all its copies."""
        try:
            deepcopy(self._plan).add(raw)
        except TooManyTasksError:
            return False
        return True

    def _take_back(self, raw: RawTask) -> None:
        """The fault of a task that is written anew counts no longer."""
        task_id = written_id(raw)
        if self._mends and task_id in self._mends:
            self._plan.retry([self._mends.pop(task_id).fault])

    def _refuse(self, raw: RawTask, reason: str) -> None:
        self._given_now = True
        self._plan.refuse(raw, reason)
        self._bad.update(_ids(raw))


def _ids(raw: RawTask) -> Sequence[int]:
    task_id = written_id(raw)
    return () if task_id is None else (task_id,)


def _same(one: RawTask, other: RawTask) -> bool:
    return one.get("task") == other.get("task") and one.get("args") == other.get("args")
