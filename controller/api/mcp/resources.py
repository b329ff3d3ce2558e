"""Stored files as MCP's resources."""

import base64
from typing import TYPE_CHECKING

from mcp_types import BlobResourceContents, ReadResourceResult, ResourceTemplate, TextResourceContents
from starlette.requests import Request

from controller.api import media
from controller.api.address import address
from controller.errors import BodyTooLargeError
from controller.files import local_path

if TYPE_CHECKING:
    from controller.api.app import Backend

MAX_BYTES = 8 << 20
"""The largest file that is sent as a resource, in bytes; any other is fetched from its URL."""

_TEXTS = frozenset({"application/json", "image/svg+xml"})
_FOLDERS = {"images": "Pictures", "audios": "Recordings", "videos": "Videos", "files": "Texts and tables"}


def url(request: Request, path: str) -> str:
    """The address of a stored file, as the client reaches this server."""
    return address(request).of(path)


def templates(request: Request) -> list[ResourceTemplate]:
    """How the addresses of stored files are made."""
    return [
        ResourceTemplate(
            name=folder,
            uri_template=f"{address(request).base}/{folder}/{{name}}",
            description=f"{title} that were uploaded or made; results give their addresses.",
        )
        for folder, title in _FOLDERS.items()
    ]


async def read(backend: "Backend", uri: str, request: Request) -> ReadResourceResult:
    """A stored file, whole.

    Args:
        backend: what the doors lead to.
        uri: its address or path.
        request: tells the name of this server.

    Raises:
        NotFoundError: it is not here.
        RequestError: the address is not one of this server, or the file is too large.

    """
    path = local_path(uri, request.headers.get("host", ""))
    found = await backend.store.stat(path)
    if found.size > MAX_BYTES:
        raise BodyTooLargeError(
            f"{path} has {found.size >> 20} MiB, and resources are sent up to {MAX_BYTES >> 20} MiB; "
            f"fetch it from {url(request, path)}."
        )
    data, kind = await media.read(backend, path)
    if kind.startswith("text/") or kind in _TEXTS:
        text = data.decode("utf-8", errors="replace")
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=kind, text=text)])
    blob = base64.b64encode(data).decode()
    return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type=kind, blob=blob)])
