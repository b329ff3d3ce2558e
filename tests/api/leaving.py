"""Clients of the ASGI application that a test holds in its hands: they read piece by piece, and go away."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp, Message


class Visit:
    """One request, sent at once; its answer comes piece by piece, until it ends or the client leaves."""

    def __init__(self, app: ASGIApp, path: str, body: Any = None, **headers: str) -> None:
        """Prepare a request: a POST where it has a body, which is sent as JSON unless it is bytes."""
        self._app = app
        self._body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        sent = {"host": "127.0.0.1:8000", "content-type": kind, **headers}
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET" if body is None else "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        self._sent = False
        self._left = asyncio.Event()
        self._got: asyncio.Queue[Message] = asyncio.Queue()
        self.status = 0

    async def __aenter__(self) -> Self:
        self._working = asyncio.ensure_future(self._app(self._scope, self._receive, self._got.put))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def _receive(self) -> Message:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def piece(self) -> str:
        """The next piece of the answer's body; empty at its end."""
        while True:
            message = await asyncio.wait_for(self._got.get(), 20)
            if message["type"] == "http.response.start":
                self.status = message["status"]
            elif message.get("body") or not message.get("more_body"):
                return bytes(message.get("body", b"")).decode()

    async def until(self, words: str) -> str:
        """The piece of the answer that holds these words."""
        while words not in (piece := await self.piece()):
            assert piece, f"the answer ended without {words!r}"
        return piece

    async def leave(self) -> None:
        """Go away, and wait until the application is done with the request."""
        self._left.set()
        await asyncio.wait_for(asyncio.gather(self._working, return_exceptions=True), 20)
