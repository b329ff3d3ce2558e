"""Where the bytes of files lie: a folder of this node, or any storage that fsspec knows.

Keys are paths such as ``blobs/1f/1f3a…``. Whoever writes or drops a blob or its records holds its ``guard``.
"""

import errno
import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from deployments.errors import FleetError, FullError, StorageError

logger = logging.getLogger("ray.serve")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_LOCAL = frozenset({"file", "local"})
_STRIPES = 256


@dataclass(frozen=True, slots=True)
class Keeping:
    """How files are kept.

    Attributes:
        storage: where: a folder or a URL of fsspec; None for the data folder.
        life_s: how long, in seconds; 0 for ever.
        most: the most bytes of all of them together.

    """

    storage: str | None = None
    life_s: float = 0.0
    most: int = 1 << 62


class Storage(Protocol):
    """Bytes under keys.

    What is not there is told by a ``FileNotFoundError``, all else that fails by a ``StorageError``.
    """

    place: str
    """Where it is, for people."""
    grace_s: float
    """How long a blob without a record may belong to another process that is just storing it."""

    def guard(self, digest: str) -> Any:
        """Hold a digest's blob and records against all others that would write or drop them."""
        ...

    def listed(self) -> Iterator[str]:
        """Every key under ``blobs``."""
        ...

    def users(self, key: str) -> int | None:
        """How many records lie beside a blob, 0 without the blob; None where that takes a listing of all."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Write an object; it outlasts a loss of power then. A crash in between may leave a part."""
        ...

    def move(self, part: Path, key: str) -> None:
        """The same with a file of this node, which is gone then."""
        ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of an object, or of a range of it."""
        ...

    def drop(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        ...


def storage(place: str) -> Storage:
    """The storage at a folder or a URL of fsspec.

    Raises:
        FleetError: a package for it is missing, or its protocol is none that fsspec knows.
        StorageError: it cannot be written.

    """
    vet(place)
    protocol, _, rest = place.partition("://")
    if not rest:
        return Folder(Path(place))
    if protocol in _LOCAL:
        return Folder(Path(rest))
    return Bucket(place)


def vet(place: str) -> None:
    """Check that a storage's protocol is known here; nothing is reached for it.

    Raises:
        FleetError: it is not, or its package is missing.

    """
    protocol, _, rest = place.partition("://")
    if not rest:
        return
    registry: Any = import_module("fsspec.registry")  # it has no types
    try:
        registry.get_filesystem_class(protocol)
    except ValueError:
        raise FleetError(f"Files cannot be stored at {protocol}://: fsspec knows no such protocol.") from None
    except ImportError as error:
        raise FleetError(f"Files cannot be stored at {protocol}://: {error}.") from None


class Folder:
    """A folder of this node, which other processes of this node may use too."""

    grace_s = 0.0

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = str(root)
        self._locks = [threading.Lock() for _ in range(_STRIPES)]
        (root / "blobs").mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def guard(self, digest: str) -> Iterator[None]:
        """See ``Storage``; other processes are held back by a lock on the blob's folder."""
        shard = self.root / "blobs" / digest[:2]
        with self._locks[int(digest[:2], 16)]:
            shard.mkdir(exist_ok=True, mode=0o700)
            number = os.open(shard, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with suppress(OSError):  # some network file systems lock no folders
                    fcntl.flock(number, fcntl.LOCK_EX)
                yield
            finally:
                os.close(number)

    def listed(self) -> Iterator[str]:
        """See ``Storage``."""
        with os.scandir(self.root / "blobs") as shards:
            for shard in shards:
                with os.scandir(shard) as files:
                    yield from (f"blobs/{shard.name}/{file.name}" for file in files)

    def users(self, key: str) -> int | None:
        """See ``Storage``."""
        path = self.root / key
        if not path.exists():
            return 0
        with os.scandir(path.parent) as files:
            return sum(file.name.startswith(f"{path.name}.") for file in files)

    def write(self, key: str, data: bytes) -> None:
        """See ``Storage``."""
        path = self.root / key
        with _telling(self.place):
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                with os.fdopen(number, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(number)
            except OSError:
                path.unlink(missing_ok=True)
                raise

    def move(self, part: Path, key: str) -> None:
        """See ``Storage``."""
        with _telling(self.place):
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.replace(self.root / key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """See ``Storage``."""
        with _telling(self.place), (self.root / key).open("rb") as stream:
            stream.seek(start)
            return stream.read() if end is None else stream.read(max(0, end - start))

    def drop(self, key: str) -> None:
        """See ``Storage``."""
        with _telling(self.place):
            (self.root / key).unlink(missing_ok=True)


class Bucket:
    """A storage of fsspec that this server alone writes to."""

    grace_s = 3600.0

    def __init__(self, place: str) -> None:
        """Reach it once, so that what is wrong with it shows at the start."""
        fsspec: Any = import_module("fsspec.core")  # it has no types
        self.place = place
        self._locks = [threading.Lock() for _ in range(_STRIPES)]
        with _telling(place):
            self._files, base = fsspec.url_to_fs(place, skip_instance_cache=True, use_listings_cache=False)
        self._base = base.rstrip("/")
        with _telling(place):
            bucket = self._base.partition("/")[0]
            if bucket and not self._files.exists(bucket):
                raise StorageError(f"There is no {bucket!r} to store files in ({place}); create it first.")
        probe = f"probe-{secrets.token_hex(8)}"
        self.write(probe, b"")
        self.drop(probe)

    @contextmanager
    def guard(self, digest: str) -> Iterator[None]:
        """See ``Storage``."""
        with self._locks[int(digest[:2], 16)]:
            yield

    def listed(self) -> Iterator[str]:
        """See ``Storage``."""
        with _telling(self.place):
            for path in self._files.find(self._path("blobs")):
                yield str(path)[str(path).rindex("/blobs/") + 1 :]

    def users(self, key: str) -> int | None:
        """See ``Storage``."""
        return None

    def write(self, key: str, data: bytes) -> None:
        """See ``Storage``."""
        self._made(key, lambda path: self._files.pipe_file(path, data))

    def move(self, part: Path, key: str) -> None:
        """See ``Storage``."""
        self._made(key, lambda path: self._files.put_file(str(part), path))
        part.unlink(missing_ok=True)

    def _made(self, key: str, write: Any) -> None:
        path = self._path(key)
        with _telling(self.place, absent=False):
            try:
                write(path)
            except FileNotFoundError:  # of storages with folders, the first file of one
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                write(path)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """See ``Storage``."""
        whole = start == 0 and end is None
        with _telling(self.place):
            path = self._path(key)
            data = self._files.cat_file(path) if whole else self._files.cat_file(path, start=start, end=end)
        return bytes(data)

    def drop(self, key: str) -> None:
        """See ``Storage``."""
        with suppress(FileNotFoundError), _telling(self.place):
            self._files.rm_file(self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}"


@contextmanager
def _telling(place: str, absent: bool = True) -> Iterator[None]:
    """Errors of a storage as ours; ``absent`` lets through what says that there is no such object."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if absent and isinstance(error, FileNotFoundError):
            raise
        logger.warning("storage %s: %s: %s", place, type(error).__name__, error)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise FullError("The disk that holds the files is full; the operator must make room.") from None
        raise StorageError(
            f"The storage of files failed ({type(error).__name__}); try again soon. The log of the "
            "artifact deployment has the details."
        ) from None
