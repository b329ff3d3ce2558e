"""The guard in front of every door: host, origin and size of a request, before anything reads it.

Host names other than this server's are refused, so that a web page cannot reach a server on loopback by a
name of its own (DNS rebinding); browser origins that are not allowed are refused for requests that change
something, so that a foreign page cannot post to it. A server with keys answers to bare addresses too, which
no page can rebind, and takes requests of its own pages and of listed origins alone.
"""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.errors import BodyTooLargeError, ForbiddenError
from controller.failure import patience
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


def straight(scope: Scope) -> Scope:
    """A request whose path has one slash in front.

    JARVIS's clients ask for //hugginggpt where their base URL ends with a slash.
    """
    path = "/" + scope["path"].lstrip("/")
    return {**scope, "path": path, "raw_path": path.encode()}


class Guard:
    """ASGI middleware that refuses what no door should see."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str],
        origins: Sequence[str],
        max_body: int,
        max_upload: int,
        keyed: bool = False,
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            hosts: names of this server; one that begins with ``https://`` is reached through a proxy that
                speaks TLS, so addresses told to its clients begin so too.
            origins: browser origins that may change something.
            max_body: the most bytes of a request.
            max_upload: the most bytes of a file in one.
            keyed: whether the server asks everybody for a key.

        """
        self._app = app
        named = [_named(host) for host in hosts]
        self._hosts = frozenset({"localhost", "127.0.0.1", "[::1]", *(name for name, _ in named)})
        self._secure = frozenset(name for name, secure in named if secure)
        self._origins = frozenset(origins)
        self._local = re.compile(LOCAL_ORIGIN)
        self._keyed = keyed
        self._max_body = max_body
        self._max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = straight(scope)
        path = scope["path"]
        body = _Body(receive, self._max_upload + _ENVELOPE if UPLOADS.fullmatch(path) else self._max_body)
        begun = False
        refused: HuggingGPTError | None

        async def noted(message: Message) -> None:
            nonlocal begun
            begun |= not body.over or message.get("status") == BodyTooLargeError.status
            if begun:  # what is made of half a body is not told
                await send(message)

        try:
            host = self._check(scope, body)
            if host in self._secure:
                scope["scheme"] = "https"
            await self._app(scope, body.receive, noted)
            refused = body.too_large() if body.over and not begun else None
        except Exception as error:
            refused = body.too_large() if body.over else error if isinstance(error, HuggingGPTError) else None
            if begun or refused is None:
                raise  # an answer is on its way, which the server breaks off; or nobody expected this
        if refused is not None:
            await body.drain()
            await answer(
                send, refused.status, envelope(refused), {**patience(refused), "connection": "close"}
            )

    def _check(self, scope: Scope, body: "_Body") -> str:
        """The name that a request was sent to; one that must not pass raises."""
        headers = Headers(scope=scope)
        told = headers.get("host", "").lower()
        host = re.sub(r":\d+$", "", told)
        if host not in self._hosts and not (self._keyed and _is_bare(host)):
            hint = "add it to the setting 'hosts'" if self._keyed else "use 127.0.0.1 or localhost"
            raise ForbiddenError(f"This server does not answer to the name {host[:80]!r}; {hint}.")
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in _SAFE and not self._allowed(origin, told):
            raise ForbiddenError(
                f"Pages of {origin[:80]!r} may not use this server; add the origin to the setting 'origins'."
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > _DIGITS or int(length) > body.limit):
            raise body.too_large()
        return host

    def _allowed(self, origin: str, host: str) -> bool:
        if origin in self._origins:
            return True
        if self._keyed:
            return origin.lower() in (f"http://{host}", f"https://{host}")  # its own page
        return self._local.fullmatch(origin) is not None


def _named(host: str) -> tuple[str, bool]:
    """A name as requests have it, and whether it is reached by TLS."""
    bare = re.sub(r"^https?://", "", host.lower()).rstrip("/")
    return re.sub(r":\d+$", "", bare), host.lower().startswith("https://")


def _is_bare(host: str) -> bool:
    """Whether a host is an address and no name."""
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return ipaddress.ip_address(inner).version == (6 if inner != host else 4)
    except ValueError:
        return False


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


async def answer(send: Send, status: int, body: object, more: Mapping[str, str]) -> None:
    """Answer a request that no door sees, with JSON and further headers."""
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(data)), **more}
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": data})
