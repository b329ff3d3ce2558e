"""The small account of a result: what the controller and the doors see of it."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from deployments.result import Result
from model_catalog.tasks import Modality


class Artifact(BaseModel):
    """A stored file: its URL path on this server, what it holds, and its size in bytes."""

    model_config = ConfigDict(frozen=True)

    path: str
    modality: Modality
    media_type: str
    size: int


class Stored(BaseModel):
    """What the store knows of a file.

    Attributes:
        artifact: the file as runs and doors know it.
        name: its own name, as its client gave it; empty where it has none.
        digest: SHA-256 of its bytes; empty for files that were stored by release 0.1.
        created: when it was stored, seconds since the epoch.
        expires: when it is removed; None for never.

    """

    model_config = ConfigDict(frozen=True)

    artifact: Artifact
    name: str = ""
    digest: str = ""
    created: float = 0.0
    expires: float | None = None


class Account(BaseModel):
    """A result without its pixels and samples.

    Attributes:
        text: the result in words.
        data: the result as JSON.
        artifacts: the files it was stored as.
        model: id of the model that made it.
        started: when the model began, seconds since the epoch.
        finished: when the model ended.

    """

    model_config = ConfigDict(frozen=True)

    text: str | None = None
    data: Any = None
    artifacts: tuple[Artifact, ...] = ()
    model: str = ""
    started: float = 0.0
    finished: float = 0.0

    @classmethod
    def of(cls, result: Result, artifacts: tuple[Artifact, ...] = ()) -> "Account":
        """The account of ``result``, whose media were stored as ``artifacts``."""
        return cls.model_construct(
            text=result.text,
            data=result.data,
            artifacts=artifacts,
            model=result.model,
            started=result.started,
            finished=result.finished,
        )
