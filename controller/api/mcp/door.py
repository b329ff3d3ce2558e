"""The HTTP side of MCP: streamable HTTP without sessions."""

from typing import TYPE_CHECKING

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from controller.api.guard import envelope
from controller.api.mcp.server import server
from controller.errors import RequestError

if TYPE_CHECKING:
    from controller.api.app import Backend


class Door:
    """An ASGI application that answers MCP's requests, each by itself.

    Every request has a session manager of its own. So nothing depends on who runs the lifespan of the
    application around it, and whatever a request has begun ends with it, when its client goes away too.
    """

    def __init__(self, backend: "Backend") -> None:
        self._server = server(backend)

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
        manager = StreamableHTTPSessionManager(
            self._server, stateless=True, max_request_body_size=len(body) + 1
        )
        async with manager.run():
            await manager.handle_request(scope, _again(body, receive), send)


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
