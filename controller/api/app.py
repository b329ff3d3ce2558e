"""The ASGI application: every door over one controller."""

from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from controller.api import files, health, jarvis, runs
from controller.api.guard import LOCAL_ORIGIN, Guard, envelope
from controller.controller import Controller
from controller.errors import RequestError
from controller.failure import failure, patience, root, status
from controller.outcome import Artifact
from model_catalog.errors import HuggingGPTError

_CODES = {404: "not_found", 405: "method_not_allowed"}


class Store(Protocol):
    """Stored files, wherever they lie; see ``deployments.artifacts``."""

    async def begin(self) -> str: ...  # noqa: D102
    async def append(self, ticket: str, data: bytes) -> None: ...  # noqa: D102
    async def finish(self, ticket: str, name: str) -> Artifact: ...  # noqa: D102
    async def abort(self, ticket: str) -> None: ...  # noqa: D102
    async def stat(self, path: str) -> Artifact: ...  # noqa: D102
    async def read(self, path: str, start: int, size: int) -> bytes: ...  # noqa: D102
    async def remove(self, path: str) -> None: ...  # noqa: D102
    async def location(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Backend:
    """What the doors lead to."""

    controller: Controller
    store: Store


def build(backend: Backend) -> FastAPI:
    """The application; every route goes through the guard."""
    settings = backend.controller.settings
    app = FastAPI(title="HuggingGPT on Ray Serve", docs_url=None, redoc_url=None)
    app.state.backend = backend
    for door in (health, jarvis, runs, files):  # files last: it takes every other path
        app.include_router(door.router)
    app.add_exception_handler(Exception, _unexpected)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(HuggingGPTError, _known)
    app.add_middleware(
        Guard,
        hosts=[settings.host],
        origins=settings.origins,
        max_body=settings.max_body_bytes,
        max_upload=settings.max_upload_bytes,
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.origins),
        allow_origin_regex=LOCAL_ORIGIN,
        allow_methods=["GET", "HEAD", "POST", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=["content-range", "accept-ranges", "content-length", "x-request-id"],
    )
    return app


async def _known(request: Request, error: Exception) -> Response:
    cause = root(error)  # what comes out of a replica is wrapped by Ray
    assert isinstance(cause, HuggingGPTError)  # noqa: S101
    return JSONResponse(envelope(cause), cause.status, headers=patience(cause.code))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    known = RequestError(f"{request.method} {request.url.path[:120]}: {error.detail}.")
    known.code = _CODES.get(error.status_code, known.code)
    body: dict[str, Any] = envelope(known)
    return JSONResponse(body, error.status_code, headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Whatever else went wrong, without its inner words."""
    told = failure(error)
    body = {"error": {"message": told.message, "type": told.code, "code": told.code, "param": None}}
    return JSONResponse(body, status(told.code), headers=patience(told.code))
