"""Calls that can be cancelled by a message of their own, as clients of older protocols do.

Clients of the protocol of 2026-07-28 cancel by closing the connection. Earlier ones send a notification on
another: it names the call by a number of the client's own choice. So each such client is given a session id
that nobody can guess, and nothing is kept for it but its calls under way.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

SESSION = "mcp-session-id"
"""The header that names a client's session."""


class Running:
    """The calls under way, by session and number."""

    def __init__(self) -> None:
        self._scopes: dict[tuple[str, str], anyio.CancelScope] = {}

    @contextmanager
    def noted(self, session: str | None, number: object) -> Iterator[anyio.CancelScope]:
        """A scope for a call, known here for as long as this context lasts."""
        scope = anyio.CancelScope()
        if session is None:
            yield scope
            return
        key = (session, str(number))
        self._scopes[key] = scope
        try:
            yield scope
        finally:
            if self._scopes.get(key) is scope:
                del self._scopes[key]

    def cancel(self, session: str | None, number: object) -> None:
        """Cancel a call; unknown ones are ignored."""
        scope = self._scopes.get((session or "", str(number)))
        if scope is not None:
            scope.cancel()


def naming(send: Send) -> Send:
    """Gives the client that shakes hands a session id with the answer."""

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(scope=message)[SESSION] = secrets.token_hex(16)
        await send(message)

    return named
