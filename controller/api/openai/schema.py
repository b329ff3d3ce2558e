"""What several endpoints of OpenAI's dialect have in common: errors, usage, and the account of a run."""

import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from controller.events import PlanDone, RunDone
from controller.outcome import Outcome
from deployments.llm.budget import tokens
from model_catalog.tasks import Modality

PLANNER = "hugginggpt"
"""The model that plans a request and has experts do it."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""The model that a request names."""


class Body(BaseModel):
    """A request; fields that mean nothing here are passed over, as OpenAI's clients send many."""

    model_config = ConfigDict(extra="ignore")


class Told(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Fault(Told):
    """What was wrong: in words, its kind, the field at fault, and a code for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Told):
    """The body of every error answer."""

    error: Fault


_ERROR: dict[str, Any] = {"model": ErrorBody, "description": "An error, in OpenAI's form."}
ERRORS: dict[int | str, dict[str, Any]] = {422: _ERROR, "default": _ERROR}
"""The error answers of a route, for its description."""


class Usage(Told):
    """Tokens; ``estimated`` where no LLM counted them, by a rule that errs on the high side."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated: bool = False

    @classmethod
    def of(cls, prompt: Iterable[str], answer: str, done: RunDone | None = None) -> "Usage":
        """What a run took where an LLM worked for it, else an estimate from the words."""
        counted = (done.usage if done else None) or {}
        read, written = counted.get("prompt_tokens", 0), counted.get("completion_tokens", 0)
        if read or written:
            return cls(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
        read, written = sum(map(tokens, prompt)), tokens(answer)
        return cls(prompt_tokens=read, completion_tokens=written, total_tokens=read + written, estimated=True)


class Made(Told):
    """A file that a run made."""

    url: str
    path: str
    modality: Modality
    media_type: str
    size: int
    task: str


class Account(Told):
    """How a request was done: the run's id, its plan in wire form, each task's outcome, the files made."""

    run: str
    plan: list[dict[str, Any]] = []
    outcomes: tuple[Outcome, ...] = ()
    artifacts: tuple[Made, ...] = ()

    @classmethod
    def of(cls, done: RunDone, plan: PlanDone | None, base: str) -> "Account":
        """The account of a run that has ended; ``base`` is this server's address."""
        return cls(
            run=done.run,
            plan=plan.plan if plan else [],
            outcomes=done.outcomes,
            artifacts=made(done.outcomes, base),
        )


def made(outcomes: Sequence[Outcome], base: str) -> tuple[Made, ...]:
    """The files of some outcomes, with their addresses."""
    return tuple(
        Made(
            url=f"{base}{item.path}",
            path=item.path,
            modality=item.modality,
            media_type=item.media_type,
            size=item.size,
            task=outcome.task,
        )
        for outcome in outcomes
        for item in outcome.artifacts
    )


def now() -> int:
    """Seconds since the epoch."""
    return int(time.time())
