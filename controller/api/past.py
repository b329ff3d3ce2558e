"""Runs and conversations that are kept, as their owners may see them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from fastapi import Request

from controller.api.body import backend
from controller.errors import UnknownConversationError, UnknownRunError
from controller.events import RunFailed
from controller.failure import root, status
from controller.history import History
from controller.identity import Scope, caller
from controller.outcome import Failure
from controller.registry import Kept, Key, Runs, State, Step, mismatch
from deployments.errors import HistoryError, NotFoundError
from deployments.history.records import Entry, Talk

if TYPE_CHECKING:
    from controller.api.app import Backend

INTERRUPTED = Failure(
    code="interrupted",
    message="The server went down while this ran; POST /v1/runs/ID/repeat runs the same request again.",
)
"""Why a run has no end that outlived its server."""


def runs(request: Request) -> Runs:
    """The runs of this process."""
    return cast("Runs", request.app.state.runs)


def history(here: "Backend") -> History:
    """What keeps runs and conversations.

    Raises:
        HistoryError: this server keeps none.

    """
    if here.recorder.history is None:
        raise HistoryError("This server keeps no history; start it with hugginggpt up.")
    return here.recorder.history


def whose() -> str | None:
    """Whose things the caller is shown in lists; None for everybody's."""
    who = caller()
    return None if Scope.ADMIN in who.scopes else who.owner


async def entry(request: Request, run_id: str) -> Entry:
    """A run of the caller's in the history.

    Raises:
        UnknownRunError: there is none.
        HistoryError: that cannot be looked up now.

    """
    here = backend(request)
    found = None if here.recorder.history is None else await here.recorder.history.entry(run_id)
    if found is None or not caller().sees(found.owner):
        raise UnknownRunError(f"There is no run {run_id[:80]!r} here; the latest are listed by GET /v1/runs.")
    return found


async def run(request: Request, run_id: str) -> Kept:
    """A run of the caller's as the history has it, with its steps.

    Raises:
        UnknownRunError: there is none.
        HistoryError: that cannot be looked up now.

    """
    return await whole(request, await entry(request, run_id))


async def keyed(request: Request, key: Key | None) -> Kept | None:
    """The caller's run that was begun under a key, where it still takes the key's place.

    Raises:
        IdempotencyError: it was another request.
        HistoryError: that cannot be looked up now.

    """
    recorder = backend(request).recorder
    if key is None or recorder.history is None:
        return None
    found = await recorder.history.keyed(caller().owner, key.name)
    if found is None or _gone(found):
        return None
    if found.digest != key.digest:
        raise mismatch(key)
    return await whole(request, found)


def _gone(found: Entry) -> bool:
    """Whether a run leaves its key free: it has no end, failed by the server's fault, or lost its client."""
    if found.state == State.CANCELLED:
        return not found.background
    faulty = found.state == State.FAILED and status(found.error or "") >= 500
    return faulty or found.state == State.INTERRUPTED


async def remove_files(request: Request, paths: Sequence[str]) -> None:
    """Remove files that runs made, those of them that are still there."""
    store = backend(request).store
    for path in paths:
        try:
            await store.remove(path)
        except Exception as error:
            if not isinstance(root(error), NotFoundError):
                raise


async def whole(request: Request, found: Entry) -> Kept:
    """A run with its steps; that of an interrupted one ends with the reason."""
    known = history(backend(request))
    kept = bare(found)
    while steps := await known.steps(found.id, len(kept.steps) - 1):
        kept.steps += [Step(step.number, step.type, step.data) for step in steps]
    if kept.state is State.INTERRUPTED:
        end = RunFailed(run=found.id, error=INTERRUPTED, time=found.ended or found.created)
        kept.steps.append(Step(len(kept.steps), end.type, end.model_dump_json()))
    return kept


def bare(found: Entry) -> Kept:
    """A run without its steps."""
    state = State(found.state)
    return Kept(
        found.id,
        found.words,
        found.background,
        owner=found.owner,
        created=found.created,
        ended=found.ended,
        state=state,
        door=found.door,
        conversation=found.conversation,
        repeats=found.repeats,
        here=state is not State.RUNNING,
    )


async def talk(request: Request, conversation: str) -> Talk:
    """A conversation of the caller's.

    Raises:
        UnknownConversationError: there is none.
        HistoryError: that cannot be looked up now.

    """
    found = await history(backend(request)).talk(conversation)
    if found is None or not caller().sees(found.owner):
        raise UnknownConversationError(
            f"There is no conversation {conversation[:80]!r} here; POST /v1/conversations begins one."
        )
    return found
