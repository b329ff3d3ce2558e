"""A call of a tool becomes a run; its steps are told as progress."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from mcp_types import CallToolResult
from starlette.requests import Request

from controller import reference
from controller.api import media
from controller.api.mcp import results, tools
from controller.api.mcp.progress import Progress
from controller.api.openai.parts import FILE_ID
from controller.errors import RequestError
from controller.events import Event, RunDone
from controller.request import Attachment, Message
from controller.request import Request as Conversation
from deployments.links.link import is_link
from model_catalog.tasks import MEDIA, TaskType

if TYPE_CHECKING:
    from controller.api.app import Backend


async def run_task(
    backend: "Backend", row: TaskType, given: dict[str, Any], request: Request, progress: Progress
) -> CallToolResult:
    """Run one task, without a brain before or after it.

    Args:
        backend: what the doors lead to.
        row: the task.
        given: the tool's arguments, as they came.
        request: the HTTP request that brought them.
        progress: takes the run's steps.

    Raises:
        HuggingGPTError: the arguments are not of the right form, or the task cannot be run at all.

    """
    args = tools.read(row, given)
    named: dict[str, Any] = {name: args.pop(name) for name in ("model", "want") if name in args}
    async with media.lent(backend) as lent:
        taken = {name: await _literal(backend, lent, row, name, value) for name, value in args.items()}
        raw: dict[str, Any] = {"task": row.name, "id": 0, "args": taken, **named}
        asked = Conversation(plan=(raw,))
        events = backend.controller.run(asked, request.headers.get("host", ""))
        done = await _followed(events, progress)
    return await results.of_task(backend, done.outcomes[0], request)


async def ask(
    backend: "Backend", given: dict[str, Any], request: Request, progress: Progress
) -> CallToolResult:
    """Run a whole request in plain words.

    Args:
        backend: what the doors lead to.
        given: the tool's arguments, as they came.
        request: the HTTP request that brought them.
        progress: takes the run's steps.

    Raises:
        HuggingGPTError: the arguments are not of the right form, or the request cannot be run at all.

    """
    asked = tools.read_ask(given)
    if not asked.text.strip():
        raise RequestError("The text is empty; say what is wanted, in words.")
    async with media.lent(backend) as lent:
        attachments = tuple([await _attachment(backend, lent, value, request) for value in asked.files])
        message = Message(role="user", content=asked.text)
        conversation = Conversation(messages=(message,), attachments=attachments)
        host = request.headers.get("host", "")
        events = backend.recorder.run(backend.controller, conversation, host, "mcp")
        done = await _followed(events, progress)
    return await results.of_run(backend, done, request)


async def _followed(events: AsyncGenerator[Event], progress: Progress) -> RunDone:
    """The end of a run; a client that goes away, or cancels, closes it down to the models."""
    done: RunDone | None = None
    async with aclosing(events):
        async for event in events:
            await progress.tell(event)
            if isinstance(event, RunDone):
                done = event
    assert done is not None, "a run ends with run.done or raises"  # noqa: S101
    return done


async def _literal(backend: "Backend", lent: media.Lent, row: TaskType, name: str, value: str) -> str:
    """An argument as a plan takes it: files are found or stored, and words stand for themselves."""
    argument = row.argument(name)
    if argument is not None and argument.modality in MEDIA:
        return await _file(backend, lent, value)
    if reference.find(value) or is_link(value):  # words that would stand for something else
        return await lent.keep(value.encode(), "words.txt")
    return value


async def _attachment(backend: "Backend", lent: media.Lent, value: str, request: Request) -> Attachment:
    named = await _file(backend, lent, value)
    found = await backend.controller.located(named, request.headers.get("host", ""))
    return Attachment(path=found.path, modality=found.modality)


async def _file(backend: "Backend", lent: media.Lent, value: str) -> str:
    """A file as a path where the client gave its bytes or its id; else as the client named it."""
    data = await media.decoded(value)
    if data is not None:
        return await lent.keep(data)
    if value.startswith(FILE_ID):
        return (await backend.store.find(value.removeprefix(FILE_ID))).artifact.path
    return value
