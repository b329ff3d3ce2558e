"""Outcomes, and what the embedded responder says of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from controller.outcome import Artifact, Choice, Failure, Outcome, Status
from controller.plan import Plan
from controller.request import Message, Request
from controller.responder import EmbeddedResponder
from model_catalog.tasks import Modality

ENDINGS = {Modality.IMAGE: "png", Modality.AUDIO: "wav", Modality.VIDEO: "mp4"}


def said(text: str) -> Request:
    return Request(messages=(Message(role="user", content=text),))


ENGLISH = said("Do it")
FRENCH = said("Fais-le, s'il te plaît")


def path_of(modality: Modality, number: int) -> str:
    return f"/{modality}s/{number:032x}.{ENDINGS[modality]}"


def stored(modality: Modality, number: int) -> Artifact:
    media_type = f"{modality}/{ENDINGS[modality]}"
    return Artifact(path=path_of(modality, number), modality=modality, media_type=media_type, size=9)


def done(task_id: int, task: str, text: str | None = None, data: Any = None, **more: Any) -> Outcome:
    choice = Choice(model=more.pop("model", f"embedded/{task}"), reason="the first by downloads")
    return Outcome(id=task_id, task=task, status=Status.DONE, text=text, data=data, choice=choice, **more)


def failed(task_id: int, task: str, message: str, status: Status = Status.FAILED) -> Outcome:
    return Outcome(id=task_id, task=task, status=status, error=Failure(code="x", message=message))


def raw_task(name: str, task_id: int, want: str | None = None, **args: str) -> dict[str, Any]:
    return {"task": name, "id": task_id, "args": args, "want": want}


async def _collect(plan: Plan, outcomes: Sequence[Outcome], request: Request) -> list[str]:
    return [delta async for delta in EmbeddedResponder().respond(request, plan, outcomes)]


def pieces(plan: Plan, outcomes: Sequence[Outcome], request: Request = ENGLISH) -> list[str]:
    """The answer as it streams."""
    return asyncio.run(_collect(plan, outcomes, request))


def answer_to(raws: Sequence[Any], *outcomes: Outcome, request: Request = ENGLISH) -> str:
    """The whole answer to raw tasks."""
    return "".join(pieces(Plan.parse(raws), outcomes, request))
