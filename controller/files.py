"""Files that a request names: paths on this server, checked before anything runs.

Nothing is fetched from elsewhere: a link to another host is refused with a word on what to do instead.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlsplit

from controller.errors import AttachmentError, RequestError
from controller.failure import failure, root
from controller.outcome import Artifact
from controller.plan import Task
from controller.signing import unsigned
from deployments.errors import NotFoundError
from model_catalog.tasks import Modality

_LINK = re.compile(r"https?://", re.IGNORECASE)
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_PATH = re.compile(r"/(?:[A-Za-z0-9_-]+/)+[A-Za-z0-9_.-]+")

_READ_AS = {
    Modality.AUDIO: {Modality.AUDIO, Modality.VIDEO},  # a video's sound
    Modality.TABLE: {Modality.TABLE, Modality.TEXT},
    Modality.TEXT: {Modality.TEXT, Modality.TABLE, Modality.DATA},
}
"""What a file may hold where an argument needs something else."""


def local_path(value: str, host: str = "") -> str:
    """The path on this server that a media argument names.

    Args:
        value: a path such as ``/images/….png``, or a URL on this server; JARVIS's ``public/`` is taken off.
        host: the name the request was sent to, whose URLs are this server's own.

    Raises:
        AttachmentError: it is a link to another host, or no path of this server.
        RequestError: it tries to leave the folders that are served.

    """
    path = unsigned(value.strip())
    if _LINK.match(path):
        path = _own(path, host)
    path = "/" + path.removeprefix("/").removeprefix("public/").lstrip("/")
    if ".." in path or "\\" in path or "%" in path or "\0" in path:
        raise RequestError(
            f"The path {_shown(value)} is not allowed; name a file by the url that its upload gave."
        )
    if not _PATH.fullmatch(path):
        raise AttachmentError(
            f"There is no file {_shown(value)} here; upload it with POST /v1/files (or --file) "
            "and name its url."
        )
    return path


def _own(link: str, host: str) -> str:
    """The path of a link to this server."""
    try:
        parts = urlsplit(link)
        name = parts.hostname or ""
    except ValueError:
        name = ""
    if name in _LOCAL_HOSTS or (host and name == _name(host)):
        return parts.path
    raise AttachmentError(
        f"{_shown(link)} is on another host, and links are not fetched; upload the file with POST /v1/files."
    )


def _name(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _shown(value: str) -> str:
    return repr(value[:120])


async def with_files(task: Task, host: str, stat: Callable[[str], Awaitable[Artifact]]) -> Task:
    """The task with its files as paths on this server, each known to be there and of the right kind.

    Args:
        task: the task.
        host: the name the request was sent to, whose URLs name files of this server.
        stat: tells what lies under a path.

    Raises:
        AttachmentError: a file is not here, or not what the task needs.

    """
    args = dict(task.args)
    for name, value in task.args.items():
        wanted = dict(task.files()).get(value)
        if wanted is None:
            continue
        args[name] = path = local_path(value, host)
        try:
            found = await stat(path)
        except Exception as error:
            if isinstance(root(error), NotFoundError):
                raise AttachmentError(failure(error).message) from None
            raise
        if found.modality not in _READ_AS.get(wanted, {wanted}):
            raise AttachmentError(f"{path} holds {found.modality}, but {task.type.label} needs {wanted}.")
    return replace(task, args=args)
