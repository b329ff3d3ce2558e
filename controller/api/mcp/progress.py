"""The steps of a run, told as MCP's progress."""

from collections.abc import Awaitable, Callable

from controller.events import Event, PlanDone, TaskDone, TaskFailed, TaskSkipped, TaskStarted
from model_catalog.tasks import TASKS

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Sends progress, its total where known, and words; does nothing where the client asked for none."""


class Progress:
    """Counts the steps of a run: the plan, and the begin and end of each task.

    The count only grows, as MCP demands, also where a task begins anew on another model. Its total is known
    once the plan is whole.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._labels: dict[int, str] = {}
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._planned = False
        self._told = 0

    async def tell(self, event: Event) -> None:
        """Tell a step, where the event is one."""
        words = self._step(event)
        count = self._planned + len(self._begun) + len(self._ended)
        if words is None or count <= self._told:
            return
        self._told = count
        await self._report(float(count), self._total(), words)

    def _total(self) -> float | None:
        return 1.0 + 2 * len(self._labels) if self._planned else None

    def _step(self, event: Event) -> str | None:
        match event:
            case PlanDone():
                self._planned = True
                self._labels |= {task["id"]: _label(task["task"]) for task in event.plan}
                return f"Planned: {', '.join(self._labels.values()) or 'no task is needed'}."
            case TaskStarted():
                self._begun.add(event.id)
                return f"{self._labels.get(event.id, 'A task')} began on {event.model}."
            case TaskDone() | TaskFailed() | TaskSkipped():
                outcome = event.outcome
                self._begun.add(outcome.id)
                self._ended.add(outcome.id)
                return f"{_label(outcome.task)}: {outcome.status}."
        return None


def _label(task: str) -> str:
    return TASKS[task].label.capitalize() if task in TASKS else task
