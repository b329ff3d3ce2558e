"""What doors share that take or give files, and that run one task: bytes in, an outcome, bytes out."""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes

from fastapi import Request

from controller import reference
from controller.errors import AttachmentError, BodyTooLargeError, GoneError, TaskError
from controller.events import Event, RunDone
from controller.failure import status
from controller.identity import afresh
from controller.outcome import Artifact, Outcome, Status
from controller.request import Request as Conversation
from deployments.links.link import is_link
from model_catalog.tasks import Modality, task_type

if TYPE_CHECKING:
    from controller.api.app import Backend, Store

CHUNK = 1 << 20
"""Bytes that go to the store, or come from it, at a time."""

_DATA = "data:"
_LONG = 1 << 18  # characters of a data: URL that are decoded at once

_T = TypeVar("_T")


# Files -----------------------------------------------------------------------------------------------------


async def keep(backend: "Backend", data: bytes, name: str = "") -> Artifact:
    """Store a file that a client sent, checked as every upload is.

    Args:
        backend: what the doors lead to.
        data: the file's bytes; they say what it is.
        name: its name; the ending tells CSV and JSON from other text.

    Raises:
        BodyTooLargeError: it is over the limit of uploads.
        MediaError: it is empty, of a kind that is not taken, or broken.

    """
    limit = backend.controller.settings.max_upload_bytes
    if len(data) > limit:
        raise BodyTooLargeError(f"The file is larger than {limit >> 20} MiB; send a smaller one.")
    storing = asyncio.create_task(_stored(backend.store, data, name), context=afresh())
    try:
        return await asyncio.shield(storing)
    except asyncio.CancelledError:
        await apart(_undone(backend.store, storing))
        raise


async def _stored(store: "Store", data: bytes, name: str) -> Artifact:
    ticket = await store.begin()
    try:
        for start in range(0, len(data), CHUNK):
            await store.append(ticket, data[start : start + CHUNK])
        return await store.finish(ticket, name)
    except BaseException:
        await store.abort(ticket)
        raise


async def _undone(store: "Store", storing: "asyncio.Task[Artifact]") -> None:
    """Remove what is stored for nobody."""
    with suppress(Exception):
        await store.remove((await storing).path)


async def apart(work: Coroutine[Any, Any, _T]) -> _T:
    """What comes of work that is done even where who waits for it is cancelled, however often.

    It has a context of its own, since Ray Serve cancels the calls of a request together with it.
    """
    return await asyncio.shield(asyncio.create_task(work, context=afresh()))


async def read(backend: "Backend", path: str) -> tuple[bytes, str]:
    """A stored file: its bytes and its media type.

    Raises:
        NotFoundError: there is no such file.

    """
    artifact = await backend.store.stat(path)
    return await contents(backend, artifact), artifact.media_type


async def contents(backend: "Backend", artifact: Artifact) -> bytes:
    """The bytes of a stored file that is known already, as an outcome's are.

    Raises:
        NotFoundError: it is gone.

    """
    pieces: list[bytes] = []
    start = 0
    while start < artifact.size and (piece := await backend.store.read(artifact.path, start, CHUNK)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


class Lent:
    """Files that are stored for one call and removed after it; see ``lent``."""

    def __init__(self, backend: "Backend") -> None:
        self._backend = backend
        self._paths: list[str] = []

    async def keep(self, data: bytes, name: str = "") -> str:
        """Store a file; returns its path. See ``keep`` for what it raises."""
        artifact = await keep(self._backend, data, name)
        self._paths.append(artifact.path)
        return artifact.path

    def note(self, outcome: Outcome) -> None:
        """Have the files of an outcome removed too, since its client gets the bytes and never a path."""
        self._paths += [artifact.path for artifact in outcome.artifacts]
        self._paths += [link.path for link in outcome.links]

    async def remove(self) -> None:
        """Remove them all; what is gone already, or cannot be reached, is passed over."""
        gone = (self._backend.store.remove(path) for path in self._paths)
        await asyncio.gather(*gone, return_exceptions=True)


@asynccontextmanager
async def lent(backend: "Backend") -> AsyncIterator[Lent]:
    """Files for one call, removed at the end, whatever that is."""
    files = Lent(backend)
    try:
        yield files
    finally:
        await apart(files.remove())


def data_url(value: str) -> bytes | None:
    """The bytes of a ``data:`` URL; None where the value is none.

    Raises:
        AttachmentError: it is damaged.

    """
    if value[: len(_DATA)].lower() != _DATA:
        return None
    head, comma, body = value.partition(",")
    try:
        if not comma:
            raise ValueError("no comma")
        if head.lower().endswith(";base64"):
            return base64.b64decode("".join(body.split()), validate=True)
        return unquote_to_bytes(body)
    except (ValueError, binascii.Error):
        raise AttachmentError("The data: URL is damaged; write data:<type>;base64,<data>.") from None


async def decoded(value: str) -> bytes | None:
    """The same as ``data_url``, a long one beside the event loop."""
    return await asyncio.to_thread(data_url, value) if len(value) > _LONG else data_url(value)


# Calls -----------------------------------------------------------------------------------------------------


async def call(
    backend: "Backend",
    task: str,
    args: Mapping[str, str],
    *,
    model: str | None = None,
    want: str | None = None,
    host: str = "",
    request: Request | None = None,
) -> Outcome:
    """Run one task, without a brain before or after it.

    Args:
        backend: what the doors lead to.
        task: the registry's task type.
        args: arguments by declared name: words, taken as they are, and paths of files.
        model: the one model that may run it; the usual choice where None.
        want: the job wanted, where the task covers two (``ocr`` or ``caption``).
        host: the name the request was sent to, whose URLs name files of this server.
        request: whose client is watched: when it goes away, the call is given up, down to the model.

    Raises:
        TaskError: the task failed; code, status and words tell how.
        RequestError: it cannot be run: an argument is missing, or the model does not do this task.
        UnknownModelError: there is no such model.
        GoneError: the client went away.

    """
    async with lent(backend) as files:
        literal = {name: await _literal(files, task, name, value) for name, value in args.items()}
        raw: dict[str, Any] = {"task": task, "id": 0, "args": literal, "model": model, "want": want}
        asked = Conversation(plan=({name: value for name, value in raw.items() if value is not None},))
        work = ended(backend.controller.run(asked, host))
        outcome = (await (work if request is None else attended(request, work))).outcomes[0]
    if outcome.status is Status.DONE:
        return outcome
    raise task_error(outcome)


def task_error(outcome: Outcome) -> TaskError:
    """How a task failed, as an error that a door can answer with."""
    if outcome.error is None:
        return TaskError("The task did not end well; try again.", "internal", 500)
    told = outcome.error
    return TaskError(told.message, told.code, status(told.code), told.wait_s)


async def _literal(files: Lent, task: str, name: str, value: str) -> str:
    """An argument that stands for itself: words that look like a reference or a link go along as a file."""
    argument = task_type(task).argument(name)
    is_words = argument is None or argument.modality is Modality.TEXT
    other = reference.find(value) or is_link(value)
    return await files.keep(value.encode(), "words.txt") if is_words and other else value


async def ended(events: AsyncGenerator[Event]) -> RunDone:
    """The end of a run, which is closed with whoever waits."""
    done: RunDone | None = None
    async with aclosing(events):
        async for event in events:
            if isinstance(event, RunDone):
                done = event
    assert done is not None, "a run ends with run.done or raises"  # noqa: S101
    return done


async def attended(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """What comes of some work, which is cancelled when the client goes away; the body was read before.

    Raises:
        GoneError: the client went away.

    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_leaves(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise GoneError("The client went away before the answer was ready.")
    finally:
        for future in (working, leaving):
            future.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _leaves(request: Request) -> None:
    """Wait until the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
