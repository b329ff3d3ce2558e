"""Runs: a request in, its events or its whole account out; kept for whoever asks later.

A run in the foreground belongs to who waits for it and is cancelled when the last of them goes away; one in
the background goes on. Any number of readers may follow either.
"""

import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.api.body import backend, declared, read
from controller.api.media import attended
from controller.api.openai.parts import MOST_FILES
from controller.api.openai.schema import ERRORS
from controller.api.openai.sse import unbroken
from controller.controller import Controller, fresh_id
from controller.errors import AttachmentError, RequestError, TaskError
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
from controller.failure import failure, root, status
from controller.files import local_path
from controller.outcome import Artifact, Failure, Outcome
from controller.registry import Kept, Key, Runs, State, bare
from controller.request import MAX_MESSAGES, Attachment, Message
from controller.request import Request as Conversation
from deployments.errors import NotFoundError

logger = logging.getLogger("ray.serve")

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=ERRORS)

HEARTBEAT_S = 15.0
"""How long a stream may be silent; then a comment keeps the connection, and shows that it is one."""

_SHOWN = 200  # characters of a request, in lists of runs
_STREAM: dict[str, Any] = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "description": "An event; `data` is its JSON.",
            "required": ["id", "event", "data"],
            "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
        }
    }
}


class RunRequest(BaseModel):
    """A conversation or a plan, the paths or URLs of uploaded files, and how the answer is to come.

    A ``plan`` is run as it is, and answered without words: its tasks are those of ``POST /tasks``, and may
    name the ``model`` that alone may run them. With ``stream`` the events are sent as they happen; with
    ``background`` the run goes on when its client leaves, and without ``stream`` the answer comes at once.
    """

    model_config = ConfigDict(extra="forbid")

    messages: Annotated[list[Message], Field(max_length=MAX_MESSAGES)] = []
    plan: Annotated[list[dict[str, Any]], Field(max_length=1000)] | None = None
    attachments: Annotated[list[str], Field(max_length=MOST_FILES)] = []
    stream: bool = False
    background: bool = False


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
    """The latest runs, the last one first."""

    object: Literal["list"] = "list"
    data: list[RunSummary]


def runs(request: Request) -> Runs:
    """The runs of this process."""
    return cast("Runs", request.app.state.runs)


@router.post(
    "",
    response_model=RunAccount,
    responses={200: {"content": _STREAM}, 202: {"model": RunView, "description": "It goes on by itself."}},
    openapi_extra=declared(RunRequest),
)
async def create(
    request: Request,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Run a request; with ``stream`` its events are sent as they happen (server-sent events).

    The same ``Idempotency-Key`` with the same body gives the same run.
    """
    body = await read(request, RunRequest)
    run = await _begun(request, body, idempotency_key)
    place = {"location": f"/v1/runs/{run.id}"}
    if body.stream:
        return _Stream(run, attends=True, headers=place)
    if body.background:
        return _json(_view(request, run), 202, place)
    with run.attended():
        await attended(request, run.settled())
    return Response(_account(run), media_type="application/json", headers=place)


@router.get("", response_model=RunList)
async def latest(request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> RunList:
    """The runs that began last, those under way among them."""
    return RunList(data=[_summary(request, run) for run in runs(request).latest(limit)])


@router.get("/{run_id}", response_model=RunView)
async def get(request: Request, run_id: str) -> RunView:
    """A run so far."""
    return _view(request, runs(request).get(run_id))


@router.get(
    "/{run_id}/events",
    response_class=Response,
    responses={
        200: {"content": _STREAM},
        204: {"description": "The run has ended, and its client has read it all."},
    },
)
async def events(
    request: Request,
    run_id: str,
    after: Annotated[int, Query(ge=-1, le=1 << 53)] = -1,
    last_event_id: Annotated[int | None, Header(ge=-1, le=1 << 53)] = None,
) -> Response:
    """A run's events as they happen, those behind ``Last-Event-ID`` or ``after``, for any client."""
    run = runs(request).get(run_id)
    after = after if last_event_id is None else last_event_id
    if run.ended is not None and after >= len(run.steps) - 1:
        return Response(status_code=204)  # which tells an EventSource not to come again
    return _Stream(run, after)


@router.delete("/{run_id}", response_model=RunView)
async def cancel(request: Request, run_id: str) -> RunView:
    """Give a run up, down to the models; one that has ended stays as it was."""
    run = runs(request).get(run_id)
    await run.cancel()
    return _view(request, run)


# A new run -------------------------------------------------------------------------------------------------


async def _begun(request: Request, body: RunRequest, name: str | None) -> Kept:
    """A new run, or that of the same request, made before under the same key."""
    known = runs(request)
    key = None if name is None else Key.of(name, body.model_dump_json())
    found = known.known(key)
    if found is not None:
        return found
    controller = backend(request).controller
    host = request.headers.get("host", "")
    asked = await _conversation(controller, body, host)
    found = known.known(key)  # another request may have come first meanwhile
    if found is not None:
        return found
    run = Kept(fresh_id(), asked.text[:_SHOWN], body.background, key)
    logger.info("run %s begins", run.id)  # Serve's log tells of which request, here and nowhere later
    return known.start(lambda run_id: controller.run(asked, host, run_id), run)


async def _conversation(controller: Controller, body: RunRequest, host: str) -> Conversation:
    last = body.messages[-1] if body.messages else None
    if body.plan is None and (last is None or last.role != "user" or not last.content.strip()):
        raise RequestError(
            "The last message must be the user's request, in words; it is empty or of another role."
        )
    attachments = tuple([await _attachment(controller, value, host) for value in body.attachments])
    plan = None if body.plan is None else tuple(body.plan)
    return Conversation(messages=tuple(body.messages), attachments=attachments, plan=plan)


async def _attachment(controller: Controller, value: str, host: str) -> Attachment:
    path = local_path(value, host)
    try:
        found: Artifact = await controller.cluster.stat(path)
    except Exception as error:
        if isinstance(root(error), NotFoundError):
            raise AttachmentError(failure(error).message) from None
        raise
    return Attachment(path=path, modality=found.modality)


# What is told ----------------------------------------------------------------------------------------------


class _Stream(StreamingResponse):
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


def _account(run: Kept) -> str:
    """The account of a run that has ended.

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


def _summary(request: Request, run: Kept) -> RunSummary:
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
    }


def _view(request: Request, run: Kept) -> RunView:
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


def _json(told: BaseModel, code: int, headers: dict[str, str]) -> Response:
    return Response(told.model_dump_json(), code, headers, "application/json")
