"""Runs: a request in, its events or its whole account out; kept for whoever asks later.

A run in the foreground belongs to who waits for it and is cancelled when the last of them goes away; one in
the background goes on. Any number of readers may follow either. What ended long ago, or before this process
began, is told from the history.
"""

import logging
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from controller.api import past
from controller.api.body import backend, declared, read
from controller.api.conversations import context
from controller.api.media import attended
from controller.api.openai.parts import MOST_FILES
from controller.api.openai.schema import ERRORS
from controller.api.past import runs
from controller.api.shown import RunAccount, RunForgotten, RunList, RunView, Stream, account, summary, view
from controller.controller import Controller, fresh_id
from controller.errors import AttachmentError, RequestError, UnknownRunError
from controller.failure import failure, root
from controller.recorder import SHOWN, begun
from controller.registry import Kept, Key
from controller.request import MAX_MESSAGES, Attachment, Message
from controller.request import Request as Conversation
from deployments.errors import NotFoundError

logger = logging.getLogger("ray.serve")

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=ERRORS)

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
_REFUSED = frozenset({"history", "overloaded", "too_many_runs"})
"""Errors of runs that were not begun at all: who is not told their end by a status is told so at once."""

_ALL = 1_000  # more runs than a process keeps
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": _STREAM},
    202: {"model": RunView, "description": "It goes on by itself."},
}


class RunRequest(BaseModel):
    """A conversation or a plan, the paths or URLs of uploaded files, and how the answer is to come.

    A ``plan`` is run as it is, and answered without words: its tasks are those of ``POST /tasks``, and may
    name the ``model`` that alone may run them. With the id of a ``conversation`` that is kept here, the one
    message is the new one. With ``stream`` the events are sent as they happen; with ``background`` the run
    goes on when its client leaves, and without ``stream`` the answer comes at once.
    """

    model_config = ConfigDict(extra="forbid")

    messages: Annotated[list[Message], Field(max_length=MAX_MESSAGES)] = []
    plan: Annotated[list[dict[str, Any]], Field(max_length=1000)] | None = None
    attachments: Annotated[list[str], Field(max_length=MOST_FILES)] = []
    conversation: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    stream: bool = False
    background: bool = False


class RepeatRequest(BaseModel):
    """How the answer to a request that is run again is to come; as the first one's where nothing is said."""

    model_config = ConfigDict(extra="forbid")

    stream: bool = False
    background: bool | None = None


@router.post("", response_model=RunAccount, responses=_ANSWERS, openapi_extra=declared(RunRequest))
async def create(
    request: Request,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Run a request; with ``stream`` its events are sent as they happen (server-sent events).

    The same ``Idempotency-Key`` with the same body gives the same run.
    """
    body = await read(request, RunRequest)
    return await _answer(request, await _begun(request, body, idempotency_key), body.stream, body.background)


@router.post(
    "/{run_id}/repeat", response_model=RunAccount, responses=_ANSWERS, openapi_extra=declared(RepeatRequest)
)
async def repeat(request: Request, run_id: str) -> Response:
    """Run the request of an earlier run again, as a run of its own; the body is as that of a new run."""
    body = await read(request, RepeatRequest)
    old = await past.entry(request, run_id)
    kept = dict(old.request)
    host = str(kept.pop("host", ""))
    background = old.background if body.background is None else body.background
    run = Kept(fresh_id(), old.words, background, conversation=old.conversation, repeats=old.id)
    said = old.conversation is not None
    return await _answer(
        request,
        _started(request, Conversation.model_validate(kept), host, run, said),
        body.stream,
        background,
    )


async def _answer(request: Request, run: Kept, stream: bool, background: bool) -> Response:
    """What a client is told of a run that it began: its steps, that it goes on, or its end."""
    place = {"location": f"/v1/runs/{run.id}"}
    if background or stream:
        await run.begun()
        if run.error is not None and run.error.code in _REFUSED:
            account(run)  # raises it
    if stream:
        return Stream(run, attends=True, headers=place)
    if background:
        return _json(view(request, run), 202, place)
    with run.attended():
        await attended(request, run.settled())
    return Response(account(run), media_type="application/json", headers=place)


@router.get("", response_model=RunList)
async def latest(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> RunList:
    """The runs that began last, those under way among them; behind that of id ``after`` where it is given."""
    found: dict[str, Kept] = {}
    known = backend(request).recorder.history
    if known is not None:
        entries = await known.entries(past.whose(), limit + 1, after)
        found = {entry.id: past.bare(entry) for entry in entries}
    if after is None:
        found |= {run.id: run for run in runs(request).latest(limit + 1)}
    else:
        found |= {run.id: run for run in runs(request).latest(_ALL) if run.id in found}
    data = sorted(found.values(), key=lambda run: (run.created, run.id), reverse=True)
    return RunList(data=[summary(request, run) for run in data[:limit]], has_more=len(data) > limit)


@router.get("/{run_id}", response_model=RunView)
async def get(request: Request, run_id: str) -> RunView:
    """A run so far."""
    return view(request, await _found(request, run_id))


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
    run = await _found(request, run_id)
    after = after if last_event_id is None else last_event_id
    if run.ended is not None and after >= len(run.steps) - 1:
        return Response(status_code=204)  # which tells an EventSource not to come again
    return Stream(run, after)


@router.delete("/{run_id}", response_model=RunView | RunForgotten)
async def cancel(request: Request, run_id: str, forget: bool = False) -> RunView | RunForgotten:
    """Give a run up, down to the models; one that has ended stays as it was.

    With ``forget``, nothing is kept of it any more, nor of the files that it made.
    """
    run = await _found(request, run_id)
    if run.here:
        await run.cancel()
    if not forget:
        return view(request, run)
    known = past.history(backend(request))
    await past.remove_files(request, await known.made(run_id))
    await known.forget(run_id)
    runs(request).forget(run)
    return RunForgotten(id=run_id)


async def _found(request: Request, run_id: str) -> Kept:
    """A run of this process, or else of the history.

    Raises:
        UnknownRunError: the caller has none of that id.

    """
    try:
        return runs(request).get(run_id)
    except UnknownRunError:
        return await past.run(request, run_id)


# A new run -------------------------------------------------------------------------------------------------


async def _begun(request: Request, body: RunRequest, name: str | None) -> Kept:
    """A new run, or that of the same request, made before under the same key."""
    known = runs(request)
    key = None if name is None else Key.of(name, body.model_dump_json())
    found = known.known(key) or await past.keyed(request, key)
    if found is not None:
        return found
    host = request.headers.get("host", "")
    asked = await _conversation(request, body, host)
    found = known.known(key)  # another request may have come first meanwhile
    if found is not None:
        return found
    run = Kept(fresh_id(), asked.text[:SHOWN], body.background, key, conversation=body.conversation)
    return _started(request, asked, host, run, body.conversation is not None)


def _started(request: Request, asked: Conversation, host: str, run: Kept, said: bool) -> Kept:
    """Begin a run; ``said`` is whether its last message is part of a conversation that is kept."""
    here = backend(request)
    key = run.key
    first = begun(run.id, asked, host, run.door)
    files = tuple(attachment.path for attachment in asked.attachments)
    more: dict[str, Any] = {"said": asked.text, "files": files} if said else {}
    first = replace(
        first,
        created=run.created,
        background=run.background,
        conversation=run.conversation,
        repeats=run.repeats,
        key=None if key is None else key.name,
        digest=None if key is None else key.digest,
        **more,
    )
    logger.info("run %s begins", run.id)  # Serve's log tells of which request, here and nowhere later
    return runs(request).start(
        lambda run_id: here.recorder.keep(here.controller.run(asked, host, run_id), first), run
    )


async def _conversation(request: Request, body: RunRequest, host: str) -> Conversation:
    last = body.messages[-1] if body.messages else None
    if body.plan is None and (last is None or last.role != "user" or not last.content.strip()):
        raise RequestError(
            "The last message must be the user's request, in words; it is empty or of another role."
        )
    before: tuple[Message, ...] = ()
    if body.conversation is not None:
        if len(body.messages) != 1:
            raise RequestError(
                "Send only the new message with a conversation; what was said before is kept here.",
                "messages",
            )
        before = await context(request, body.conversation)
    controller = backend(request).controller
    attachments = tuple([await _attachment(controller, value, host) for value in body.attachments])
    plan = None if body.plan is None else tuple(body.plan)
    return Conversation(messages=(*before, *body.messages), attachments=attachments, plan=plan)


async def _attachment(controller: Controller, value: str, host: str) -> Attachment:
    try:
        found = await controller.located(value, host)
    except Exception as error:
        if isinstance(root(error), NotFoundError):
            raise AttachmentError(failure(error).message) from None
        raise
    return Attachment(path=found.path, modality=found.modality)


def _json(told: BaseModel, code: int, headers: dict[str, str]) -> Response:
    return Response(told.model_dump_json(), code, headers, "application/json")
