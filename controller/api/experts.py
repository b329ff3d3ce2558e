"""Experts: what runs and what sleeps, and the operator's hand on it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from controller.api.body import backend, declared, read
from controller.api.openai.schema import ERRORS
from controller.roster import Expert

router = APIRouter(prefix="/v1/experts", tags=["experts"], responses=ERRORS)

Owner = Annotated[str, Path(pattern=r"^\w[\w.-]*$", max_length=100)]
Action = Literal["wake", "sleep", "pin", "unpin"]


class ExpertList(BaseModel):
    """The experts of this cluster, and how each of them stands."""

    object: Literal["list"] = "list"
    data: list[Expert]


class Named(BaseModel):
    """A model of the catalog."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=3, max_length=200)]


class Removed(BaseModel):
    """A model that is no more of the fleet."""

    model: str
    deleted: Literal[True] = True


@router.get("")
async def experts(request: Request) -> ExpertList:
    """The experts of this cluster: those that always run, and those that sleep while they are idle."""
    return ExpertList(data=await backend(request).controller.cluster.experts())


@router.post("", openapi_extra=declared(Named))
async def add(request: Request) -> Expert:
    """Take a model of the catalog into the fleet, asleep; its first call wakes it."""
    named = await read(request, Named)
    return await backend(request).controller.add(named.model)


@router.delete("/{owner}/{name}")
async def remove(request: Request, owner: Owner, name: Owner) -> Removed:
    """Take a model out of the fleet; what it has begun is finished, its files stay."""
    model = f"{owner}/{name}"
    await backend(request).controller.cluster.remove(model)
    return Removed(model=model)


@router.post("/{owner}/{name}/{action}")
async def act(request: Request, owner: Owner, name: Owner, action: Action) -> Expert:
    """Wake an expert, put it to sleep, keep it awake for ever, or let it sleep again when it is idle."""
    cluster = backend(request).controller.cluster
    return await cluster.act(f"{owner}/{name}", action)
