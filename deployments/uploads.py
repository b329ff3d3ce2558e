"""Uploads under way: their bytes so far, in a folder of this node and this process."""

import fcntl
import hashlib
import os
import secrets
import shutil
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.decode import check
from deployments.errors import MediaError, TooLargeError
from deployments.media import File, Limits, media_type, modality_of
from model_catalog.tasks import Modality

UPLOAD_S = 900.0
"""How long an upload may rest between two pieces; whoever began it has gone away then."""


@dataclass(slots=True)
class Upload:
    """The bytes that have come so far, in seconds of a monotonic clock when the last of them did."""

    part: Path
    size: int = 0
    touched: float = field(default_factory=time.monotonic)
    digest: Any = field(default_factory=hashlib.sha256)

    def rests(self) -> bool:
        """Whether nobody will come back to it."""
        return time.monotonic() - self.touched > UPLOAD_S

    def write(self, data: bytes) -> None:
        """Add bytes to the part, which blocks.

        Raises:
            FileNotFoundError: it was given up meanwhile; it is not made anew.

        """
        with self.part.open("r+b") as stream:
            stream.seek(0, os.SEEK_END)
            stream.write(data)
        self.digest.update(data)

    def drop(self) -> None:
        """Remove the part."""
        self.part.unlink(missing_ok=True)


class Uploads:
    """Uploads by their tickets; a folder that a process left behind is removed by the next one."""

    def __init__(self, folder: Path) -> None:
        """Take a folder of one's own in ``folder``; it is locked while this process lives."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _lock(folder):  # nobody takes a folder that is just being made for one that was left
            for left in folder.iterdir():
                if not left.is_dir():  # of release 0.1
                    left.unlink(missing_ok=True)
                elif not _locked(left):
                    shutil.rmtree(left, ignore_errors=True)
            self._folder = folder / secrets.token_hex(8)
            self._folder.mkdir(mode=0o700)
            held = ExitStack()
            held.enter_context(_lock(self._folder))
        self._open: dict[str, Upload] = {}
        weakref.finalize(self, _leave, self._folder, held, os.getpid())

    def __len__(self) -> int:
        return len(self._open)

    @property
    def size(self) -> int:
        """Bytes of all uploads under way."""
        return sum(upload.size for upload in self._open.values())

    def begin(self) -> tuple[str, Upload]:
        """A new upload and its ticket; its part is to be made."""
        ticket = secrets.token_hex(16)
        self._open[ticket] = Upload(self._folder / ticket)
        return ticket, self._open[ticket]

    def get(self, ticket: str) -> Upload | None:
        """The upload of a ticket."""
        return self._open.get(ticket)

    def take(self, ticket: str) -> Upload | None:
        """The upload of a ticket, which is known no more."""
        return self._open.pop(ticket, None)

    def resting(self) -> list[str]:
        """The tickets of uploads that nobody will come back to."""
        return [ticket for ticket, upload in self._open.items() if upload.rests()]


@contextmanager
def _lock(folder: Path, flags: int = fcntl.LOCK_EX) -> Iterator[None]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, flags)
        yield
    finally:
        os.close(number)


def _locked(folder: Path) -> bool:
    """Whether a process lives whose folder it is."""
    try:
        with _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


def _leave(folder: Path, held: ExitStack, process: int) -> None:
    if os.getpid() == process:  # and not one that was forked from it
        shutil.rmtree(folder, ignore_errors=True)
    held.close()


# What is taken -----------------------------------------------------------------------------------------

_CLAIMS = {
    Modality.IMAGE: frozenset({"png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"}),
    Modality.AUDIO: frozenset({"wav", "flac", "ogg", "mp3"}),
    Modality.VIDEO: frozenset({"mp4", "mov", "webm", "mkv", "avi"}),
}


_PLAYED = frozenset({Modality.AUDIO, Modality.VIDEO})
"""Modalities that one container may hold: recorders put sound into films' containers, named as sound."""


def accepted(data: bytes, name: str, limits: Limits) -> File:
    """A client's file, whose bytes say what it is.

    Args:
        data: its bytes.
        name: its name, whose ending must not promise something else.
        limits: what it may be.

    Raises:
        MediaError: it is empty, of a kind that is not taken, broken, or over a limit.

    """
    if not data:
        raise MediaError("The file is empty; send one that holds something.")
    file = File(data, media_type(data, name))
    claimed = _claimed(name)
    found = modality_of(file.media_type)
    if claimed is not None and claimed is not found and not {claimed, found} <= _PLAYED:
        raise MediaError(f"{_shown(name)} is no {claimed} file; send a file that is what its name says.")
    check(file, limits)
    return file


def too_large(limits: Limits) -> TooLargeError:
    """What is told of a file with too many bytes."""
    return TooLargeError(f"The file is over {limits.max_bytes >> 20} MiB; send a smaller one.")


def _claimed(name: str) -> Modality | None:
    """The modality that a file's name promises."""
    suffix = name.rpartition(".")[2].lower()
    return next((modality for modality, suffixes in _CLAIMS.items() if suffix in suffixes), None)


def _shown(name: str) -> str:
    """A client's file name, fit to be shown."""
    return repr(name[-80:])
