"""The HTTP side of MCP: streamable HTTP without sessions."""

import json
from typing import TYPE_CHECKING, Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from controller.api.guard import envelope
from controller.api.mcp.cancelling import SESSION, Running, naming
from controller.api.mcp.server import server
from controller.errors import RequestError

if TYPE_CHECKING:
    from controller.api.app import Backend

_SMALL = 16 << 10  # bytes; no message that shakes hands or cancels has more


class Door:
    """An ASGI application that answers MCP's requests, each by itself.

    Every request has a session manager of its own. So nothing depends on who runs the lifespan of the
    application around it, and whatever a request has begun ends with it, when its client goes away too.
    """

    def __init__(self, backend: "Backend") -> None:
        self._running = Running()
        self._server = server(backend, self._running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            RequestError: its body is too large.

        """
        request = Request(scope, receive)
        if request.method != "POST":
            await _refused(request)(scope, receive, send)
            return
        body = await request.body()  # bounded by the guard, whose errors are told as those of every door
        send = self._attend(request, body, send)
        manager = StreamableHTTPSessionManager(
            self._server, stateless=True, max_request_body_size=len(body) + 1
        )
        async with manager.run():
            await manager.handle_request(scope, _again(body, receive), send)

    def _attend(self, request: Request, body: bytes, send: Send) -> Send:
        """See to what older protocols do by messages of their own: shake hands, and cancel."""
        message = _read(body)
        params = message.get("params")
        if message.get("method") == "initialize":
            return naming(send)
        if message.get("method") == "notifications/cancelled" and isinstance(params, dict):
            self._running.cancel(request.headers.get(SESSION), params.get("requestId"))
        return send


def _read(body: bytes) -> dict[str, Any]:
    """A small message; empty where it is large, or none at all, as the manager will tell."""
    if len(body) > _SMALL:
        return {}
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _refused(request: Request) -> JSONResponse:
    """Without sessions there is nothing to listen to with GET, and nothing to end with DELETE."""
    error = RequestError(f"{request.method} /mcp: MCP is spoken here by POST alone, without sessions.")
    error.code = "method_not_allowed"
    return JSONResponse(envelope(error), 405, headers={"allow": "POST"})


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already once more, then whatever comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return messages.pop() if messages else await receive()

    return read
