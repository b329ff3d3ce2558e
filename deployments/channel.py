"""Messages between a replica and the process of its model: pickles whose arrays travel beside them.

A message is a head (how many parts, and the bytes of each), the pickle, and then the arrays as they lie in
memory, so that no picture is copied into a pickle first. What a model's process says is read with the types
of our own packages and of numpy alone: whatever else a model may hold never reaches the replica.
"""

import io
import pickle
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_HEAD = struct.Struct("!I")
_SIZE = struct.Struct("!Q")
_AT_ONCE = 1 << 20  # bytes asked of the socket at a time, and so parts joined before they are sent
_PARTS = 1 << 16
_LONGEST = 300  # characters of an error

_PLAIN = frozenset({"set", "frozenset", "complex", "bytearray", "range", "slice"})
_OURS = ("deployments.", "model_catalog.")
_ARRAYS = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
    }
)


class Closed(Exception):  # noqa: N818 - it is how a conversation ends, mostly
    """The other side is gone."""


class Channel:
    """One end of a conversation.

    Args:
        end: a connected stream socket, which is the channel's from now on.
        trusted: whether the other side may send objects of any type.

    """

    def __init__(self, end: socket.socket, *, trusted: bool) -> None:
        self._end = end
        self._trusted = trusted
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Send one message whole; any thread may.

        Raises:
            Closed: the other side is gone.
            Exception: the message cannot be pickled; nothing was sent.

        """
        arrays: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
        parts = [memoryview(pickled), *(array.raw() for array in arrays)]
        head = _HEAD.pack(len(parts)) + b"".join(_SIZE.pack(part.nbytes) for part in parts)
        with self._sending:
            try:
                if sum(part.nbytes for part in parts) <= _AT_ONCE:
                    self._end.sendall(b"".join([head, *parts]))
                    return
                self._end.sendall(head)
                for part in parts:
                    self._end.sendall(part)
            except OSError as error:
                raise Closed from error

    def receive(self) -> Any:
        """The next message; waits for it.

        Raises:
            Closed: the other side is gone.
            pickle.UnpicklingError: it holds what is not taken from there, or cannot be read.

        """
        (count,) = _HEAD.unpack(self._exactly(_HEAD.size))
        if not 0 < count < _PARTS:
            raise Closed
        sizes = _SIZE.iter_unpack(self._exactly(count * _SIZE.size))
        pickled, *arrays = [self._exactly(size) for (size,) in sizes]
        try:
            return _load(pickled, arrays, self._trusted)
        except pickle.UnpicklingError:
            raise
        except Exception as error:  # a name that is not there, arguments that do not fit, and whatever else
            told = f"it cannot be read ({type(error).__name__}: {error})"[:_LONGEST]
            raise pickle.UnpicklingError(told) from error

    def close(self) -> None:
        """End the conversation; whoever waits for a message on either side is told so."""
        with suppress(OSError):  # the other side was first
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _exactly(self, size: int) -> bytearray:
        taken = bytearray(size)
        rest = memoryview(taken)
        while rest.nbytes:
            try:
                got = self._end.recv_into(rest, min(rest.nbytes, _AT_ONCE))
            except OSError as error:
                raise Closed from error
            if not got:
                raise Closed
            rest = rest[got:]
        return taken


def _load(pickled: bytearray, arrays: Sequence[bytearray], trusted: bool) -> Any:
    if trusted:
        return pickle.loads(pickled, buffers=arrays)  # noqa: S301 - of the replica that made this process
    return _Reader(io.BytesIO(pickled), buffers=arrays).load()


class _Reader(pickle.Unpickler):
    """Reads values, and no types but ours and those of arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith(_OURS) and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        elif (module, name) in _ARRAYS or (module == "builtins" and name in _PLAIN):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not taken from a model's process.")
