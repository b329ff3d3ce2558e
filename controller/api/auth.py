"""Who may come in: a server with keys asks all for one, but for health and signed addresses of files.

It stands before the guard and every door, and what it does not know needs the scope ``admin``. So a new route
is closed until a row of ``controller.api.scopes`` opens it.
"""

import re
from contextlib import ExitStack

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.api.guard import answer, envelope, straight
from controller.api.inference.door import mine
from controller.api.scopes import free, rule
from controller.errors import ScopeError, UnknownKeyError
from controller.failure import patience
from controller.identity import NOBODY, Caller, calling
from controller.identity import Scope as Use
from controller.keyring import Keyring
from controller.limits import Limits
from deployments.history.ring import Key
from model_catalog.errors import HuggingGPTError

_NONE = (
    "This server needs an API key: send it as Authorization: Bearer KEY (HUGGINGGPT_API_KEY for the command "
    "line). Who runs the server makes one with hugginggpt keys create."
)
_ENDED = "This address of a file has ended, or its signature is not good; ask for the file anew."
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_READER = Caller("-", frozenset({Use.ADMIN}))
"""Who opens a signed address: it may be anybody's file, and is no other than the one that was signed."""


class Auth:
    """ASGI middleware that lets nothing pass without a key."""

    def __init__(self, app: ASGIApp, *, keyring: Keyring, limits: Limits) -> None:
        """Wrap an application.

        Args:
            app: the application.
            keyring: the keys that are good.
            limits: the books of their limits.

        """
        self._app = app
        self._keyring = keyring
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on for who asks, or refuse it.

        The body of a refused request is not waited for: a stranger would hold a place here with it.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no door speaks anything else
            await send({"type": "websocket.close", "code": 1008})
            return
        scope = straight(scope)
        with ExitStack() as held:
            try:
                who = await self._admitted(scope, held)
            except HuggingGPTError as error:
                await _refuse(error, scope["path"], send)
                return
            held.enter_context(calling(who))
            await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope, held: ExitStack) -> Caller:
        """Who asks; what is counted of the request is held until it ends.

        Raises:
            HuggingGPTError: it must not pass.

        """
        method, path = scope["method"], scope["path"]
        if free(method, path):
            return NOBODY
        token = _token(Headers(scope=scope))
        query = scope["query_string"].decode("latin-1")
        signed = method in ("GET", "HEAD") and "signature=" in query
        if token is None and not signed:
            raise UnknownKeyError(_NONE)
        signer = await self._keyring.signer()
        if signed and signer.good(path, query):
            return _READER
        if token is None:
            raise UnknownKeyError(_ENDED)
        scope.setdefault("state", {})["signer"] = signer
        key = await self._keyring.key(token)
        if key is None:
            raise UnknownKeyError("This API key is not known here, was revoked or has ended.")
        row = rule(method, path)
        who = _caller(key)
        if row.scope is not None and not who.may(row.scope):
            raise ScopeError(f"This API key may not do that; it takes one with the scope {row.scope}.")
        held.enter_context(self._limits.within(key, row.works))
        return who


def _token(headers: Headers) -> str | None:
    """What a request brings as its key; None where it brings none."""
    match = _BEARER.fullmatch(headers.get("authorization", "").strip())
    return match[1] if match else headers.get("x-api-key") or None


def _caller(key: Key) -> Caller:
    return Caller(key.id, frozenset(use for use in Use if use.value in key.scopes))


async def _refuse(error: HuggingGPTError, path: str, send: Send) -> None:
    headers = patience(error)
    if error.status == UnknownKeyError.status:
        headers["www-authenticate"] = 'Bearer realm="hugginggpt"'
    body = {"error": error.message} if mine(path) else envelope(error)
    await answer(send, error.status, body, headers)
