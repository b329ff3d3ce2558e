"""The ASGI application: every door over one controller."""

import socket
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from controller.api import conversations, experts, files, health, ids, jarvis, runs
from controller.api.auth import Auth
from controller.api.body import explained, no_json
from controller.api.gate import Gate
from controller.api.guard import LOCAL_ORIGIN, Guard, envelope, kind
from controller.api.inference import door as inference
from controller.api.mcp import Door
from controller.api.openai import routes as openai
from controller.api.recent import Recent
from controller.controller import Controller
from controller.errors import RequestError, SettingsError
from controller.failure import failure, patience, root, status
from controller.keyring import Keeper, Keyring
from controller.limits import Limits
from controller.outcome import Artifact
from controller.recorder import Recorder
from controller.registry import Runs
from deployments.account import Stored
from model_catalog.errors import HuggingGPTError

_CODES = {404: "not_found", 405: "method_not_allowed"}

_NOT_AGAIN = frozenset({"no_expert", "deadline", "expert_failed"})
"""Failures that OpenAI's client need not try again by itself: the same would come of it, at the same cost."""


class Store(Protocol):
    """Stored files, wherever they lie; see ``deployments.artifacts``."""

    async def begin(self) -> str: ...  # noqa: D102
    async def append(self, ticket: str, data: bytes) -> None: ...  # noqa: D102
    async def finish(  # noqa: D102
        self, ticket: str, name: str, *, life_s: float | None = None
    ) -> Artifact: ...
    async def abort(self, ticket: str) -> None: ...  # noqa: D102
    async def stat(self, path: str) -> Artifact: ...  # noqa: D102
    async def about(self, path: str) -> Stored: ...  # noqa: D102
    async def find(self, number: str) -> Stored: ...  # noqa: D102
    async def listed(  # noqa: D102
        self, limit: int, after: str = "", newest: bool = True
    ) -> tuple[list[Stored], bool]: ...
    async def read(self, path: str, start: int, size: int) -> bytes: ...  # noqa: D102
    async def remove(self, path: str) -> None: ...  # noqa: D102
    async def location(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Backend:
    """What the doors lead to.

    Attributes:
        controller: runs requests.
        store: holds files.
        keys: keeps API keys; None where none are asked for.
        recorder: writes runs down.

    """

    controller: Controller
    store: Store
    keys: Keeper | None = None
    recorder: Recorder = field(default_factory=Recorder)


def build(backend: Backend, proxied: bool = False) -> FastAPI:
    """The application; every route goes through the guard.

    Args:
        backend: what the doors lead to.
        proxied: whether Ray Serve's proxy stands before it, which tells the requests' ids.

    """
    settings = backend.controller.settings
    app = FastAPI(title="HuggingGPT on Ray Serve", docs_url=None, redoc_url=None)
    app.state.backend = backend
    app.router.routes += [Route(path, Door(backend)) for path in ("/mcp", "/mcp/")]
    app.state.proxied = proxied
    app.state.runs = Runs()
    app.state.recent = Recent()
    for door in (health, experts, jarvis, runs, conversations, openai, inference, files):
        app.include_router(door.router)
    app.add_exception_handler(Exception, _unexpected)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HuggingGPTError, _known)
    app.add_middleware(Gate)
    app.add_middleware(
        Guard,
        hosts=[settings.host, *settings.hosts, *([socket.gethostname()] if settings.exposed else [])],
        origins=settings.origins,
        max_body=settings.max_body_bytes,
        max_upload=settings.max_upload_bytes,
        keyed=settings.keyed,
    )
    if settings.keyed:
        _demand_keys(app, backend)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.origins),
        allow_origin_regex=None if settings.keyed else LOCAL_ORIGIN,
        allow_methods=["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=[
            "content-range",
            "accept-ranges",
            "content-length",
            "x-request-id",
            "location",
            "mcp-session-id",
            "retry-after",
            "x-should-retry",
            "x-hugginggpt-model",
        ],
    )
    app.add_middleware(ids.RequestIds, proxied=proxied)
    return app


def _demand_keys(app: FastAPI, backend: Backend) -> None:
    """Let nobody in without a key."""
    if backend.keys is None:
        raise SettingsError("A server with keys needs the deployment that keeps them.")
    app.add_middleware(Auth, keyring=Keyring(backend.keys), limits=Limits(app.state.runs.unattended))
    plain = app.openapi

    def described() -> dict[str, Any]:
        """The description of the API, which says that it takes a key."""
        told = plain()
        told["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        return {**told, "security": [{"key": []}]}

    app.openapi = described  # type: ignore[method-assign]


async def _known(request: Request, error: Exception) -> Response:
    cause = root(error)  # what comes out of a replica is wrapped by Ray
    assert isinstance(cause, HuggingGPTError)  # noqa: S101
    headers = patience(cause)
    if cause.code in _NOT_AGAIN:
        headers["x-should-retry"] = "false"
    return JSONResponse(envelope(cause), cause.status, headers=headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """What FastAPI says of a body or a parameter of the wrong form."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fault = error.errors()[0]
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    known = no_json() if fault["loc"] == ("body",) and sent != "application/json" else explained(fault)
    return JSONResponse(envelope(known), RequestError.status)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    known = RequestError(f"{request.method} {request.url.path[:120]}: {error.detail}.")
    known.code = _CODES.get(error.status_code, known.code)
    body: dict[str, Any] = envelope(known)
    if inference.mine(request.url.path):
        body = {"error": known.message}
    return JSONResponse(body, error.status_code, headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Whatever else went wrong, without its inner words."""
    told = failure(error)
    number = status(told.code)
    body = {"error": {"message": told.message, "type": kind(number), "code": told.code, "param": None}}
    headers = patience(error) | ids.told(request.scope, request.app.state.proxied)
    return JSONResponse(body, number, headers=headers)
