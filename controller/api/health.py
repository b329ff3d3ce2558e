"""Health, readiness, and what runs."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.responses import Response

from controller.api.body import backend
from controller.api.openai.schema import ERRORS
from controller.identity import Scope, caller

router = APIRouter(tags=["health"], responses=ERRORS)


class Ready(BaseModel):
    """Requests can be answered: by which brain, and which experts; strangers are told no more than that."""

    status: Literal["ready"]
    brain: str | None = None
    experts: list[str] | None = None


class Unready(BaseModel):
    """Why requests cannot be answered yet."""

    status: Literal["unready"]
    reason: str


@router.get("/")
async def index() -> dict[str, str]:
    """What this is, for who opens the address in a browser."""
    return {
        "service": "hugginggpt",
        "ask": "POST /hugginggpt",
        "describes": "/openapi.json",
        "ready": "/readyz",
    }


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok", "service": "hugginggpt"}


@router.get("/readyz", response_model=Ready, responses={503: {"model": Unready}})
async def readyz(request: Request) -> Response:
    """Whether requests can be answered: files can be stored, and an expert runs."""
    here = backend(request)
    try:
        async with asyncio.timeout(5):
            await here.store.location()
    except Exception:
        return JSONResponse({"status": "unready", "reason": "The artifact deployment does not answer."}, 503)
    starting = here.controller.starting()
    if starting:
        named = f"These experts are still starting: {', '.join(starting)}."
        told = named if caller().may(Scope.RUN) else "Some experts are still starting."
        return JSONResponse({"status": "unready", "reason": told}, 503)
    running = sorted(here.controller.selector.fleet.running)
    if not running:
        return JSONResponse({"status": "unready", "reason": "No expert runs; see hugginggpt ps."}, 503)
    if not caller().may(Scope.RUN):
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "ready", "brain": here.controller.brain, "experts": running})
