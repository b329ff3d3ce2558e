"""What goes into the history and comes out of it; small values that travel between processes.

Times are seconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RUNNING = "running"
"""A run's state until its end is written."""

INTERRUPTED = "interrupted"
"""The state of a run whose ingress ended before it."""

DONE = "done"
"""The state of a run that has an answer."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that begins; the attributes are those of ``tables.Run``.

    Attributes:
        said: the person's new message, where the run is part of a conversation; ``files`` came with it.

    """

    id: str
    owner: str
    instance: str
    door: str
    words: str
    request: Mapping[str, Any]
    created: float
    background: bool = False
    conversation: str | None = None
    said: str = ""
    files: tuple[str, ...] = ()
    repeats: str | None = None
    key: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """An event of a run."""

    run: str
    number: int
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Tasked:
    """What is newly known of a task of a run; None says nothing."""

    run: str
    id: int
    task: str
    status: str | None = None
    model: str | None = None
    wire: Mapping[str, Any] | None = None
    choice: Mapping[str, Any] | None = None
    outcome: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a task of a run made."""

    run: str
    path: str
    task: int
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    run: str
    state: str
    ended: float
    plan: Sequence[Any] | None = None
    answer: str = ""
    error: str | None = None


Record = Begun | Step | Tasked | Made | Ended
"""Anything that is written of a run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A run as the history has it; see ``tables.Run``."""

    id: str
    owner: str
    door: str
    state: str
    background: bool
    words: str
    request: Mapping[str, Any]
    created: float
    ended: float | None
    conversation: str | None
    repeats: str | None
    digest: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    id: str
    role: str
    content: str
    created: float
    files: tuple[str, ...] = ()
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation without its messages."""

    id: str
    owner: str
    created: float
    notes: Mapping[str, str] = field(default_factory=dict)


def run_of(record: Record) -> str:
    """The id of the run that a record is about."""
    return record.id if isinstance(record, Begun) else record.run
