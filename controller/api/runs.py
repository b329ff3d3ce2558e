"""Runs: a request in, its events or its whole account out."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from controller.api.body import backend, read
from controller.controller import Controller
from controller.errors import AttachmentError, RequestError
from controller.events import Event, PlanDone, RunDone, RunFailed
from controller.failure import failure, root
from controller.files import local_path
from controller.outcome import Artifact
from controller.request import MAX_MESSAGES, Attachment, Message
from controller.request import Request as Conversation
from deployments.errors import NotFoundError

router = APIRouter(prefix="/v1/runs", tags=["runs"])


class RunRequest(BaseModel):
    """A conversation or a plan, the paths or URLs of uploaded files, and whether to stream the events.

    A ``plan`` is run as it is, and answered without words: its tasks are those of ``POST /tasks``, and may
    name the ``model`` that alone may run them.
    """

    model_config = ConfigDict(extra="forbid")

    messages: Annotated[list[Message], Field(max_length=MAX_MESSAGES)] = []
    plan: Annotated[list[dict[str, Any]], Field(max_length=1000)] | None = None
    attachments: Annotated[list[str], Field(max_length=100)] = []
    stream: bool = False


class RunAccount(BaseModel):
    """A whole run: its id, its plan, how each task ended, and the answer."""

    plan: PlanDone
    run: RunDone


@router.post("", response_model=RunAccount)
async def create(request: Request) -> Response:
    """Run a request; with ``stream`` its events are sent as they happen (server-sent events)."""
    body = await read(request, RunRequest)
    last = body.messages[-1] if body.messages else None
    if body.plan is None and (last is None or last.role != "user" or not last.content.strip()):
        raise RequestError(
            "The last message must be the user's request, in words; it is empty or of another role."
        )
    controller = backend(request).controller
    host = request.headers.get("host", "")
    attachments = tuple([await _attachment(controller, value, host) for value in body.attachments])
    plan = None if body.plan is None else tuple(body.plan)
    asked = Conversation(messages=tuple(body.messages), attachments=attachments, plan=plan)
    events = controller.run(asked, host)
    if body.stream:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_sse(events), media_type="text/event-stream", headers=headers)
    told = {type(event): event async for event in events}
    planned, done = told[PlanDone], told[RunDone]
    assert isinstance(planned, PlanDone)  # noqa: S101
    assert isinstance(done, RunDone)  # noqa: S101
    return Response(RunAccount(plan=planned, run=done).model_dump_json(), media_type="application/json")


async def _attachment(controller: Controller, value: str, host: str) -> Attachment:
    path = local_path(value, host)
    try:
        found: Artifact = await controller.cluster.stat(path)
    except Exception as error:
        if isinstance(root(error), NotFoundError):
            raise AttachmentError(failure(error).message) from None
        raise
    return Attachment(path=path, modality=found.modality)


async def _sse(events: AsyncGenerator[Event]) -> AsyncIterator[bytes]:
    """Each event as a server-sent event; a run that fails ends with ``run.failed``."""
    number = 0
    async with aclosing(events):
        async for event in events:
            yield format_sse_event(data_str=event.model_dump_json(), event=event.type, id=str(number))
            number += 1
            if isinstance(event, RunFailed):
                return  # the error itself comes next, and has been told
