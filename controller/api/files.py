"""Files: uploads in OpenAI's shape, and stored files served with their type and byte ranges."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from controller.api import media
from controller.api.address import address
from controller.api.body import backend
from controller.api.openai.parts import FILE_ID
from controller.api.openai.schema import ERRORS
from controller.errors import RequestError
from deployments.account import Stored
from model_catalog.tasks import Modality

router = APIRouter(tags=["files"], responses=ERRORS)

FOLDERS = ("images", "audios", "videos", "files", "examples")
"""The folders whose files are served."""

_ANY: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
SERVED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": _ANY},
    206: {"description": "A range of it.", "content": _ANY},
    304: {"description": "The client has it already."},
    416: {"description": "The file has no such range."},
}
"""The answers of a route that serves a file."""

_YEAR_S = 31_536_000
_SECONDS = re.compile(r"[1-9]\d{0,8}")
_NOT_PLAIN = re.compile(r"""[^ -~]|["\\%]""")  # what a quoted file name is written without
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_INLINE = frozenset({Modality.IMAGE, Modality.AUDIO, Modality.VIDEO})


class StoredFile(BaseModel):
    """A stored file, in OpenAI's form; ``url`` and ``path`` are what messages and plans name it by.

    What has no name of its own is called as in its path. The purpose of an upload is told once and not kept.
    """

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str = "user_data"
    status: Literal["processed"] = "processed"
    url: str
    path: str
    media_type: str


_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string"},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": 1},
                    },
                }
            }
        },
    }
}


@router.post("/v1/files", openapi_extra=_FORM)
async def upload(request: Request) -> StoredFile:
    """Store a file, sent in the field ``file``; name its ``url`` in a message."""
    try:
        form = await request.form(max_files=1, max_fields=8)
    except HTTPException:  # what Starlette makes of a broken form
        raise RequestError("Send the file as multipart/form-data, in one field called 'file'.") from None
    file = form.get("file")
    if not isinstance(file, UploadFile):
        await form.close()
        raise RequestError("Send the file as multipart/form-data, in a field called 'file'.")
    store = backend(request).store
    ticket = await store.begin()
    try:
        while chunk := await file.read(media.CHUNK):
            await store.append(ticket, chunk)
        artifact = await store.finish(ticket, file.filename or "", life_s=_life(form))
    except BaseException:
        await media.apart(store.abort(ticket))
        raise
    finally:
        await form.close()
    sent = {"purpose": str(form.get("purpose") or "user_data")}
    return told(request, await store.about(artifact.path)).model_copy(update=sent)


def _life(form: FormData) -> float | None:
    """After how many seconds an upload is to be removed, where its client says so, as OpenAI's say it."""
    said = form.get("expires_after[seconds]")
    if said is None:
        return None
    anchor = form.get("expires_after[anchor]", "created_at")
    if anchor != "created_at" or not isinstance(said, str) or not _SECONDS.fullmatch(said):
        raise RequestError(
            "expires_after is to be a number of seconds, with created_at as its anchor.", "expires_after"
        )
    return float(said)


def told(request: Request, stored: Stored) -> StoredFile:
    """A stored file as it is told."""
    artifact = stored.artifact
    name = artifact.path.rpartition("/")[2]
    return StoredFile(
        id=f"{FILE_ID}{name.partition('.')[0]}",
        bytes=artifact.size,
        created_at=int(stored.created),
        expires_at=None if stored.expires is None else int(stored.expires),
        filename=stored.name or name,
        url=address(request).of(artifact.path),
        path=artifact.path,
        media_type=artifact.media_type,
    )


async def serve_file(request: Request, folder: str, name: str) -> Response:
    """A stored file or an example, whole or a range of it."""
    path = f"/{folder}/{name}"
    stored = await backend(request).store.about(path)
    artifact = stored.artifact
    headers = _headers(stored)
    if "etag" in headers and headers["etag"] in _tags(request):
        return Response(status_code=304, headers=headers)
    start, end, status = _span(request, artifact.size, headers)
    headers["content-length"] = str(end - start)
    if request.method == "HEAD" or end == start:
        return Response(status_code=status, headers=headers, media_type=artifact.media_type)
    body = _read(backend(request).store, path, start, end)
    return StreamingResponse(body, status_code=status, headers=headers, media_type=artifact.media_type)


def _headers(stored: Stored) -> dict[str, str]:
    headers = {
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "content-disposition": _disposition(stored),
        "content-security-policy": "default-src 'none'; sandbox",
    }
    path = stored.artifact.path
    if not path.startswith("/examples/"):  # a stored file never changes
        age = _YEAR_S if stored.expires is None else min(_YEAR_S, int(stored.expires - time.time()))
        headers["etag"] = f'"{stored.digest or path.rpartition("/")[2]}"'
        headers["cache-control"] = f"private, max-age={max(0, age)}, immutable"
    return headers


def _disposition(stored: Stored) -> str:
    """Whether a browser shows the file, and under which name it saves it (RFC 6266)."""
    kind = "inline" if stored.artifact.modality in _INLINE else "attachment"
    if not stored.name:
        return kind
    plain = _NOT_PLAIN.sub("_", stored.name)
    told = f'{kind}; filename="{plain}"'
    return told if plain == stored.name else f"{told}; filename*=UTF-8''{quote(stored.name, safe='')}"


def _tags(request: Request) -> list[str]:
    """The versions of a file that the client has already."""
    return [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]


def _span(request: Request, size: int, headers: dict[str, str]) -> tuple[int, int, int]:
    """First byte, the one behind the last, and the status; a range of several parts is not taken."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if (
        match is None
        or match[1] == match[2] == ""
        or (condition is not None and condition != headers.get("etag"))
    ):
        return 0, size, 200
    if match[1]:
        start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    else:
        start, end = max(0, size - int(match[2])), size
    if start >= size or start >= end:
        headers["content-range"] = f"bytes */{size}"
        return 0, 0, 416
    headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    return start, end, 206


async def _read(store: Any, path: str, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end and (chunk := await store.read(path, start, min(media.CHUNK, end - start))):
        start += len(chunk)
        yield chunk


def _serving(folder: str) -> Callable[[Request, str], Awaitable[Response]]:
    async def serve(request: Request, name: str) -> Response:
        """A stored file or an example, whole or a range of it."""
        return await serve_file(request, folder, name)

    return serve


for _folder in FOLDERS:
    for _method in ("GET", "HEAD"):
        router.add_api_route(
            f"/{_folder}/{{name}}",
            _serving(_folder),
            methods=[_method],
            response_class=Response,
            responses=SERVED,
            include_in_schema=_method == "GET",
        )
