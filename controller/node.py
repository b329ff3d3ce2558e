"""Nodes: the tasks of a plan under way, and what their states mean to others."""

import asyncio
from dataclasses import dataclass, field

from controller.events import Event, TaskDone, TaskFailed, TaskSkipped
from controller.handles import Response
from controller.outcome import Attempt, Choice, Failure, Outcome, Status
from controller.plan import Task
from controller.selector import Selection
from model_catalog.card import ModelCard


@dataclass(slots=True, eq=False)
class Node:
    """A task under way.

    Attributes:
        response: the latest call's response; dependents are called with it.
        version: counts the calls, so that a dependent knows when its input was replaced.
        outcome: how it ended, None while it runs.
        began: when the inputs of the latest attempt were there.

    """

    task: Task
    response: Response | None = None
    version: int = 0
    outcome: Outcome | None = None
    selection: Selection | None = None
    attempts: list[Attempt] = field(default_factory=list)
    dispatched: float = 0.0
    began: float = 0.0
    runner: "asyncio.Task[None] | None" = None
    revived: bool = False
    remade: bool = False


def cause(node: Node) -> Failure | None:
    """Why the dependents of a task cannot run; None where it runs or ended well."""
    outcome = node.outcome
    if outcome is None or outcome.status is Status.DONE:
        return None
    why = outcome.error.message if outcome.error else "It did not end well."
    if outcome.status is Status.SKIPPED:
        return Failure(code="upstream_failed", message=why)
    return Failure(
        code="upstream_failed", message=f"Task {outcome.id} ({outcome.task}), which it needs, failed: {why}"
    )


def attempt(card: ModelCard, seconds: float, error: Failure | None = None) -> Attempt:
    """The account of one try of a model."""
    return Attempt(model=card.id, seconds=round(seconds, 4), failure=error)


def choice(node: Node, card: ModelCard | None = None) -> Choice | None:
    """The account of the model that a task was given to: ``card``, or the one that was tried last."""
    if node.selection is None:
        return None
    tried = (c for c in node.selection.candidates for a in node.attempts[-1:] if c.id == a.model)
    taken = card or next(tried, None)
    if taken is None:
        return None
    failed = [one.model for one in node.attempts if one.failure is not None and one.model != taken.id]
    reason = f"{', '.join(dict.fromkeys(failed))} failed; the next by rank took over" if failed else None
    return node.selection.choice(taken, reason)


def ended(run: str, outcome: Outcome) -> Event:
    """The event that tells an outcome."""
    if outcome.status is Status.DONE:
        return TaskDone(run=run, outcome=outcome)
    if outcome.status is Status.SKIPPED:
        return TaskSkipped(run=run, outcome=outcome)
    return TaskFailed(run=run, outcome=outcome)
