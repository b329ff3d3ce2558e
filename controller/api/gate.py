"""The gate behind the guard: how many requests are under way, and how long each client waits.

Ray Serve takes so many requests into a process at once and has others wait before it, where nothing tells one
caller from another. So fewer are let in here, shared between callers, and the rest is told at once to come
again.
"""

import math
import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.admission import Room
from controller.errand import Errand, undertaking
from controller.errors import RequestError
from controller.identity import caller

ONGOING = 256
"""The most requests that Ray Serve takes into one process."""

MOST = 240
"""The most that are let in; what is left is for refusals, and for requests that are always let in."""

DEADLINE = "x-deadline-seconds"
"""The header by which a client tells how long it waits."""

_ALWAYS = frozenset({"/healthz", "/readyz"})


class Gate:
    """ASGI middleware that lets a number of requests in."""

    def __init__(self, app: ASGIApp, most: int = MOST) -> None:
        """Let in ``most`` requests at once; who gives a run up, or asks for health, is always let in."""
        self._app = app
        self._room = Room(most, "requests")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it.

        Raises:
            OverloadedError: too many are under way; the guard answers it.
            RequestError: what it says of its deadline cannot be read.

        """
        if scope["type"] != "http" or scope["path"] in _ALWAYS or scope["method"] == "DELETE":
            await self._app(scope, receive, send)
            return
        owner = caller().owner
        self._room.take(owner)
        try:
            with undertaking(Errand(secrets.token_hex(8), _seconds(Headers(scope=scope)))):
                await self._app(scope, receive, send)
        finally:
            self._room.leave(owner)


def _seconds(headers: Headers) -> float | None:
    """How long the client waits, where it says so."""
    said = headers.get(DEADLINE)
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise RequestError(f"The header X-Deadline-Seconds is no number of seconds: {said[:40]!r}.")
    return seconds
