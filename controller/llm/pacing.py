"""The time of a call to an LLM; waiting for a place among the calls at once is apart from it."""

import asyncio
import math
from collections.abc import AsyncGenerator

from deployments.llm.errors import LlmTimeoutError


class Limit:
    """Bounds a call, from when it is really made; and how long that may take to begin."""

    def __init__(self, what: str, seconds: float, waits: float = math.inf) -> None:
        """Begin to wait.

        Args:
            what: what an LLM that is too late did not do.
            seconds: how long the call may take.
            waits: how long it may wait for its place before.

        """
        self._what = what
        self._seconds = seconds
        self._waits = waits
        self._asked = asyncio.get_running_loop().time()
        self._begun: float | None = None
        self._scope: asyncio.Timeout | None = None

    @property
    def took(self) -> float:
        """Seconds since the call began."""
        return 0.0 if self._begun is None else asyncio.get_running_loop().time() - self._begun

    @property
    def waited(self) -> float:
        """Seconds until the call began."""
        return (self._begun or asyncio.get_running_loop().time()) - self._asked

    def begin(self) -> None:
        """The call has its place, and is made."""
        self._begun = asyncio.get_running_loop().time()
        if self._scope is not None:
            self._scope.reschedule(self._until())

    async def next(self, deltas: AsyncGenerator[str]) -> str | None:
        """The next piece of the answer; None at its end.

        Raises:
            LlmTimeoutError: it did not come in time; the stream has ended then.

        """
        try:
            async with asyncio.timeout_at(self._until()) as self._scope:
                return await anext(deltas, None)
        except TimeoutError:
            pass
        if self._begun is None:
            raise LlmTimeoutError(f"The LLM had no place for another call within {self._waits:.3g} s.")
        raise LlmTimeoutError(f"The LLM did not {self._what} within {self._seconds:.3g} s.")

    def _until(self) -> float | None:
        end = self._asked + self._waits if self._begun is None else self._begun + self._seconds
        return end if math.isfinite(end) else None
