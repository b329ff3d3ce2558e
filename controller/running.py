"""What the controller keeps of a run under way, and small steps of it."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from controller.errors import DeadlineError, OverloadedError, PlanError, RequestError
from controller.events import Event, LeftOut, PlanDone
from controller.files import Links
from controller.plan import Plan, Task
from controller.request import Request
from deployments.llm.client import Usage

_T = TypeVar("_T")


@dataclass(slots=True)
class Run:
    """One request on its way.

    Attributes:
        seconds: how long it may take.
        until: when its tasks must have ended, seconds since the epoch.

    """

    id: str
    request: Request
    emit: Callable[[Event | None], None]
    plan: Plan
    stages: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    reply: str | None = None
    usage: Usage = field(default_factory=Usage)
    links: Links = field(default_factory=Links)
    seconds: float = math.inf
    until: float = math.inf

    @property
    def given(self) -> bool:
        """Whether the plan is the client's own, so that no brain is asked."""
        return self.request.plan is not None

    def lap(self, stage: str, since: float) -> float:
        """Note what a stage took; returns now."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - since
        return now

    def plan_done(self) -> None:
        """Tell the whole plan."""
        plan = self.plan
        left_out = tuple(LeftOut(id=fault.id, task=fault.task, reason=fault.reason) for fault in plan.faults)
        self.emit(
            PlanDone(
                run=self.id,
                plan=plan.wire(),
                notes=tuple(plan.notes),
                left_out=left_out,
                confidence=plan.confidence,
            )
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A task whose file is not here, or for which there is no room."""

    task: Task
    error: RequestError | OverloadedError


def check(plan: Plan) -> None:
    """Refuse a plan of which nothing can run.

    Raises:
        PlanError: it has faults and no valid task.

    """
    if not plan.tasks and plan.faults:
        reasons = "; ".join(f"{fault.task}: {fault.reason}" for fault in plan.faults[:5])
        raise PlanError(f"No task of the plan can run ({reasons}). Say the request in other words.")


def independent(plan: Plan, refused: set[int]) -> bool:
    """Whether a task needs none of the refused ones, directly or through others."""
    blocked = set(refused)
    for task in plan.tasks:
        if task.id not in blocked and not blocked.intersection(task.dep):
            return True
        blocked.add(task.id)
    return False


async def remarks(plan: Plan) -> AsyncIterator[str]:
    """What is to be said besides the answer."""
    for remark in plan.remarks:
        yield f"\n\n{remark}"


async def together(work: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """What comes of some work, done side by side; where one of it fails, or is cancelled, all of it ends."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[None]:
    """A bound for planning alone.

    Raises:
        DeadlineError: it is passed.

    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineError("The plan was not ready in time; ask for less at once.") from None


def rounded(stages: dict[str, float]) -> dict[str, float]:
    """The seconds of each stage, for people."""
    return {stage: round(seconds, 6) for stage, seconds in stages.items()}
