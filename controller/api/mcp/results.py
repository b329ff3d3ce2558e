"""How a run is told as a tool's result: words, JSON, and the files it made."""

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcp_types import AudioContent, CallToolResult, ContentBlock, ImageContent, ResourceLink, TextContent
from pydantic import BaseModel
from starlette.requests import Request

from controller.api import media
from controller.api.mcp.resources import url
from controller.events import RunDone
from controller.outcome import Artifact, Outcome, Status
from model_catalog.tasks import Modality

if TYPE_CHECKING:
    from controller.api.app import Backend

INLINE_BYTES = 384 << 10
"""How many bytes of pictures and recordings one result shows itself: clients read events up to 1 MiB."""

DATA_CHARACTERS = 200_000
"""The longest data of a result, as JSON; longer data is left out, and the result says so."""

_SHOWN = {"image/png", "image/jpeg", "image/webp", "image/gif", "audio/wav", "audio/mpeg", "audio/flac"}


class MadeFile(BaseModel):
    """A file that a task made."""

    url: str
    path: str
    modality: Modality
    media_type: str
    size: int


class TaskResult(BaseModel):
    """How a task ended: its result in words, as data and as files; the model; or the error."""

    task: str
    status: Status
    model: str | None = None
    text: str | None = None
    data: Any = None
    data_left_out: bool = False
    files: list[MadeFile] = []
    seconds: float | None = None
    error: str | None = None


class RunResult(BaseModel):
    """The answer to a whole request, and how each of its tasks ended."""

    run: str
    answer: str
    tasks: list[TaskResult] = []


def refused(message: str) -> CallToolResult:
    """What could not be done, for the model that called the tool."""
    return CallToolResult(content=[TextContent(text=message)], is_error=True)


async def of_task(backend: "Backend", outcome: Outcome, request: Request) -> CallToolResult:
    """One task's outcome as a result; with ``is_error`` where it did not end well."""
    told = _task(outcome, request)
    if outcome.status is not Status.DONE:
        return refused(told.error or "The task did not end well; try again.")
    words = [told.text] if told.text else []
    if told.data_left_out:
        words.append("The data is too long to be told here; ask with POST /v1/runs for all of it.")
    elif told.data is not None:
        words.append(_json(told.data))
    return CallToolResult(
        content=[
            *(TextContent(text=text) for text in words),
            *await _files(backend, outcome.artifacts, request),
        ],
        structured_content=told.model_dump(mode="json"),
    )


async def of_run(backend: "Backend", done: RunDone, request: Request) -> CallToolResult:
    """A whole run as a result; with ``is_error`` where every one of its tasks failed."""
    told = RunResult(
        run=done.run, answer=done.answer, tasks=[_task(outcome, request) for outcome in done.outcomes]
    )
    artifacts = [artifact for outcome in done.outcomes for artifact in outcome.artifacts]
    ended = {outcome.status for outcome in done.outcomes}
    return CallToolResult(
        content=[TextContent(text=done.answer), *await _files(backend, artifacts, request)],
        structured_content=told.model_dump(mode="json"),
        is_error=bool(ended) and Status.DONE not in ended,
    )


def _task(outcome: Outcome, request: Request) -> TaskResult:
    timings = outcome.timings
    long = outcome.data is not None and len(_json(outcome.data)) > DATA_CHARACTERS
    return TaskResult(
        task=outcome.task,
        status=outcome.status,
        model=outcome.choice.model if outcome.choice else None,
        text=outcome.text,
        data=None if long else outcome.data,
        data_left_out=long,
        files=[
            MadeFile(url=url(request, artifact.path), **artifact.model_dump())
            for artifact in outcome.artifacts
        ],
        seconds=round(timings.settled - timings.dispatched, 3) if timings else None,
        error=outcome.error.message if outcome.error else None,
    )


async def _files(backend: "Backend", artifacts: Sequence[Artifact], request: Request) -> list[ContentBlock]:
    """Each file as a link; small pictures and recordings are shown too, as far as there is room."""
    blocks: list[ContentBlock] = []
    room = INLINE_BYTES
    for artifact in artifacts:
        if artifact.media_type in _SHOWN and artifact.size <= room:
            room -= artifact.size
            data, kind = await media.read(backend, artifact.path)
            shown = base64.b64encode(data).decode()
            if artifact.modality is Modality.IMAGE:
                blocks.append(ImageContent(data=shown, mime_type=kind))
            else:
                blocks.append(AudioContent(data=shown, mime_type=kind))
        blocks.append(_link(artifact, request))
    return blocks


def _link(artifact: Artifact, request: Request) -> ResourceLink:
    return ResourceLink(
        uri=url(request, artifact.path),
        name=artifact.path.rpartition("/")[2],
        mime_type=artifact.media_type,
        size=artifact.size,
    )


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
