"""Responders: the outcomes of a plan become an answer in plain words, written as it streams."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from controller import reference
from controller.outcome import Outcome, Status
from controller.plan import Plan, Task
from controller.request import Request
from controller.rules.telling import about, listed, quote, tell
from deployments.llm.client import Usage

_MOST_NOTES = 5
_LONGEST_REASON = 500
"""The most characters of a cause: it may quote what a request or a plan said."""


class Responder(Protocol):
    """Writes answers.

    Attributes:
        name: what writes.
        takes_s: how many seconds of a run are kept for its answer.

    """

    name: str
    takes_s: float

    def respond(
        self,
        request: Request,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        usage: Usage | None = None,
        run: str = "",
    ) -> AsyncIterator[str]:
        """Yield the answer piece by piece; the pieces joined are the whole.

        Args:
            request: the conversation.
            plan: what was planned.
            outcomes: what came of it.
            usage: takes what an LLM was asked.
            run: the run's id, for logs.

        """
        ...


class EmbeddedResponder:
    """Writes answers by rules: what was found and made, what failed and why, which models did it."""

    name = "embedded brain"
    takes_s = 0.0

    async def respond(
        self,
        request: Request,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        usage: Usage | None = None,
        run: str = "",
    ) -> AsyncIterator[str]:
        """Yield the answer paragraph by paragraph."""
        separator = ""
        for paragraph in _paragraphs(plan, {outcome.id: outcome for outcome in outcomes}):
            yield f"{separator}{paragraph}"
            separator = "\n\n"


def _paragraphs(plan: Plan, outcomes: dict[int, Outcome]) -> Iterator[str]:
    done = {task.id for task in plan.tasks if task.id in outcomes and outcomes[task.id].status is Status.DONE}
    used = {
        upstream
        for task in plan.tasks
        if task.id in done
        for value in task.args.values()
        for upstream in reference.find(value)
    }
    told = list(_results(plan, outcomes, done, used))
    if not told:
        yield "I am sorry: nothing of this could be done."
    yield from told
    yield from _failures(plan, outcomes, done)
    yield from _plan_remarks(plan)
    yield from plan.remarks
    models = _models(plan, outcomes, done)
    if models:
        yield models


def _results(plan: Plan, outcomes: dict[int, Outcome], done: set[int], used: set[int]) -> Iterator[str]:
    """What each task found or made; of one that another has used, its words alone."""
    names = [task.task for task in plan.tasks]
    for task in plan.tasks:
        if task.id not in done:
            continue
        text = tell(task, outcomes[task.id], final=task.id not in used)
        if text:
            yield f"{about(task)}{text}" if names.count(task.task) > 1 else text


def _failures(plan: Plan, outcomes: dict[int, Outcome], done: set[int]) -> Iterator[str]:
    """What did not come about, each with its cause."""
    for task in plan.tasks:
        if task.id not in done:
            yield _failure(task, outcomes.get(task.id))


def _failure(task: Task, outcome: Outcome | None) -> str:
    status = outcome.status if outcome else Status.SKIPPED
    verb = {Status.SKIPPED: "was skipped", Status.CANCELLED: "was cancelled"}.get(status, "failed")
    message = outcome.error.message if outcome and outcome.error else "It was not run; ask again."
    return f"The task {task.type.label} {verb}: {_cut(message)}"


def _plan_remarks(plan: Plan) -> Iterator[str]:
    """What was left out of the plan, and what was mended in it."""
    for fault in plan.faults[:_MOST_NOTES]:
        yield f"I left out the task {quote(fault.task, 60)}: {_cut(fault.reason)}."
    if len(plan.faults) > _MOST_NOTES:
        yield f"I left out {len(plan.faults) - _MOST_NOTES} more tasks for like reasons."
    if plan.notes:
        notes = "; ".join(_cut(note) for note in plan.notes[:_MOST_NOTES])
        more = f"; and {len(plan.notes) - _MOST_NOTES} more" if len(plan.notes) > _MOST_NOTES else ""
        yield f"I mended the plan: {notes}{more}."


def _models(plan: Plan, outcomes: dict[int, Outcome], done: set[int]) -> str:
    """Which model did what, and which ones failed at it before."""
    parts: dict[str, None] = {}
    for task in plan.tasks:
        outcome = outcomes.get(task.id)
        if task.id not in done or outcome is None or outcome.choice is None:
            continue
        failed = [attempt.model for attempt in outcome.attempts if attempt.failure]
        after = f" (after {listed(list(dict.fromkeys(failed)))} failed)" if failed else ""
        parts[f"{outcome.choice.model} for {task.type.label}{after}"] = None
    return f"Models used: {listed(list(parts))}." if parts else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON].rstrip()}…"
