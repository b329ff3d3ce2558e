"""All stored files with their records, over one storage; what is here blocks.

A record is written after its bytes and dropped before them, so that whatever ends this process, none points
to bytes that are not there.
"""

import math
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from deployments.account import Stored
from deployments.media import UNKNOWN, kind_of
from deployments.records import FOLDERS, Record, Records, inside, name_inside, parse
from deployments.storage import Folder, Keeping, Storage, storage

OVERLAP_S = 120.0
"""How long after its start a shelf looks again for files that the process before it still stored."""

_REST = 4.0  # times as long as a look takes, until the next one
_LONGEST = 1 << 16  # bytes of a record
_READERS = 16  # of names that a page of files needs
_FORMER = re.compile(r"([0-9a-f]{32})\.([a-z0-9]{1,5})")
_BLOB = re.compile(r"[0-9a-f]{64}")


class Shelf:
    """Stored files; safe for threads."""

    def __init__(self, home: Path, keeping: Keeping) -> None:
        """Find what is stored.

        Args:
            home: the data folder.
            keeping: where files are kept, and for how long.

        Raises:
            FleetError: the storage is none that can be used here.
            StorageError: it cannot be reached or written.

        """
        self.storage: Storage = storage(keeping.storage) if keeping.storage else Folder(home)
        self.records = Records(keeping.life_s, keeping.most)
        self._former = Folder(home)
        self._strays: dict[str, float] = {}
        self._begun = time.monotonic()
        self._next_look = 0.0
        self._looking = threading.Lock()
        self._look()
        self.records.add(*_former(home))

    @property
    def folder(self) -> Path:
        """The folder of this node from which files can be moved to the storage."""
        return (self.storage if isinstance(self.storage, Folder) else self._former).root

    def save(self, record: Record, run: str, put: Callable[[str], None]) -> None:
        """Have a record and its bytes.

        Args:
            record: of the file.
            run: the run that made it; empty for an upload.
            put: writes its bytes under a key; called where they are not there yet.

        Raises:
            FullError: there is no room for it.
            StorageError: the storage failed.

        """
        if self.records.full(record.size):
            self.expire()
        with self.storage.guard(record.digest):
            there = self._users(record.blob)
            with self.records.room(0 if self.records.uses(record.blob) else record.size):
                if not there:
                    put(record.blob)
                try:
                    self.storage.write(record.key, inside(record.name or "", run))
                except BaseException:
                    if not there:
                        self._strays[record.blob] = time.monotonic()
                    raise
                self.records.add(record)

    def _users(self, key: str) -> int:
        """How many records have the blob of that key, as far as can be told without a listing of all."""
        users = self.storage.users(key)
        return self.records.uses(key) if users is None else users

    def read(self, record: Record, start: int, end: int | None) -> bytes:
        """The bytes of a file from ``start`` to before ``end``.

        Raises:
            FileNotFoundError: it was removed meanwhile.
            StorageError: the storage failed.

        """
        last = record.size if end is None else min(end, record.size)
        if start >= last:
            return b""
        whole = start == 0 and last == record.size
        where = self.storage if record.digest else self._former
        return where.read(record.blob) if whole else where.read(record.blob, start, last)

    def drop(self, record: Record) -> None:
        """Drop a record, and its bytes where no other has them.

        Raises:
            StorageError: the storage failed.

        """
        if not record.digest:
            self._former.drop(record.blob)
            self.records.drop(record.id)
            return
        with self.storage.guard(record.digest):
            self.storage.drop(record.key)
            self.records.drop(record.id)
            if not self._users(record.blob):
                self.storage.drop(record.blob)

    def page(self, limit: int, after: str, newest: bool, owner: str | None) -> tuple[list[Stored], bool]:
        """See ``Records.page``; with the files' own names."""
        page, more = self.records.page(limit, after, newest, owner, time.time())
        unread = [record for record in page if record.name is None]
        if unread:
            with ThreadPoolExecutor(min(_READERS, len(unread))) as readers:
                list(readers.map(self._name, unread))
        return [self.told(record) for record in page], more

    def told(self, record: Record) -> Stored:
        """What is known of a file, with its own name."""
        if record.name is None:
            self._name(record)
        end = self.records.end(record)
        return Stored(
            artifact=record.artifact,
            name=record.name or "",
            digest=record.digest,
            created=record.created,
            expires=None if end == math.inf else end,
        )

    def _name(self, record: Record) -> None:
        with suppress(FileNotFoundError):  # removed meanwhile
            record.name = name_inside(self.storage.read(record.key, 0, _LONGEST))

    # Keeping order -------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Remove files whose time is over.

        Raises:
            StorageError: the storage failed.

        """
        for record in self.records.over(time.time()):
            self.drop(record)

    def tidy(self) -> None:
        """Drop what a crash left: bytes without a record, records without bytes, parts of files.

        Raises:
            StorageError: the storage failed.

        """
        for key, seen in list(self._strays.items()):
            if time.monotonic() - seen < self.storage.grace_s:
                continue
            with self.storage.guard(key.split("/")[1]):
                record = parse(key.rpartition("/")[2])
                if record is None and not self._users(key):
                    self.storage.drop(key)
                elif record is not None and self._is_there(record.blob):
                    self.records.add(record)  # its bytes were listed before they came
                elif record is not None:
                    self.storage.drop(key)
            self._strays.pop(key, None)

    def _is_there(self, key: str) -> bool:
        try:
            self.storage.read(key, 0, 1)
        except FileNotFoundError:
            return False
        return True

    def looked_again(self) -> bool:
        """Look again for files, where the process before this one may still have stored some.

        Returns:
            Whether it was done: not long after the start, and seldom enough that it costs little.

        """
        with self._looking:
            begun = time.monotonic()
            if begun - self._begun > OVERLAP_S or begun < self._next_look:
                return False
            self._look()
            ended = time.monotonic()
            self._next_look = ended + _REST * (ended - begun)
            return True

    def _look(self) -> None:
        """Take in what the storage holds; what is no whole file is a stray."""
        records, blobs, others = [], set(), []
        for key in self.storage.listed():
            name = key.rpartition("/")[2]
            if record := parse(name):
                records.append(record)
            elif _BLOB.fullmatch(name):
                blobs.add(key)
            else:
                others.append(key)
        whole = [record for record in records if record.blob in blobs]
        self.records.add(*whole)
        lost = (record.key for record in records if record.blob not in blobs)
        strays = (*(blobs - {record.blob for record in whole}), *lost, *others)
        self._strays = {key: self._strays.get(key, time.monotonic()) for key in strays}


def _former(home: Path) -> Iterable[Record]:
    """The files that release 0.1 stored, each under its own path."""
    for folder in (*FOLDERS.values(), "files"):
        for file in (home / folder).iterdir() if (home / folder).is_dir() else ():
            match = _FORMER.fullmatch(file.name)
            if match and kind_of(match[2]) != UNKNOWN:
                told = file.stat()
                record = Record(match[1], match[2], told.st_size, "", round(told.st_mtime, 3), name="")
                if record.path == f"/{folder}/{file.name}":
                    yield record
