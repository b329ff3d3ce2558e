"""What failures of Ray and Serve mean: unwrapped, in our words, and whether another try makes sense."""

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ObjectLostError,
    OwnerDiedError,
    RayTaskError,
    TaskCancelledError,
)
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from controller.errors import DeadlineError, NoExpertError
from controller.failure import failure, gone, lost, root
from deployments.errors import ExpertError, InputError, NotFoundError
from tests.support.fakes import wrapped

OBJECT = ("ab" * 14, b"", "")


def _deep(error: Exception, depth: int) -> Exception:
    """An exception that crossed so many processes."""
    for _ in range(depth):
        error = RayTaskError("f", "traceback with /a/path", error)
    return error


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_the_cause_is_found_under_all_wrappings(depth: int) -> None:
    cause = InputError("not this")
    assert root(_deep(cause, depth)) is cause
    assert root(wrapped(cause)) is cause
    assert failure(_deep(cause, depth)).model_dump(exclude_none=True) == {
        "code": "invalid_input",
        "message": "not this",
    }


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_what_serve_raises_from_something_is_that() -> None:
    cause = NotFoundError("gone")
    assert root(_caused(RayServeException("wrapped"), cause)) is cause


def test_an_error_of_ours_is_not_looked_into() -> None:
    outer = _caused(ExpertError("outer"), KeyError("inner"))
    assert root(outer) is outer


def test_a_ring_of_causes_ends() -> None:
    first, second = RayServeException("a"), RayServeException("b")
    first.__cause__, second.__cause__ = second, first
    assert isinstance(root(first), RayServeException)
    alone = RayServeException("a")
    alone.__cause__ = alone
    assert root(alone) is alone


@pytest.mark.parametrize(
    ("error", "code", "is_lost", "is_gone"),
    [
        (ActorDiedError(), "replica_died", True, False),
        (ActorUnavailableError("away", None), "replica_died", True, False),
        (ReplicaUnavailableError("r#1"), "replica_died", True, False),
        (ObjectLostError(*OBJECT), "input_lost", True, True),
        (OwnerDiedError(*OBJECT), "input_lost", True, True),
        (BackPressureError(3, 3), "busy", False, False),
        (DeploymentUnavailableError(DeploymentID("d", "a")), "unavailable", False, False),
        (TaskCancelledError(), "cancelled", False, False),
        (RequestCancelledError(), "cancelled", False, False),
        (NoExpertError("none"), "no_expert", False, False),
        (DeadlineError("late"), "deadline", False, False),
        (InputError("bad"), "invalid_input", False, False),
        (RuntimeError("inner words"), "internal", False, False),
        (MemoryError(), "internal", False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_kind_has_a_code_and_says_what_to_expect(
    error: Exception, code: str, is_lost: bool, is_gone: bool
) -> None:
    for told in (error, _deep(error, 2)):
        assert failure(told).code == code
        assert failure(told).message.endswith(
            ("died while it worked on this task.", ".", "none", "late", "bad")
        )
        assert lost(told) is is_lost
        assert gone(told) is is_gone


def test_what_is_unexpected_says_its_type_alone() -> None:
    said = failure(_deep(ValueError("secret /a/path"), 1))
    assert said.message == "An unexpected ValueError; the replica's log has the details."
    assert "secret" not in failure(ObjectLostError(*OBJECT)).message
