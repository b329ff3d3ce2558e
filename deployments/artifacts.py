"""The artifact deployment: stores results and uploads as files, and gives them back.

A file has a path with a 128-bit random id that nobody can guess, and a record; its bytes lie under their
digest, once for all records that have the same ones. Paths from outside are looked up and never joined.
"""

import asyncio
import hashlib
import logging
import re
import time
from importlib.resources import files as package_files
from pathlib import Path

from deployments.account import Account, Artifact, Stored
from deployments.encode import encode
from deployments.errors import FullError, NotFoundError, StorageError, TooLargeError
from deployments.media import File, Limits, Value, kind_of, modality_of
from deployments.records import Record, named, new, owned
from deployments.result import Result
from deployments.shelf import Shelf
from deployments.storage import Keeping
from deployments.uploads import Upload, Uploads, accepted, too_large

logger = logging.getLogger("ray.serve")

CHUNK = 1 << 20
"""The most bytes of one read, so that no door holds a whole file."""

SWEEP_S = 60.0
"""How often what is over its time is removed; nobody is given it any more before that."""

_STORED = re.compile(r"/(images|audios|videos|files)/([0-9a-f]{32})\.([a-z0-9]{1,5})")
_EXAMPLE = re.compile(r"/examples/([a-z0-9]{1,40}\.(?:png|jpg|wav))")
_ID = re.compile(r"[0-9a-f]{32}")


class Artifacts:
    """Files under opaque ids; a Serve deployment, and a plain class for tests.

    Whoever asks gives an ``owner``: what is stored is theirs, and nothing of others is there for them. None
    may read, list and remove all.
    """

    def __init__(self, root: str, limits: Limits | None = None, keeping: Keeping | None = None) -> None:
        """Keep files as ``keeping`` says; what was stored before is found again.

        Args:
            root: the data folder, made if it is missing; only this user can read what is stored in it.
            limits: what one file may be.
            keeping: where files are kept, and for how long; in ``root``, for ever, where nothing is said.

        Raises:
            FleetError: the storage is none that can be used here.
            StorageError: it cannot be written.

        """
        home = Path(root)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._limits = limits or Limits()
        self._examples = Path(str(package_files("deployments.examples")))
        self._shelf = Shelf(home, keeping or Keeping())
        self._uploads = Uploads(self._shelf.folder / "uploads")
        self._swept = time.monotonic()
        self._sweeping: asyncio.Task[None] | None = None

    # Storing --------------------------------------------------------------------------------------

    async def store(self, result: Result, owner: str = "") -> Account:
        """Store the media of a result; called with the expert's response itself, so that Ray moves the bytes.

        Args:
            result: what an expert made.
            owner: whose it is; empty for the operator.

        Raises:
            MediaError: a value cannot be encoded.
            FullError: there is no room for it.
            StorageError: the storage failed.

        """
        media: list[Value] = [
            value for value in (result.image, result.audio, result.video) if value is not None
        ]
        if result.table is not None:
            media.append(result.table)
        stored: list[Artifact] = []
        try:
            for value in media:
                stored.append(await asyncio.to_thread(self._store, value, owner, result.run))  # noqa: PERF401
        except BaseException:
            for artifact in stored:
                await self.remove(artifact.path)
            raise
        logger.info("run %s stored %s", result.run, ", ".join(artifact.path for artifact in stored))
        return Account.of(result, tuple(stored))

    def _store(self, value: Value, owner: str = "", run: str = "") -> Artifact:
        return self._write(encode(value), owner=owner, run=run)

    def _write(self, file: File, name: str = "", owner: str = "", run: str = "") -> Artifact:
        digest = hashlib.sha256(file.data).hexdigest()
        record = new(file.media_type, len(file.data), digest, owner, name)
        self._shelf.save(record, run, lambda key: self._shelf.storage.write(key, file.data))
        return record.artifact

    async def keep(self, file: File, name: str = "", owner: str = "") -> Artifact:
        """Check a file and store it; called with the response itself of whoever brings it.

        Args:
            file: its bytes; they say what it is.
            name: its name; the ending tells CSV and JSON from other text.
            owner: whose it is; empty for the operator.

        Raises:
            MediaError: the file is empty, of a kind that is not taken, broken, or over a limit.
            FullError: there is no room for it.
            StorageError: the storage failed.

        """
        if len(file.data) > self._limits.max_bytes:
            raise too_large(self._limits)
        checked = await asyncio.to_thread(accepted, file.data, name, self._limits)
        return await asyncio.to_thread(self._write, checked, named(name), owner)

    # Uploads --------------------------------------------------------------------------------------

    async def begin(self) -> str:
        """Open an upload; returns its ticket. Uploads that rest for too long are given up."""
        for old in self._uploads.resting():
            await self.abort(old)
        ticket, upload = self._uploads.begin()
        await asyncio.to_thread(upload.part.touch, 0o600)
        return ticket

    async def append(self, ticket: str, data: bytes) -> None:
        """Add bytes to an upload.

        Raises:
            NotFoundError: the upload is unknown, or was given up.
            TooLargeError: it is now over the limit; it is given up.
            FullError: there is no room for it; it is given up.

        """
        upload = self._uploads.get(ticket)
        if upload is None:
            raise _unknown()
        upload.size += len(data)
        upload.touched = time.monotonic()
        try:
            if upload.size > self._limits.max_bytes:
                raise too_large(self._limits)
            if self._shelf.records.full(self._uploads.size):
                await asyncio.to_thread(self._shelf.expire)
            self._shelf.records.check(self._uploads.size)
            await asyncio.to_thread(upload.write, data)
        except (TooLargeError, FullError):
            await self.abort(ticket)
            raise
        except FileNotFoundError:  # given up while these bytes were on their way
            raise _unknown() from None

    async def finish(self, ticket: str, name: str, owner: str = "", life_s: float | None = None) -> Artifact:
        """Check an uploaded file and give it its id; a file that is refused is removed.

        Args:
            ticket: of the upload.
            name: the file's own name, which is kept.
            owner: whose it is; empty for the operator.
            life_s: after how many seconds it is to be removed at the latest; None for the usual time.

        Raises:
            NotFoundError: the upload is unknown, or was given up.
            MediaError: the file is empty, of a kind that is not taken, broken, or over a limit.
            FullError: there is no room for it.
            StorageError: the storage failed.

        """
        upload = self._uploads.take(ticket)
        if upload is None:
            raise _unknown()
        try:
            return await asyncio.to_thread(self._accept, upload, name, owner, life_s)
        finally:
            await asyncio.to_thread(upload.drop)

    def _accept(self, upload: Upload, name: str, owner: str, life_s: float | None) -> Artifact:
        kind = accepted(upload.part.read_bytes(), name, self._limits).media_type
        record = new(kind, upload.size, upload.digest.hexdigest(), owner, named(name), life_s)
        self._shelf.save(record, "", lambda key: self._shelf.storage.move(upload.part, key))
        return record.artifact

    async def abort(self, ticket: str) -> None:
        """Give an upload up; unknown tickets are ignored."""
        if (upload := self._uploads.take(ticket)) is not None:
            await asyncio.to_thread(upload.drop)

    # Finding --------------------------------------------------------------------------------------

    async def stat(self, path: str, owner: str | None = None) -> Artifact:
        """What lies under a path.

        Raises:
            NotFoundError: there is no such file, or it is not the owner's.

        """
        if example := self._example(path):
            return (await asyncio.to_thread(_of_example, path, example)).artifact
        return (await self._record(path, owner)).artifact

    async def about(self, path: str, owner: str | None = None) -> Stored:
        """The same with its own name, its digest and its times.

        Raises:
            NotFoundError: there is no such file, or it is not the owner's.

        """
        if example := self._example(path):
            return await asyncio.to_thread(_of_example, path, example)
        return await self._stored(await self._record(path, owner))

    async def find(self, number: str, owner: str | None = None) -> Stored:
        """The stored file with that id.

        Raises:
            NotFoundError: there is no such file, or it is not the owner's.

        """
        record = await self._seek(number, owner)
        if record is None:
            raise NotFoundError(f"There is no file {number[:80]!r} here; upload it with POST /v1/files.")
        return await self._stored(record)

    async def listed(
        self, limit: int, after: str = "", newest: bool = True, owner: str | None = None
    ) -> tuple[list[Stored], bool]:
        """Stored files in the order of the times they were stored, and whether there are more.

        Args:
            limit: the most files.
            after: the id of the file they come after; empty for the first ones.
            newest: whether the newest comes first.
            owner: whose files; None for everybody's.

        """
        whose = None if owner is None else owned(owner)
        return await asyncio.to_thread(self._shelf.page, limit, after, newest, whose)

    async def _stored(self, record: Record) -> Stored:
        if record.name is None:
            return await asyncio.to_thread(self._shelf.told, record)
        return self._shelf.told(record)

    async def _record(self, path: str, owner: str | None) -> Record:
        match = _STORED.fullmatch(path)
        record = await self._seek(match[2], owner) if match else None
        if record is None or record.path != path:
            raise _absent(path)
        return record

    async def _seek(self, number: str, owner: str | None) -> Record | None:
        """The record of an id where it is the owner's and its time is not over."""
        records = self._shelf.records
        record = records.get(number)
        if record is None and _ID.fullmatch(number) and await asyncio.to_thread(self._shelf.looked_again):
            record = records.get(number)
        if record is None or records.end(record) <= time.time():
            return None
        return record if owner is None or record.owner == owned(owner) else None

    def _example(self, path: str) -> Path | None:
        match = _EXAMPLE.fullmatch(path)
        if match is None:
            return None
        file = self._examples / match[1]
        return file if file.is_file() else None

    # Reading --------------------------------------------------------------------------------------

    async def fetch(self, path: str, owner: str | None = None) -> File:
        """A whole file, for an expert: given to it by reference, it passes through nobody else.

        Raises:
            NotFoundError: there is no such file, or it is not the owner's.
            StorageError: the storage failed.

        """
        kind = (await self.stat(path, owner)).media_type
        return File(await self._bytes(path, owner, 0, None), kind)

    async def read(self, path: str, start: int, size: int, owner: str | None = None) -> bytes:
        """At most ``CHUNK`` bytes of a file from ``start`` on.

        Raises:
            NotFoundError: there is no such file, or it is not the owner's.
            StorageError: the storage failed.

        """
        return await self._bytes(path, owner, start, start + min(size, CHUNK))

    async def _bytes(self, path: str, owner: str | None, start: int, end: int | None) -> bytes:
        if example := self._example(path):
            return (await asyncio.to_thread(example.read_bytes))[start:end]
        record = await self._record(path, owner)
        try:
            return await asyncio.to_thread(self._shelf.read, record, start, end)
        except FileNotFoundError:
            raise _absent(path) from None

    async def location(self) -> str:
        """Where the files are: a folder on the node where this replica lives, or a URL."""
        return self._shelf.storage.place

    # Removing -------------------------------------------------------------------------------------

    async def remove(self, path: str, owner: str | None = None) -> None:
        """Remove a stored file; examples stay.

        Raises:
            NotFoundError: there is no such file, or it is not the owner's.
            StorageError: the storage failed.

        """
        if self._example(path) is None:
            await asyncio.to_thread(self._shelf.drop, await self._record(path, owner))

    async def check_health(self) -> None:
        """Called by Serve every second: now and then, what is over its time is removed."""
        idle = self._sweeping is None or self._sweeping.done()
        if idle and time.monotonic() - self._swept >= SWEEP_S:
            self._swept = time.monotonic()
            self._sweeping = asyncio.create_task(self.sweep())

    async def sweep(self) -> None:
        """Remove files whose time is over, and what a crash left; what fails is tried the next time."""
        try:
            await asyncio.to_thread(self._shelf.expire)
            await asyncio.to_thread(self._shelf.tidy)
        except StorageError as error:
            logger.warning("files that are over their time could not be removed: %s", error.message)


def _of_example(path: str, file: Path) -> Stored:
    told, kind = file.stat(), kind_of(file.suffix[1:])
    artifact = Artifact(path=path, modality=modality_of(kind), media_type=kind, size=told.st_size)
    return Stored(artifact=artifact, created=told.st_mtime)


def _absent(path: str) -> NotFoundError:
    return NotFoundError(f"There is no file {path!r} here; upload it with POST /v1/files and use its url.")


def _unknown() -> NotFoundError:
    return NotFoundError("This upload is unknown or was given up; start it again.")
