"""Short notes of JSON between processes of one machine and one user, which may carry open files."""

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

_HEAD = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")
_MOST_FILES = 8
_LONGEST = 16 << 20


def send(end: socket.socket, note: dict[str, Any], files: Sequence[int] = ()) -> None:
    """Send a note; the other side gets open files of its own for ``files``.

    Raises:
        OSError: the other side is gone.

    """
    written = json.dumps(note).encode()
    socket.send_fds(end, [_HEAD.pack(len(written))], files)
    end.sendall(written)


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next note and the files that came with it.

    Raises:
        EOFError: the other side is gone.
        OSError: likewise, or it says nothing within the socket's time limit.
        ValueError: it sent what is no note.

    """
    head, files, *_ = socket.recv_fds(end, _HEAD.size, _MOST_FILES)
    try:
        if not head:
            raise EOFError
        (size,) = _HEAD.unpack(head + _exactly(end, _HEAD.size - len(head)))
        if size > _LONGEST:
            raise ValueError("the note is too long")
        note = json.loads(_exactly(end, size))
        if not isinstance(note, dict):
            raise ValueError("it is no note")
    except BaseException:
        for file in files:
            os.close(file)
        raise
    return note, files


def is_own(end: socket.socket) -> bool:
    """Whether the process on the other side belongs to the same user."""
    found = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(found)
    return bool(uid == os.getuid())


def _exactly(end: socket.socket, size: int) -> bytes:
    taken = b""
    while len(taken) < size:
        got = end.recv(size - len(taken))
        if not got:
            raise EOFError
        taken += got
    return taken
