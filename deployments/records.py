"""What is stored: a record of each file, and the index of all records.

A record's name in the storage holds every fact that is needed to find, list, own and expire its file, so that
one listing of the storage is the whole index. What it holds inside, the file's own name and its run, is read
when it is asked for.
"""

import bisect
import hashlib
import json
import math
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deployments.account import Artifact
from deployments.errors import FullError
from deployments.media import extension, kind_of, modality_of
from model_catalog.tasks import Modality

FOLDERS = {Modality.IMAGE: "images", Modality.AUDIO: "audios", Modality.VIDEO: "videos"}
"""The first part of a file's path; all other modalities lie in ``files``."""

_NAME = re.compile(
    r"([0-9a-f]{64})\.([0-9a-f]{32})\.([a-z0-9]{1,5})\.([0-9a-f]{1,12})\.([0-9a-f]{1,12})\.([0-9a-f]{1,12})"
    r"\.([0-9a-f]{16}|0)\.([01])"
)
_LONGEST_NAME = 255  # bytes of a file's own name


def owned(owner: str) -> str:
    """An owner as records name them, 64 bits of a hash; ``0`` for the operator."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16] if owner else "0"


def named(name: str) -> str:
    """A client's file name without folders, control and formatting characters; the ending of a long one."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in bare if character.isprintable()).strip()
    return shown.encode(errors="ignore")[-_LONGEST_NAME:].decode(errors="ignore")


@dataclass(slots=True)
class Record:
    """A stored file.

    Attributes:
        id: 32 hexadecimal digits that nobody can guess.
        ending: of its path, such as ``png``; it tells the media type.
        size: in bytes.
        digest: SHA-256 of its bytes, where those lie; empty for a file of the layout of release 0.1.
        created: when it was stored, seconds since the epoch.
        until: when it is to be removed, whatever the usual lifetime; 0 where only that counts.
        owner: whose it is, as ``owned`` writes it.
        name: its own name, empty where it has none; None where it was not read yet.

    """

    id: str
    ending: str
    size: int
    digest: str
    created: float
    until: float = 0.0
    owner: str = "0"
    name: str | None = None

    @property
    def artifact(self) -> Artifact:
        """The file as runs and doors know it."""
        kind = kind_of(self.ending)
        return Artifact(path=self.path, modality=modality_of(kind), media_type=kind, size=self.size)

    @property
    def path(self) -> str:
        """Its path in URLs."""
        folder = FOLDERS.get(modality_of(kind_of(self.ending)), "files")
        return f"/{folder}/{self.id}.{self.ending}"

    @property
    def blob(self) -> str:
        """The key of its bytes."""
        return blob(self.digest) if self.digest else self.path[1:]

    @property
    def key(self) -> str:
        """The key of the record itself; it says all but the file's own name and run."""
        created, until = round(self.created * 1000), math.ceil(self.until)
        facts = f"{self.size:x}.{created:x}.{until:x}.{self.owner}.{self.name != '':d}"
        return f"{blob(self.digest)}.{self.id}.{self.ending}.{facts}"


def new(kind: str, size: int, digest: str, owner: str, name: str, life_s: float | None = None) -> Record:
    """The record of a file that is stored now.

    Args:
        kind: its media type.
        size: in bytes.
        digest: SHA-256 of its bytes.
        owner: whose it is; empty for the operator.
        name: its own name; empty for none.
        life_s: after how many seconds it is to be removed at the latest; None for the usual time.

    """
    now = round(time.time(), 3)
    return Record(
        id=secrets.token_hex(16),
        ending=extension(kind),
        size=size,
        digest=digest,
        created=now,
        until=0.0 if life_s is None else float(math.ceil(now + life_s)),
        owner=owned(owner),
        name=name,
    )


def blob(digest: str) -> str:
    """The key under which bytes of that SHA-256 lie."""
    return f"blobs/{digest[:2]}/{digest}"


def parse(name: str) -> Record | None:
    """The record of that name; None for what is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    digest, number, ending, size, created, until, owner, has_name = match.groups()
    return Record(
        id=number,
        ending=ending,
        size=int(size, 16),
        digest=digest,
        created=int(created, 16) / 1000,
        until=float(int(until, 16)),
        owner=owner,
        name=None if has_name == "1" else "",
    )


def inside(name: str, run: str) -> bytes:
    """What a record holds: the file's own name, and the run that made it."""
    told = {key: value for key, value in (("name", name), ("run", run)) if value}
    return json.dumps(told, ensure_ascii=False).encode()


def name_inside(data: bytes) -> str:
    """The file's own name that a record holds; empty where the record is damaged."""
    try:
        found = json.loads(data).get("name", "")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


class Records:
    """The index of all stored files; safe for threads."""

    def __init__(self, life_s: float, most: int) -> None:
        """Begin with none.

        Args:
            life_s: how long a file is kept, in seconds; 0 for ever.
            most: the most bytes of all files together, the same bytes counted once.

        """
        self._life_s = life_s
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[str, Record] = {}
        self._order: list[tuple[float, str]] = []  # by time
        self._users: dict[str, int] = {}  # how many records each blob has
        self._ending: dict[str, float] = {}  # those with a time of their own
        self._total = 0
        self._coming = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def total(self) -> int:
        """Bytes of all files, the same bytes counted once."""
        return self._total

    def get(self, number: str) -> Record | None:
        """The record of that id."""
        return self._known.get(number)

    def uses(self, key: str) -> int:
        """How many records have the blob of that key."""
        return self._users.get(key, 0)

    def add(self, *records: Record) -> None:
        """Take records in; those that are known already stay as they are."""
        with self._lock:
            new = [record for record in records if record.id not in self._known]
            for record in new:
                self._known[record.id] = record
                self._users[record.blob] = self._users.get(record.blob, 0) + 1
                self._total += record.size if self._users[record.blob] == 1 else 0
                if record.until:
                    self._ending[record.id] = record.until
            places = [(record.created, record.id) for record in new]
            if len(places) > 1:
                self._order = sorted([*self._order, *places])
            elif places:
                bisect.insort(self._order, places[0])

    def drop(self, number: str) -> None:
        """Forget a record; one that is unknown is forgotten already."""
        with self._lock:
            record = self._known.pop(number, None)
            if record is None:
                return
            del self._order[bisect.bisect_left(self._order, (record.created, record.id))]
            self._ending.pop(number, None)
            self._users[record.blob] -= 1
            if not self._users[record.blob]:
                del self._users[record.blob]
                self._total -= record.size

    def end(self, record: Record) -> float:
        """When a file is removed, in seconds since the epoch; infinite where it never is.

        Files of the former layout, which knew no lifetimes, have none.
        """
        usual = record.created + self._life_s if self._life_s and record.digest else math.inf
        return min(usual, record.until or math.inf)

    def over(self, now: float) -> list[Record]:
        """The files whose time is over."""
        with self._lock:
            found = [self._known[number] for number, until in self._ending.items() if until <= now]
            if self._life_s:
                count = bisect.bisect_right(self._order, (now - self._life_s, "g"))
                oldest = (self._known[number] for _, number in self._order[:count])
                found += [record for record in oldest if record.digest and not 0 < record.until <= now]
            return found

    def page(
        self, limit: int, after: str, newest: bool, owner: str | None, now: float
    ) -> tuple[list[Record], bool]:
        """Files in the order of their times, and whether there are more.

        Args:
            limit: the most files.
            after: the id of the file they come after; empty, or unknown, for the first ones.
            newest: whether the newest comes first.
            owner: whose, as ``owned`` writes it; None for everybody's.
            now: the time; what should be gone by then is left out.

        """
        with self._lock:
            begin, step = (len(self._order) - 1, -1) if newest else (0, 1)
            if last := self._known.get(after):
                begin = bisect.bisect_left(self._order, (last.created, last.id)) + step
            found: list[Record] = []
            for place in range(begin, -1 if newest else len(self._order), step):
                record = self._known[self._order[place][1]]
                if (owner is None or record.owner == owner) and self.end(record) > now:
                    found.append(record)
                if len(found) > limit:
                    break
            return found[:limit], len(found) > limit

    def full(self, size: int) -> bool:
        """Whether so many bytes more are too many."""
        return self._total + self._coming + size > self._most

    def check(self, size: int) -> None:
        """Check that there is room for so many bytes more.

        Raises:
            FullError: there is none.

        """
        if self.full(size):
            raise FullError(
                f"The files stored here would be over {_amount(self._most)} together (artifact_bytes); "
                "remove some with DELETE /v1/files/{file}, or have the operator allow more."
            )

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Room for so many bytes, until they are counted among the files.

        Raises:
            FullError: there is none.

        """
        with self._lock:
            self.check(size)
            self._coming += size
        try:
            yield
        finally:
            with self._lock:
                self._coming -= size


def _amount(size: int) -> str:
    return f"{size >> 30} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"
