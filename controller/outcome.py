"""Outcomes: the small, JSON-able account of each task of a run."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployments.account import Artifact

__all__ = ["Artifact", "Attempt", "Choice", "Failure", "Link", "Outcome", "Status", "Timings"]


class Status(StrEnum):
    """How a task ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Failure(BaseModel):
    """Why something failed: a code for programs, a sentence for people that says what to do.

    ``wait_s`` is after how many seconds it may be tried again, where that is known.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    wait_s: float | None = None


class Attempt(BaseModel):
    """One try of a task on one model; ``failure`` is None where it succeeded."""

    model_config = ConfigDict(frozen=True)

    model: str
    seconds: float
    failure: Failure | None = None


class Choice(BaseModel):
    """The model taken for a task, why, and the candidates it beat."""

    model_config = ConfigDict(frozen=True)

    model: str
    reason: str
    candidates: tuple[str, ...] = ()


class Timings(BaseModel):
    """Seconds since the epoch: the dispatch, the model's begin and end, and when the outcome was known."""

    model_config = ConfigDict(frozen=True)

    dispatched: float
    started: float | None = None
    finished: float | None = None
    settled: float


class Link(BaseModel):
    """A web link that a task was given, and what stands for it.

    Attributes:
        argument: the argument that named it.
        url: the link, as it was written.
        source: where the file came from, after all redirects.
        path: the stored file that the task works on; of a page its readable text.
        title: of a page.
        cut: whether the text is the beginning of a longer one.

    """

    model_config = ConfigDict(frozen=True)

    argument: str
    url: str
    source: str
    path: str
    title: str = ""
    cut: bool = False


class Outcome(BaseModel):
    """The account of one task."""

    model_config = ConfigDict(frozen=True)

    id: int
    task: str
    args: dict[str, str] = Field(default_factory=dict)
    links: tuple[Link, ...] = ()
    status: Status
    text: str | None = None
    data: Any = None
    artifacts: tuple[Artifact, ...] = ()
    choice: Choice | None = None
    attempts: tuple[Attempt, ...] = ()
    timings: Timings | None = None
    error: Failure | None = None
