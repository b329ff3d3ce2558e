"""Events: the steps of a run, as they happen.

The command line, the web doors and the logs read this one stream and nothing else.
"""

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from controller.outcome import Choice, Failure, Outcome


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    run: str
    time: float = Field(default_factory=time.time)


class RunCreated(_Event):
    """A request was accepted."""

    type: Literal["run.created"] = "run.created"
    brain: str


class PlanTask(_Event):
    """A task was planned; ``task`` is its wire form, ``want`` the job asked for."""

    type: Literal["plan.task"] = "plan.task"
    task: dict[str, Any]
    want: str | None = None


class LeftOut(BaseModel):
    """A task that was planned but cannot run, and why."""

    model_config = ConfigDict(frozen=True)

    id: int | None
    task: str
    reason: str


class PlanDone(_Event):
    """The plan is complete: its wire form, what was mended and left out, and how sure the planner is."""

    type: Literal["plan.done"] = "plan.done"
    plan: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    confidence: float | None = None


class TaskChosen(_Event):
    """A model was chosen for a task; told again when another candidate takes over."""

    type: Literal["task.chosen"] = "task.chosen"
    id: int
    choice: Choice


class TaskWaking(_Event):
    """A task's inputs are there, and its model is being woken; ``seconds`` is what that usually takes."""

    type: Literal["task.waking"] = "task.waking"
    id: int
    model: str
    seconds: float


class TaskStarted(_Event):
    """A task's inputs are all there and its model was called."""

    type: Literal["task.started"] = "task.started"
    id: int
    model: str


class TaskDone(_Event):
    """A task ended well."""

    type: Literal["task.done"] = "task.done"
    outcome: Outcome


class TaskFailed(_Event):
    """A task failed for good, or was cancelled."""

    type: Literal["task.failed"] = "task.failed"
    outcome: Outcome


class TaskSkipped(_Event):
    """A task could not run because one it depends on failed."""

    type: Literal["task.skipped"] = "task.skipped"
    outcome: Outcome


class AnswerDelta(_Event):
    """A piece of the answer."""

    type: Literal["answer.delta"] = "answer.delta"
    text: str


class RunDone(_Event):
    """The run is over: the answer, every outcome, what each stage cost in seconds, and an LLM in tokens.

    ``notes`` say what the client should know besides, such as that the run could not be kept.
    """

    type: Literal["run.done"] = "run.done"
    answer: str
    outcomes: tuple[Outcome, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
    usage: dict[str, int] | None = None
    notes: tuple[str, ...] = ()


class RunFailed(_Event):
    """The request could not be run at all."""

    type: Literal["run.failed"] = "run.failed"
    error: Failure


Event = Annotated[
    RunCreated | PlanTask | PlanDone | TaskChosen | TaskWaking | TaskStarted | TaskDone | TaskFailed
    | TaskSkipped | AnswerDelta | RunDone | RunFailed,
    Field(discriminator="type"),
]  # fmt: skip
"""Any event; told apart by ``type``."""

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads an event from its JSON form."""
