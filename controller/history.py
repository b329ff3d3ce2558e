"""The history as the controller sees it: what its deployment answers, and how it fails."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, cast

from ray import serve
from ray.serve.handle import DeploymentResponse

from controller.failure import root
from controller.handles import ServeResponse
from deployments import fleet
from deployments.errors import HistoryError
from deployments.history.records import Entry, Record, Step, Talk, Turn
from deployments.history.ring import Ring
from model_catalog.errors import HuggingGPTError

ANSWER_S = 10.0
"""How long the history may take for one answer, in seconds; its replica may be being replaced."""


class History(Protocol):
    """What is kept of runs and conversations; see ``deployments.history.history``."""

    async def write(self, records: Sequence[Record]) -> frozenset[str]: ...  # noqa: D102
    async def interrupt(self, instance: str) -> list[str]: ...  # noqa: D102
    async def forget(self, run: str) -> bool: ...  # noqa: D102
    async def entry(self, run: str) -> Entry | None: ...  # noqa: D102
    async def keyed(self, owner: str, key: str) -> Entry | None: ...  # noqa: D102
    async def entries(self, owner: str | None, limit: int, before: str | None = None) -> list[Entry]: ...  # noqa: D102
    async def steps(self, run: str, after: int = -1) -> list[Step]: ...  # noqa: D102
    async def made(self, run: str) -> list[str]: ...  # noqa: D102
    async def made_in(self, conversation: str) -> list[str]: ...  # noqa: D102
    async def converse(self, talk: Talk, turns: Sequence[Turn] = ()) -> None: ...  # noqa: D102
    async def forget_conversation(self, conversation: str) -> bool: ...  # noqa: D102
    async def talk(self, conversation: str) -> Talk | None: ...  # noqa: D102
    async def talks(self, owner: str | None, limit: int, after: str | None = None) -> list[Talk]: ...  # noqa: D102
    async def turns(self, conversation: str, limit: int, whole: bool = True) -> list[Turn]: ...  # noqa: D102


class ServeHistory:
    """The history deployment behind its Serve handle; where it is away, all raise ``HistoryError``."""

    def __init__(self) -> None:
        self._handle = serve.get_app_handle(fleet.HISTORY)

    async def write(self, records: Sequence[Record]) -> frozenset[str]:
        """Write a group of records; the runs of which nothing can be written."""
        return cast("frozenset[str]", await _answer(self._handle.write.remote(tuple(records))))

    async def interrupt(self, instance: str) -> list[str]:
        """Mark runs without an end that are those of other ingresses than this; their ids."""
        return cast("list[str]", await _answer(self._handle.interrupt.remote(instance)))

    async def forget(self, run: str) -> bool:
        """Remove a run with all that is kept of it; whether it was there."""
        return cast("bool", await _answer(self._handle.forget.remote(run)))

    async def entry(self, run: str) -> Entry | None:
        """A run, where it is kept."""
        return cast("Entry | None", await _answer(self._handle.entry.remote(run)))

    async def keyed(self, owner: str, key: str) -> Entry | None:
        """The run that a client began under a key of its own, where it is kept."""
        return cast("Entry | None", await _answer(self._handle.keyed.remote(owner, key)))

    async def entries(self, owner: str | None, limit: int, before: str | None = None) -> list[Entry]:
        """The runs that began last, the latest first; everybody's where the owner is None."""
        return cast("list[Entry]", await _answer(self._handle.entries.remote(owner, limit, before)))

    async def steps(self, run: str, after: int = -1) -> list[Step]:
        """The next steps of a run behind number ``after``, as many as are read at once."""
        return cast("list[Step]", await _answer(self._handle.steps.remote(run, after)))

    async def made(self, run: str) -> list[str]:
        """The paths of the files that a run made."""
        return cast("list[str]", await _answer(self._handle.made.remote(run)))

    async def made_in(self, conversation: str) -> list[str]:
        """The paths of the files that the runs of a conversation made."""
        return cast("list[str]", await _answer(self._handle.made_in.remote(conversation)))

    async def converse(self, talk: Talk, turns: Sequence[Turn] = ()) -> None:
        """Make a conversation, with its first messages."""
        await _answer(self._handle.converse.remote(talk, tuple(turns)))

    async def forget_conversation(self, conversation: str) -> bool:
        """Remove a conversation with its messages and runs; whether it was there."""
        return cast("bool", await _answer(self._handle.forget_conversation.remote(conversation)))

    async def talk(self, conversation: str) -> Talk | None:
        """A conversation, where it is kept."""
        return cast("Talk | None", await _answer(self._handle.talk.remote(conversation)))

    async def talks(self, owner: str | None, limit: int, after: str | None = None) -> list[Talk]:
        """Conversations, the latest first; everybody's where the owner is None."""
        return cast("list[Talk]", await _answer(self._handle.talks.remote(owner, limit, after)))

    async def turns(self, conversation: str, limit: int, whole: bool = True) -> list[Turn]:
        """The latest messages of a conversation, in their order."""
        return cast("list[Turn]", await _answer(self._handle.turns.remote(conversation, limit, whole)))

    async def ring(self) -> Ring:
        """The API keys that were not revoked, and the secret that signs addresses of files."""
        return cast("Ring", await _answer(self._handle.ring.remote()))


async def _answer(response: DeploymentResponse[Any]) -> Any:
    """An answer of the history; whatever keeps it from answering is one error.

    Raises:
        HistoryError: it says so, or there is no answer in time.

    """
    try:
        async with asyncio.timeout(ANSWER_S):
            return await response
    except Exception as error:
        if isinstance(error, TimeoutError):
            ServeResponse(response).cancel()
        cause = root(error)
        if isinstance(cause, HuggingGPTError):
            raise cause from None
        raise HistoryError(
            "The deployment that keeps the history does not answer now; try again soon."
        ) from None
