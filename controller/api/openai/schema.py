"""What several endpoints of OpenAI's dialect have in common: errors, usage, and the account of a run."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from controller.api.address import Address
from controller.events import PlanDone, RunDone
from controller.outcome import Outcome
from deployments.llm.budget import tokens
from model_catalog.tasks import Modality

PLANNER = "hugginggpt"
"""The model that plans a request and has experts do it."""

_STREAMED_DATA = 32 << 10
"""The most bytes of data, of all outcomes together, in one line of a stream."""

_STREAMED_WORDS = 1_000
"""The most characters of each text in such a line."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""The model that a request names."""


class Body(BaseModel):
    """A request; fields that mean nothing here are passed over, as OpenAI's clients send many."""

    model_config = ConfigDict(extra="ignore")


class Form(Body):
    """How an answer is to be written."""

    type: str = "text"


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
    def of(cls, done: RunDone, plan: PlanDone | None, address: Address) -> "Account":
        """The account of a run that has ended; ``address`` makes those of its files."""
        return cls(
            run=done.run,
            plan=plan.plan if plan else [],
            outcomes=done.outcomes,
            artifacts=made(done.outcomes, address),
        )

    def streamed(self) -> dict[str, Any]:
        """The account as JSON of one line in a stream: clients refuse lines that are too long.

        Of data, what fits is told, the shortest first; ``data_left_out`` marks the outcomes without theirs.
        Of texts, in plans and outcomes alike, the begin is told.
        """
        told: dict[str, Any] = _shortened(
            self.model_dump(mode="json", exclude={"outcomes": {"__all__": {"data"}}})
        )
        data = [outcome.model_dump(mode="json", include={"data"})["data"] for outcome in self.outcomes]
        sizes = [len(json.dumps(item)) for item in data]
        room = _STREAMED_DATA
        for place in sorted(range(len(data)), key=sizes.__getitem__):
            room -= sizes[place]
            more = {"data": data[place]} if room >= 0 else {"data": None, "data_left_out": True}
            told["outcomes"][place].update(more)
        return told


def _shortened(told: Any) -> Any:
    """JSON with each of its texts at most so long."""
    if isinstance(told, str):
        return told if len(told) <= _STREAMED_WORDS else f"{told[:_STREAMED_WORDS]}…"
    if isinstance(told, list):
        return [_shortened(item) for item in told]
    return {name: _shortened(item) for name, item in told.items()} if isinstance(told, dict) else told


def made(outcomes: Sequence[Outcome], address: Address) -> tuple[Made, ...]:
    """The files of some outcomes, with their addresses."""
    return tuple(
        Made(
            url=address.of(item.path),
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
