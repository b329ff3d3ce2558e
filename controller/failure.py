"""What a failed call means: in words for the outcome, and for what is tried next."""

import math
from collections.abc import Iterator

from ray.exceptions import ObjectLostError, RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from controller.errors import LimitError, OverloadedError, TaskError
from controller.outcome import Failure
from deployments.errors import BusyError
from model_catalog.errors import HuggingGPTError

GONE = frozenset({"replica_died", "unavailable", "deadline"})
"""Codes of failures after which an expert may be gone."""

_LOST = (RayActorError, ObjectLostError, ReplicaUnavailableError)

_STATUS = {"busy": 429, "replica_died": 503, "unavailable": 503, "input_lost": 503, "cancelled": 499}
"""The HTTP status of failures that are no errors of this project's own."""

_PATIENCE_S = {
    "busy": 2,
    "replica_died": 5,
    "unavailable": 10,
    "no_expert": 10,
    "input_lost": 2,
    "store": 5,
    "history": 5,
    "keys": 5,
    "key_limit": 2,
    "too_many_runs": 2,
    "overloaded": 1,
}
"""Failures after which the same request may succeed, and after how many seconds it is worth a try."""


def root(error: BaseException) -> BaseException:
    """The exception at the bottom: Ray and Serve wrap what happened in another process."""
    for _ in range(10):
        inner = error.cause if isinstance(error, RayTaskError) else error.__cause__
        wraps = isinstance(error, RayTaskError | RayServeException)
        if not wraps or not isinstance(inner, BaseException) or inner is error:
            return error
        error = inner
    return error


def lost(error: BaseException) -> bool:
    """Whether a replica or node died under the call, so that the same expert may be tried again."""
    return isinstance(root(error), _LOST)


def gone(error: BaseException) -> bool:
    """Whether an object was lost with its node, so that what made it must be called again."""
    return isinstance(root(error), ObjectLostError)


def failure(error: BaseException) -> Failure:
    """The failure in words; Ray's own texts, which are long and hold paths, are not passed on."""
    cause = root(error)
    if isinstance(cause, HuggingGPTError):
        wait_s = (
            cause.wait_s if isinstance(cause, BusyError | LimitError | OverloadedError | TaskError) else None
        )
        return Failure(code=cause.code, message=cause.message, wait_s=wait_s)
    if isinstance(cause, ObjectLostError):
        return Failure(code="input_lost", message="A result that this task needs died with its node.")
    if isinstance(cause, _LOST):
        return Failure(code="replica_died", message="The model's replica died while it worked on this task.")
    if isinstance(cause, BackPressureError):
        return Failure(code="busy", message="The model has too many calls waiting; try again soon.")
    if isinstance(cause, DeploymentUnavailableError):
        return Failure(
            code="unavailable", message="The model's deployment is not available; see hugginggpt ps."
        )
    if isinstance(cause, TaskCancelledError | RequestCancelledError):
        return Failure(code="cancelled", message="The call was cancelled.")
    return Failure(
        code="internal",
        message=f"An unexpected {type(cause).__name__}; the replica's log has the details.",
    )


def status(code: str) -> int:
    """The HTTP status that fits a failure."""
    if code in _STATUS:
        return _STATUS[code]
    return next((kind.status for kind in _kinds(HuggingGPTError) if kind.code == code), 500)


def patience(error: BaseException) -> dict[str, str]:
    """The header that says when to try again, where that may help."""
    told = failure(error)
    if told.code not in _PATIENCE_S:
        return {}
    return {"retry-after": str(max(1, math.ceil(told.wait_s or _PATIENCE_S[told.code])))}


def _kinds(kind: type[HuggingGPTError]) -> Iterator[type[HuggingGPTError]]:
    """An error and all that are of its kind."""
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)
