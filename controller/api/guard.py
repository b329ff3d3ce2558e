"""The guard in front of every door: host, origin and size of a request, before anything reads it.

Host names other than this server's are refused, so that a web page cannot reach a server on loopback by a
name of its own (DNS rebinding); browser origins that are not allowed are refused for requests that change
something, so that a foreign page cannot post to it.
"""

import json
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.errors import BodyTooLargeError, ForbiddenError
from model_catalog.errors import HuggingGPTError

LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
"""Browser origins that are always allowed: pages of this machine, on any port."""

UPLOADS = re.compile(
    r"/(?:v1/(?:files|chat/completions|responses|images/edits|audio/[a-z]+)|(?:models|pipeline)/.*|mcp/?)"
)
"""Paths whose requests may bring files along, alone or inside JSON; they have the larger limit."""

_ENVELOPE = 64 << 10  # what multipart adds around an uploaded file
_DRAINED = 64 << 20  # how much of a refused body is read, so that the client comes to read the answer
_DIGITS = 18  # a length with more of them is over any limit, and may be too long for int()
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""OpenAI's words for kinds of errors, by status; the rest are the request's fault or the server's."""


def kind(status: int) -> str:
    """OpenAI's word for the kind of an error with that HTTP status."""
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def envelope(error: HuggingGPTError) -> dict[str, object]:
    """The body of every error answer, in OpenAI's form."""
    param = getattr(error, "param", None)
    told = {"message": error.message, "type": kind(error.status), "code": error.code, "param": param}
    return {"error": told}


class Guard:
    """ASGI middleware that refuses what no door should see."""

    def __init__(
        self, app: ASGIApp, *, hosts: Sequence[str], origins: Sequence[str], max_body: int, max_upload: int
    ) -> None:
        self._app = app
        self._hosts = frozenset({"localhost", "127.0.0.1", "[::1]", *hosts})
        self._origins = frozenset(origins)
        self._local = re.compile(LOCAL_ORIGIN)
        self._max_body = max_body
        self._max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # JARVIS's clients ask for //hugginggpt where their base URL ends with a slash.
        path = "/" + scope["path"].lstrip("/")
        scope = {**scope, "path": path, "raw_path": path.encode()}
        body = _Body(receive, self._max_upload + _ENVELOPE if UPLOADS.fullmatch(path) else self._max_body)
        begun = False
        refused: HuggingGPTError | None

        async def noted(message: Message) -> None:
            nonlocal begun
            begun |= not body.over or message.get("status") == BodyTooLargeError.status
            if begun:  # what is made of half a body is not told
                await send(message)

        try:
            self._check(scope, body)
            await self._app(scope, body.receive, noted)
            refused = body.too_large() if body.over and not begun else None
        except Exception as error:
            refused = body.too_large() if body.over else error if isinstance(error, HuggingGPTError) else None
            if begun or refused is None:
                raise  # an answer is on its way, which the server breaks off; or nobody expected this
        if refused is not None:
            await body.drain()
            await _answer(refused, send)

    def _check(self, scope: Scope, body: "_Body") -> None:
        headers = Headers(scope=scope)
        host = re.sub(r":\d+$", "", headers.get("host", "")).lower()
        if host not in self._hosts:
            raise ForbiddenError(
                f"This server does not answer to the name {host[:80]!r}; use 127.0.0.1 or localhost."
            )
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in _SAFE and not self._allowed(origin):
            raise ForbiddenError(
                f"Pages of {origin[:80]!r} may not use this server; add the origin to the setting 'origins'."
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > _DIGITS or int(length) > body.limit):
            raise body.too_large()

    def _allowed(self, origin: str) -> bool:
        return origin in self._origins or self._local.fullmatch(origin) is not None


class _Body:
    """A request's body, counted as it comes."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._read = 0
        self._ended = False
        self.limit = limit

    async def receive(self) -> Message:
        message = await self._receive()
        self._note(message)
        if self.over:
            raise self.too_large()
        return message

    @property
    def over(self) -> bool:
        """Whether more has come than is taken."""
        return self._read > self.limit

    async def drain(self) -> None:
        """Read on for a while: a client that is still sending would otherwise never see the answer."""
        while not self._ended and self._read < self.limit + _DRAINED:
            self._note(await self._receive())

    def _note(self, message: Message) -> None:
        self._read += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)

    def too_large(self) -> BodyTooLargeError:
        """The error for a body over the limit."""
        return BodyTooLargeError(f"The request is larger than {_size(self.limit)}; send a smaller one.")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


async def _answer(error: HuggingGPTError, send: Send) -> None:
    body = json.dumps(envelope(error)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
