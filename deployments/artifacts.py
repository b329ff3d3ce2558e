"""The artifact deployment: stores results and uploads as files, and gives them back.

Files live under one folder, in ``images``, ``audios``, ``videos`` and ``files``, named by 128-bit random ids
that nobody can guess. Paths from outside are matched against that form and never joined unchecked.
"""

import asyncio
import logging
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path

from deployments.account import Account, Artifact
from deployments.decode import check
from deployments.encode import encode
from deployments.errors import MediaError, NotFoundError, TooLargeError
from deployments.media import File, Limits, Value, extension, media_type, modality_of
from deployments.result import Result
from model_catalog.tasks import Modality

logger = logging.getLogger("ray.serve")

CHUNK = 1 << 20
"""The most bytes of one read, so that no door holds a whole file."""

_FOLDERS = {Modality.IMAGE: "images", Modality.AUDIO: "audios", Modality.VIDEO: "videos"}
_STORED = re.compile(r"/(images|audios|videos|files)/([0-9a-f]{32}\.[a-z0-9]{1,5})")
_NUMBER = re.compile(r"[0-9a-f]{32}")
_EXAMPLE = re.compile(r"/examples/([a-z0-9]{1,40}\.(?:png|jpg|wav))")

UPLOAD_S = 900.0
"""How long an upload may rest between two pieces; whoever began it has gone away then."""


@dataclass(slots=True)
class _Upload:
    """An upload under way: its bytes so far, and when the last of them came."""

    size: int = 0
    touched: float = field(default_factory=time.monotonic)

    def rests(self) -> bool:
        """Whether nobody will come back to it."""
        return time.monotonic() - self.touched > UPLOAD_S


class Artifacts:
    """Files under opaque ids; a Serve deployment, and a plain class for tests."""

    def __init__(self, root: str, limits: Limits | None = None) -> None:
        """Keep files under ``root``, which is made if it is missing; only this user can read it."""
        self._root = Path(root)
        self._limits = limits or Limits()
        self._examples = Path(str(package_files("deployments.examples")))
        self._uploads: dict[str, _Upload] = {}
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (*_FOLDERS.values(), "files", "uploads"):
            (self._root / folder).mkdir(exist_ok=True, mode=0o700)
        for part in (self._root / "uploads").iterdir():  # of uploads that an earlier process began
            part.unlink()

    async def store(self, result: Result) -> Account:
        """Store the media of a result; called with the expert's response itself, so that Ray moves the bytes.

        Raises:
            MediaError: a value cannot be encoded.

        """
        media: list[Value] = [
            value for value in (result.image, result.audio, result.video) if value is not None
        ]
        if result.table is not None:
            media.append(result.table)
        stored = tuple([await asyncio.to_thread(self._store, value) for value in media])
        logger.info("run %s stored %s", result.run, ", ".join(artifact.path for artifact in stored))
        return Account.of(result, stored)

    async def keep(self, file: File, name: str = "", owner: str = "") -> Artifact:
        """Check a file and store it; called with the response itself of whoever brings it.

        Args:
            file: its bytes; they say what it is.
            name: its name; the ending tells CSV and JSON from other text.
            owner: whose it is; empty for the operator of a server without keys.

        Raises:
            MediaError: the file is empty, of a kind that is not taken, broken, or over a limit.

        """
        ticket = await self.begin()
        try:
            await self.append(ticket, file.data)
            return await self.finish(ticket, name)
        finally:
            await self.abort(ticket)

    def _store(self, value: Value) -> Artifact:
        file = encode(value)
        path, target = self._place(file.media_type)
        part = self._root / "uploads" / secrets.token_hex(16)
        part.write_bytes(file.data)
        os.replace(part, target)  # noqa: PTH105
        return _artifact(path, file.media_type, len(file.data))

    def _place(self, kind: str) -> tuple[str, Path]:
        """A fresh path for a file of that media type: as a URL, and on disk."""
        path = f"/{_FOLDERS.get(modality_of(kind), 'files')}/{secrets.token_hex(16)}.{extension(kind)}"
        return path, self._root / path[1:]

    async def fetch(self, path: str) -> File:
        """A whole file, for an expert: given to it by reference, it passes through nobody else.

        Raises:
            NotFoundError: there is no such file.

        """
        file = self._file(path)
        return await asyncio.to_thread(lambda: File(file.read_bytes(), _kind(file)))

    async def stat(self, path: str) -> Artifact:
        """What lies under a path.

        Raises:
            NotFoundError: there is no such file.

        """
        file = self._file(path)
        return await asyncio.to_thread(lambda: _artifact(path, _kind(file), file.stat().st_size))

    async def find(self, number: str) -> tuple[Artifact, float]:
        """The stored file with that id, and when it was stored, in seconds since the epoch.

        Raises:
            NotFoundError: there is no such file.

        """
        if _NUMBER.fullmatch(number):
            for file in await asyncio.to_thread(lambda: list(self._root.glob(f"*/{number}.*"))):
                if _STORED.fullmatch(path := f"/{file.parent.name}/{file.name}"):
                    return await asyncio.to_thread(_dated, path, file)
        raise NotFoundError(f"There is no file {number[:80]!r} here; upload it with POST /v1/files.")

    async def listed(
        self, limit: int, after: str = "", newest: bool = True
    ) -> tuple[list[tuple[Artifact, float]], bool]:
        """Stored files with the time each was stored, in that order, and whether there are more.

        Args:
            limit: the most files.
            after: the id of the file they come after; empty for the first ones.
            newest: whether the newest comes first.

        """
        return await asyncio.to_thread(self._listed, limit, after, newest)

    def _listed(self, limit: int, after: str, newest: bool) -> tuple[list[tuple[Artifact, float]], bool]:
        times: dict[Path, float] = {}
        for folder in (*_FOLDERS.values(), "files"):
            for file in (self._root / folder).iterdir():
                with suppress(FileNotFoundError):  # removed meanwhile
                    times[file] = file.stat().st_mtime
        files = sorted(times, key=lambda file: (times[file], file.name), reverse=newest)
        start = next((place + 1 for place, file in enumerate(files) if file.stem == after), 0)
        page = files[start : start + limit]
        found = []
        for file in page:
            with suppress(FileNotFoundError):
                found.append(_dated(f"/{file.parent.name}/{file.name}", file))
        return found, len(files) > start + limit

    async def read(self, path: str, start: int, size: int) -> bytes:
        """At most ``CHUNK`` bytes of a file from ``start`` on.

        Raises:
            NotFoundError: there is no such file.

        """
        file = self._file(path)
        return await asyncio.to_thread(_slice, file, start, min(size, CHUNK))

    def _file(self, path: str) -> Path:
        file = None
        if match := _STORED.fullmatch(path):
            file = self._root / match[1] / match[2]
        elif match := _EXAMPLE.fullmatch(path):
            file = self._examples / match[1]
        if file is None or not file.is_file():
            raise NotFoundError(
                f"There is no file {path!r} here; upload it with POST /v1/files and use its url."
            )
        return file

    async def begin(self) -> str:
        """Open an upload; returns its ticket. Uploads that rest for too long are given up."""
        for old in [ticket for ticket, upload in self._uploads.items() if upload.rests()]:
            await self.abort(old)
        ticket = secrets.token_hex(16)
        self._uploads[ticket] = _Upload()
        await asyncio.to_thread((self._root / "uploads" / ticket).touch, 0o600)
        return ticket

    async def append(self, ticket: str, data: bytes) -> None:
        """Add bytes to an upload.

        Raises:
            NotFoundError: the upload is unknown, or was given up.
            TooLargeError: it is now over the limit; it is given up.

        """
        upload = self._uploads.get(ticket)
        if upload is None:
            raise NotFoundError("This upload is unknown or was given up; start it again.")
        upload.size += len(data)
        upload.touched = time.monotonic()
        if upload.size > self._limits.max_bytes:
            await self.abort(ticket)
            raise TooLargeError(f"The file is over {self._limits.max_bytes >> 20} MiB; send a smaller one.")
        try:
            await asyncio.to_thread(_append, self._root / "uploads" / ticket, data)
        except FileNotFoundError:  # given up while these bytes were on their way
            raise NotFoundError("This upload is unknown or was given up; start it again.") from None

    async def finish(self, ticket: str, name: str) -> Artifact:
        """Check an uploaded file and give it its id; a file that is refused is removed.

        Raises:
            NotFoundError: the upload is unknown, or was given up.
            MediaError: the file is empty, of a kind that is not taken, broken, or over a limit.

        """
        if self._uploads.pop(ticket, None) is None:
            raise NotFoundError("This upload is unknown or was given up; start it again.")
        part = self._root / "uploads" / ticket
        try:
            return await asyncio.to_thread(self._accept, part, name)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)

    def _accept(self, part: Path, name: str) -> Artifact:
        data = part.read_bytes()
        if not data:
            raise MediaError("The file is empty; send one that holds something.")
        file = File(data, media_type(data, name))
        claimed = _claimed(name)
        found = modality_of(file.media_type)
        if claimed is not None and claimed is not found and not {claimed, found} <= _PLAYED:
            raise MediaError(f"{_shown(name)} is no {claimed} file; send a file that is what its name says.")
        check(file, self._limits)
        path, target = self._place(file.media_type)
        os.replace(part, target)  # noqa: PTH105
        return _artifact(path, file.media_type, len(data))

    async def abort(self, ticket: str) -> None:
        """Give an upload up; unknown tickets are ignored."""
        if self._uploads.pop(ticket, None) is not None:
            await asyncio.to_thread((self._root / "uploads" / ticket).unlink, missing_ok=True)

    async def remove(self, path: str) -> None:
        """Remove a stored file; examples stay.

        Raises:
            NotFoundError: there is no such file.

        """
        file = self._file(path)
        if _STORED.fullmatch(path):
            await asyncio.to_thread(file.unlink, missing_ok=True)

    async def location(self) -> str:
        """The folder that holds the files, on the node where this replica lives."""
        return str(self._root)


def _artifact(path: str, kind: str, size: int) -> Artifact:
    return Artifact(path=path, modality=modality_of(kind), media_type=kind, size=size)


def _dated(path: str, file: Path) -> tuple[Artifact, float]:
    told = file.stat()
    return _artifact(path, _kind(file), told.st_size), told.st_mtime


def _kind(file: Path) -> str:
    with file.open("rb") as stream:
        head = stream.read(4096)
    return media_type(head, file.name)


def _slice(file: Path, start: int, size: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(start)
        return stream.read(size)


def _append(part: Path, data: bytes) -> None:
    """Add to a file that is there; one that was removed meanwhile is not made anew."""
    with part.open("r+b") as stream:
        stream.seek(0, os.SEEK_END)
        stream.write(data)


_CLAIMS = {
    Modality.IMAGE: frozenset({"png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"}),
    Modality.AUDIO: frozenset({"wav", "flac", "ogg", "mp3"}),
    Modality.VIDEO: frozenset({"mp4", "mov", "webm", "mkv", "avi"}),
}


_PLAYED = frozenset({Modality.AUDIO, Modality.VIDEO})
"""Modalities that one container may hold: recorders put sound into films' containers, named as sound."""


def _claimed(name: str) -> Modality | None:
    """The modality that a file's name promises."""
    suffix = name.rpartition(".")[2].lower()
    return next((modality for modality, suffixes in _CLAIMS.items() if suffix in suffixes), None)


def _shown(name: str) -> str:
    """A client's file name, fit to be shown."""
    return repr(name[-80:])
