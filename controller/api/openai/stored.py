"""``/v1/files``: what is stored: listed, told, given, deleted; uploads are ``controller.api.files``."""

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Query, Request
from starlette.responses import Response

from controller.api.body import backend
from controller.api.files import StoredFile, serve_file, told
from controller.api.openai.parts import FILE_ID
from controller.api.openai.schema import Told
from controller.errors import RequestError
from controller.failure import failure, root
from deployments.errors import NotFoundError

if TYPE_CHECKING:
    from controller.api.app import Store


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
    """Stored files of the caller, uploads and results alike, the newest first.

    Raises:
        RequestError: there is no file to begin after.

    """
    if purpose not in (None, "user_data"):
        return FileList(data=[], has_more=False)
    store = backend(request).store
    if after:
        await _known(store, after)
    found, more = await store.listed(limit, after.removeprefix(FILE_ID), order == "desc")
    data = [told(request, one) for one in found]
    ends = {"first_id": data[0].id, "last_id": data[-1].id} if data else {}
    return FileList(data=data, has_more=more, **ends)


async def _known(store: "Store", after: str) -> None:
    try:
        await store.find(after.removeprefix(FILE_ID))
    except Exception as error:
        if isinstance(root(error), NotFoundError):
            raise RequestError(failure(error).message, "after") from None
        raise


async def one(request: Request, file: str) -> StoredFile:
    """A stored file, by its id."""
    return told(request, await backend(request).store.find(file.removeprefix(FILE_ID)))


async def content(request: Request, file: str) -> Response:
    """The bytes of a stored file."""
    artifact = (await backend(request).store.find(file.removeprefix(FILE_ID))).artifact
    folder, _, name = artifact.path[1:].partition("/")
    return await serve_file(request, folder, name)


async def delete(request: Request, file: str) -> Deleted:
    """Delete a stored file."""
    store = backend(request).store
    found = await store.find(file.removeprefix(FILE_ID))
    await store.remove(found.artifact.path)
    return Deleted(id=told(request, found).id)
