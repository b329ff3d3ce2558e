"""What the events of a run mean for the history."""

from dataclasses import dataclass, field
from typing import Any

from controller.events import (
    Event,
    PlanDone,
    PlanTask,
    RunDone,
    RunFailed,
    TaskChosen,
    TaskDone,
    TaskFailed,
    TaskSkipped,
)
from controller.outcome import Outcome
from controller.registry import State
from deployments.history.records import Ended, Made, Record, Step, Tasked


@dataclass(slots=True)
class Account:
    """A run as far as it was told.

    Attributes:
        run: its id.
        ended: whether its end was told.

    """

    run: str
    ended: bool = False
    _count: int = 0
    _plan: list[dict[str, Any]] | None = None
    _tasks: dict[int, str] = field(default_factory=dict)
    _settled: set[int] = field(default_factory=set)

    def records(self, event: Event) -> list[Record]:
        """What an event adds to the history: itself, and what is asked for often."""
        step = Step(self.run, self._count, event.type, event.model_dump_json())
        self._count += 1
        return [step, *self._told(event)]

    def _told(self, event: Event) -> list[Record]:
        match event:
            case PlanTask():
                number, task = int(event.task["id"]), str(event.task["task"])
                self._tasks[number] = task
                return [Tasked(self.run, number, task, wire=event.task)]
            case PlanDone():
                self._plan = event.plan
            case TaskChosen():
                choice = event.choice.model_dump(mode="json")
                task = self._tasks.get(event.id, "")
                return [Tasked(self.run, event.id, task, model=event.choice.model, choice=choice)]
            case TaskDone() | TaskFailed() | TaskSkipped():
                return self._outcome(event.outcome)
            case RunDone():
                self.ended = True
                late = [one for one in event.outcomes if one.id not in self._settled]
                tasks = [record for outcome in late for record in self._outcome(outcome)]
                end = Ended(self.run, State.DONE.value, event.time, self._plan, event.answer)
                return [*tasks, end]
            case RunFailed():
                self.ended = True
                state = State.CANCELLED if event.error.code == "cancelled" else State.FAILED
                return [Ended(self.run, state.value, event.time, self._plan, error=event.error.code)]
            case _:
                pass
        return []

    def _outcome(self, outcome: Outcome) -> list[Record]:
        self._settled.add(outcome.id)
        choice = outcome.choice
        tasked = Tasked(
            self.run,
            outcome.id,
            outcome.task,
            status=outcome.status.value,
            model=None if choice is None else choice.model,
            choice=None if choice is None else choice.model_dump(mode="json"),
            outcome=outcome.model_dump(mode="json"),
        )
        made = [Made(self.run, one.path, outcome.id, one.media_type, one.size) for one in outcome.artifacts]
        return [tasked, *made]
