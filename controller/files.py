"""Files that a request names: paths on this server, and web links, which become such before anything runs.

A link to another host is fetched by the deployment for that, where the settings allow it; its bytes never
come here. Where they do not, it is refused with a word on what to do instead.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from controller.errors import AttachmentError, RequestError
from controller.failure import failure, root
from controller.outcome import Artifact, Link
from controller.plan import Task
from controller.signing import unsigned
from deployments.errors import LinkError, MediaError, NotFoundError
from deployments.links.link import is_link
from deployments.links.reading import Read
from model_catalog.tasks import MEDIA, Modality

_LINK = re.compile(r"https?://", re.IGNORECASE)
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_PATH = re.compile(r"/(?:[A-Za-z0-9_-]+/)+[A-Za-z0-9_.-]+")

_READ_AS = {
    Modality.AUDIO: (Modality.AUDIO, Modality.VIDEO),  # a video's sound
    Modality.TABLE: (Modality.TABLE, Modality.TEXT),
    Modality.TEXT: (Modality.TEXT, Modality.TABLE, Modality.DATA),
}
"""What a file may hold where an argument needs something; that itself first."""

_TEXTS = frozenset({"text", "text1", "text2", "context"})
"""Arguments that a task works on; a link in one of them stands for the page's text."""


class Cluster(Protocol):
    """What finds files and fetches links; see ``controller.handles.Cluster``."""

    async def stat(self, path: str) -> Artifact:
        """What lies under a path."""
        ...

    async def link(self, url: str, wanted: Sequence[Modality]) -> Read:
        """Fetch what a web link names, and store it."""
        ...


class Links:
    """The web links of one run: each is fetched once, whatever tasks name it."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, tuple[Modality, ...]], asyncio.Future[Read]] = {}

    async def read(self, cluster: Cluster, url: str, wanted: tuple[Modality, ...]) -> Read:
        """What a link gave.

        Raises:
            AttachmentError: it is not followed, or gives nothing that is wanted.

        """
        key = url.strip(), wanted
        if key not in self._read:
            self._read[key] = asyncio.ensure_future(read_link(cluster, url, wanted))
        return await self._read[key]


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


def elsewhere(value: str, host: str = "") -> bool:
    """Whether a value is a web link that does not lead to this server; see ``local_path``."""
    link = value.strip()
    return _LINK.match(link) is not None and not _is_own(_parts(link)[0], host)


def _own(link: str, host: str) -> str:
    """The path of a link to this server."""
    name, path = _parts(link)
    if _is_own(name, host):
        return path
    raise AttachmentError(
        f"{_shown(link)} is on another host, and here links are not fetched; upload the file with "
        "POST /v1/files."
    )


def _parts(link: str) -> tuple[str, str]:
    """The host and the path of a link; no host where it cannot be read."""
    try:
        parts = urlsplit(link)
        return parts.hostname or "", parts.path
    except ValueError:
        return "", ""


def _is_own(name: str, host: str) -> bool:
    return name in _LOCAL_HOSTS or bool(name and host and name == _name(host))


def _name(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _shown(value: str) -> str:
    return repr(value[:120])


async def read_link(cluster: Cluster, url: str, wanted: Sequence[Modality] = ()) -> Read:
    """Fetch what a web link names, and store it.

    Args:
        cluster: what fetches it.
        url: the link.
        wanted: what it may hold, the likeliest first; empty for anything.

    Raises:
        AttachmentError: it is not followed, or gives nothing that is wanted.

    """
    try:
        return await cluster.link(url.strip(), wanted)
    except Exception as error:
        if isinstance(root(error), LinkError | MediaError):
            raise AttachmentError(
                f"The link {_shown(url)} was not read. {failure(error).message} "
                "What is there can be uploaded with POST /v1/files instead."
            ) from None
        raise


async def located(cluster: Cluster, value: str, host: str, fetches: bool) -> Artifact:
    """The file that a request brings: one of this server, or what a web link names.

    Args:
        cluster: what finds and fetches files.
        value: a path or a URL.
        host: the name the request was sent to, whose URLs name files of this server.
        fetches: whether links are fetched.

    Raises:
        AttachmentError: it is no such file, or a link that gives none.
        RequestError: it tries to leave the folders that are served.
        NotFoundError: nothing lies there.

    """
    if fetches and elsewhere(value, host):
        return (await read_link(cluster, value)).artifact
    return await cluster.stat(local_path(value, host))


async def with_files(task: Task, host: str, cluster: Cluster, links: Links | None = None) -> Task:
    """The task with its files as paths on this server, each known to be there and of the right kind.

    Args:
        task: the task.
        host: the name the request was sent to, whose URLs name files of this server.
        cluster: what finds and fetches files.
        links: the run's web links; None where links are not fetched.

    Raises:
        AttachmentError: a file is not here, or not what the task needs.

    """
    args, read = dict(task.args), []
    files = dict(task.files())
    for name, value in task.args.items():
        wanted = files.get(value)
        if _names_page(task, name, value) and elsewhere(value, host):
            wanted = Modality.TEXT
        if wanted is None:
            continue
        kinds = _READ_AS.get(wanted, (wanted,))
        if links is not None and elsewhere(value, host):
            told = await links.read(cluster, value, kinds)
            args[name] = told.artifact.path
            read.append(_link(name, value, told))
            continue
        args[name] = path = local_path(value, host)
        found = await _found(cluster.stat, path)
        if found.modality not in kinds:
            raise AttachmentError(f"{path} holds {found.modality}, but {task.type.label} needs {wanted}.")
    return replace(task, args=args, links=tuple(read))


def _names_page(task: Task, name: str, value: str) -> bool:
    """Whether an argument is one link that stands for a text: of a task that works on texts alone."""
    needs = {argument.modality for argument in task.type.arguments if argument.required}
    return name in _TEXTS and not needs & MEDIA and is_link(value)


def _link(name: str, value: str, told: Read) -> Link:
    return Link(
        argument=name,
        url=value.strip(),
        source=told.url,
        path=told.artifact.path,
        title=told.title,
        cut=told.cut,
    )


async def _found(stat: Callable[[str], Awaitable[Artifact]], path: str) -> Artifact:
    try:
        return await stat(path)
    except Exception as error:
        if isinstance(root(error), NotFoundError):
            raise AttachmentError(failure(error).message) from None
        raise
