"""A plan of the client's own: run as it is written, or refused; nothing of it is mended."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.errors import PlanError
from controller.plan import MAX_ID, Plan, written_id
from controller.selector import Selector

BRAIN = "client"
"""What a run tells as its brain where the client planned."""

_TOLD = 5  # faults, of one plan


def read(raws: Sequence[Mapping[str, Any]], max_tasks: int, selector: Selector) -> Plan:
    """The plan, whose tasks may come in any order; every task keeps the id it was given.

    Args:
        raws: the tasks in wire form, with ``want`` and ``model`` where named.
        max_tasks: the most tasks it may have.
        selector: knows the models that it may name.

    Raises:
        PlanError: it is empty, a task of it cannot run, or could only with changes.
        TooManyTasksError: it has more than ``max_tasks`` tasks.
        UnknownModelError: it names a model that the catalog does not have.
        UnfitModelError: it names a model for a task that this model does not do.

    """
    if not raws:
        raise PlanError("The plan is empty; give it a task, or leave it out and ask in words.")
    plan = Plan.parse(raws, max_tasks, binding=True)
    faults = list(_faults(plan, raws))
    if faults:
        told = "; ".join(faults[:_TOLD])
        raise PlanError(f"The plan cannot be run as it is written ({told}). Mend it and send it again.")
    for task in plan.tasks:
        if task.alone:
            selector.named(task)
    return plan


def _faults(plan: Plan, raws: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with a plan, and what was only mended."""
    for fault in plan.faults:
        number = "" if fault.id is None else f" {fault.id}"
        yield f"task{number} ({fault.task}): {fault.reason}"
    for note in plan.notes:
        yield note.removesuffix("; ignored")
    for raw in raws:
        if raw.get("id") is not None and written_id(raw) is None:
            yield f"the id {str(raw['id'])[:40]!r} is no whole number from 0 to {MAX_ID}"
