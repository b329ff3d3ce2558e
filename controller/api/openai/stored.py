"""``/v1/files``: what is stored: listed, told, given, deleted; uploads are ``controller.api.files``."""

from typing import Annotated, Literal

from fastapi import Query, Request
from starlette.responses import Response

from controller.api.body import backend
from controller.api.files import serve_file
from controller.api.openai.conversation import base_of
from controller.api.openai.parts import FILE_ID
from controller.api.openai.schema import Told
from controller.outcome import Artifact


class StoredFile(Told):
    """A stored file; names and purposes of uploads are not kept, so that these are the store's own."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str = "user_data"
    status: Literal["processed"] = "processed"
    url: str
    path: str
    media_type: str


class FileList(Told):
    """A page of stored files."""

    object: Literal["list"] = "list"
    data: list[StoredFile]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None


class Deleted(Told):
    """A file that is no longer there."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


async def listed(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    after: Annotated[str, Query(max_length=100)] = "",
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> FileList:
    """Stored files, uploads and results alike, the newest first."""
    if purpose not in (None, "user_data"):
        return FileList(data=[], has_more=False)
    store = backend(request).store
    found, more = await store.listed(limit, after.removeprefix(FILE_ID), order == "desc")
    data = [_told(request, artifact, created) for artifact, created in found]
    ends = {"first_id": data[0].id, "last_id": data[-1].id} if data else {}
    return FileList(data=data, has_more=more, **ends)


async def one(request: Request, file: str) -> StoredFile:
    """A stored file, by its id."""
    return _told(request, *await backend(request).store.find(file.removeprefix(FILE_ID)))


async def content(request: Request, file: str) -> Response:
    """The bytes of a stored file."""
    artifact, _ = await backend(request).store.find(file.removeprefix(FILE_ID))
    folder, _, name = artifact.path[1:].partition("/")
    return await serve_file(request, folder, name)


async def delete(request: Request, file: str) -> Deleted:
    """Delete a stored file."""
    store = backend(request).store
    artifact, _ = await store.find(file.removeprefix(FILE_ID))
    await store.remove(artifact.path)
    return Deleted(id=_id(artifact))


def _id(artifact: Artifact) -> str:
    return f"{FILE_ID}{artifact.path.rpartition('/')[2].partition('.')[0]}"


def _told(request: Request, artifact: Artifact, created: float) -> StoredFile:
    return StoredFile(
        id=_id(artifact),
        bytes=artifact.size,
        created_at=int(created),
        filename=artifact.path.rpartition("/")[2],
        url=f"{base_of(request)}{artifact.path}",
        path=artifact.path,
        media_type=artifact.media_type,
    )
