"""The process of a model, as its replica sees it: begun, talked to, ended."""

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from deployments import notes, zygote
from deployments.channel import Channel

logger = logging.getLogger("ray.serve")

MODULE = "deployments.child"
"""Whose ``main`` a model's process runs."""

_TELLING_S = 2.0


class Process:
    """A process for one model, forked from the zygote, or started by itself where there is none.

    Attributes:
        channel: the conversation with it.
        pid: its number.
        forked: whether it came from the zygote, with the libraries imported.

    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours, trusted=False)
        self._birth: zygote.Birth | None = None
        self._started: subprocess.Popen[bytes] | None = None
        self._line = threading.Lock()
        with theirs:
            try:
                self._birth = zygote.fork(MODULE, [theirs.fileno(), 1, 2])
                self.pid = self._birth.pid
            except zygote.Unavailable as error:
                logger.warning("the model's process imports its libraries itself: the zygote: %s", error)
                self._started = _started(theirs.fileno())
                self.pid = self._started.pid
        self.forked = self._birth is not None

    def hold(self, weights: Sequence[str], budget: int | None) -> None:
        """Have its weights kept in the node's RAM when it has ended; see ``ram``.

        Args:
            weights: the files.
            budget: the most bytes to hold in all; None for the default.

        """
        if self._birth is not None and weights:
            with self._line, suppress(OSError, EOFError, ValueError):  # it is no failure to have none held
                notes.send(self._birth.line, {"do": "hold", "files": list(weights), "budget": budget})

    def ended(self) -> str:
        """How it ended, for people; waits a moment to be told."""
        status = self._status()
        if status is None:
            return "has ended"
        if status == -9:
            return "was killed, as where memory is short (signal 9)"
        return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"

    def close(self) -> None:
        """End it, if it has not: it does so when its channel is closed."""
        self.channel.close()
        if self._birth is not None:
            self._birth.line.close()
        if self._started is not None:
            with suppress(subprocess.TimeoutExpired):
                self._started.wait(_TELLING_S)

    def _status(self) -> int | None:
        if self._started is not None:
            with suppress(subprocess.TimeoutExpired):
                return self._started.wait(_TELLING_S)
        if self._birth is not None:
            line = self._birth.line
            with self._line, suppress(OSError, EOFError, ValueError):
                line.settimeout(_TELLING_S)
                while True:  # answers of other kinds come first
                    answer, _ = notes.receive(line)
                    if "status" in answer:
                        return int(answer["status"])
        return None


def _started(channel: int) -> subprocess.Popen[bytes]:
    """The process without a zygote."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", MODULE, str(channel)],
        pass_fds=[channel],
        env=zygote.surroundings() | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
