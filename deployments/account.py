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
