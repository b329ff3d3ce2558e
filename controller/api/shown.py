"""What the runs door tells of a run: in lists, as far as it is, as a whole, and as events."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from controller.api.openai.sse import unbroken
from controller.errors import TaskError
from controller.events import (
    AnswerDelta,
    LeftOut,
    PlanDone,
    RunDone,
    RunFailed,
    TaskDone,
    TaskFailed,
    TaskSkipped,
)
from controller.failure import status
from controller.outcome import Failure, Outcome
from controller.registry import Kept, State, bare

HEARTBEAT_S = 15.0
"""How long a stream may be silent; then a comment keeps the connection, and shows that it is one."""


class RunAccount(BaseModel):
    """A whole run: its id, its plan, how each task ended, and the answer."""

    plan: PlanDone
    run: RunDone


class RunSummary(BaseModel):
    """Where a run is; times are seconds since the epoch."""

    id: str
    object: Literal["run"] = "run"
    state: State
    background: bool
    request: str
    created: float
    ended: float | None
    url: str
    events_url: str
    door: str = "runs"
    conversation: str | None = None
    repeats: str | None = None


class RunView(RunSummary):
    """A run so far: its plan, the outcomes of tasks that have ended, the answer, or why it failed."""

    plan: list[dict[str, Any]] | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    answer: str = ""
    error: Failure | None = None
    seconds: dict[str, float] | None = None
    usage: dict[str, int] | None = None


class RunList(BaseModel):
    """Runs, the one that began last first."""

    object: Literal["list"] = "list"
    data: list[RunSummary]
    has_more: bool = False


class RunForgotten(BaseModel):
    """A run of which nothing is kept any more."""

    id: str
    object: Literal["run.deleted"] = "run.deleted"
    deleted: Literal[True] = True


class Stream(StreamingResponse):
    """A run's events as server-sent events; a run that fails ends with ``run.failed``."""

    media_type = "text/event-stream"

    def __init__(
        self, run: Kept, after: int = -1, *, attends: bool = False, headers: dict[str, str] | None = None
    ) -> None:
        """Stream a run.

        Args:
            run: the run.
            after: the number of the last event that is known.
            attends: whether the run belongs to who reads this.
            headers: further headers.

        """
        self._run = run
        self._attends = attends
        quiet = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(_sse(run, after), headers=quiet | (headers or {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, as long as somebody reads."""
        if not self._attends:
            await super().__call__(scope, receive, send)
            return
        with self._run.attended():
            await super().__call__(scope, receive, send)


async def _sse(run: Kept, after: int) -> AsyncIterator[bytes]:
    async for step in run.follow(after, HEARTBEAT_S):
        if step is None:
            yield b": still here\n\n"
        else:
            yield format_sse_event(data_str=unbroken(step.data), event=step.type, id=str(step.number))


def account(run: Kept) -> str:
    """The account of a run that has ended, as JSON.

    Raises:
        HuggingGPTError: it could not be run, or was cancelled; what it ended with.

    """
    told = {step.type: step.data for step in run.steps}
    if run.state is State.DONE:
        return f'{{"plan":{told["plan.done"]},"run":{told["run.done"]}}}'
    if run.error is not None and (error := bare(run.error)) is not None:
        raise error  # raised itself, the kept one would hold on to this request
    why = Failure.model_validate(json.loads(told["run.failed"])["error"])
    raise TaskError(why.message, why.code, status(why.code), why.wait_s)


def summary(request: Request, run: Kept) -> RunSummary:
    """Where a run is."""
    return RunSummary(**_fields(request, run))


def _fields(request: Request, run: Kept) -> dict[str, Any]:
    url = f"{request.base_url}v1/runs/{run.id}"
    return {
        "id": run.id,
        "state": run.state,
        "background": run.background,
        "request": run.text,
        "created": run.created,
        "ended": run.ended,
        "url": url,
        "events_url": f"{url}/events",
        "door": run.door,
        "conversation": run.conversation,
        "repeats": run.repeats,
    }


def view(request: Request, run: Kept) -> RunView:
    """A run so far."""
    found: dict[str, Any] = {}
    outcomes: list[Outcome] = []
    answer: list[str] = []
    for step in list(run.steps):
        match step.event:
            case PlanDone() as event:
                found |= {"plan": event.plan, "notes": event.notes, "left_out": event.left_out}
            case RunDone() as event:
                found |= {"seconds": event.seconds, "usage": event.usage}
            case RunFailed() as event:
                found["error"] = event.error
            case TaskDone() | TaskFailed() | TaskSkipped() as event:
                outcomes.append(event.outcome)
            case AnswerDelta() as event:
                answer.append(event.text)
            case _:
                pass
    return RunView(**_fields(request, run), **found, outcomes=tuple(outcomes), answer="".join(answer))
