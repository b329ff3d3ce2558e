"""Request ids: every answer carries one, in ``x-request-id``; a sane one of the client's own is kept.

Behind Ray Serve its proxy gives and tells the ids, and Serve's log lines hold them; then nothing is told
here, so that no answer has the header twice.
"""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"

_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIds:
    """ASGI middleware that gives every request an id, in ``scope["state"]["request_id"]``."""

    def __init__(self, app: ASGIApp, *, proxied: bool = False) -> None:
        """Wrap an application.

        Args:
            app: the application.
            proxied: whether Serve's proxy tells the ids.

        """
        self._app = app
        self._proxied = proxied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its id, and the answer with the same."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        number = given if _SANE.fullmatch(given) else f"req-{secrets.token_hex(12)}"

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start" and not self._proxied:
                MutableHeaders(scope=message)[HEADER] = number
            await send(message)

        scope.setdefault("state", {})["request_id"] = number
        await self._app(scope, receive, numbered)


def told(scope: Scope, proxied: bool) -> dict[str, str]:
    """The header for an answer that passes this middleware by, as that to an unexpected error does."""
    number = scope.get("state", {}).get("request_id")
    return {} if proxied or number is None else {HEADER: number}
