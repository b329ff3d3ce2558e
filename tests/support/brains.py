"""Stand-ins for who plans, who answers, and who takes the figures."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.outcome import Outcome
from controller.plan import Plan
from controller.planner import Offers, RawTask, Reply
from controller.request import Request
from deployments.llm.client import Usage
from model_catalog.card import ModelCard


@dataclass(slots=True)
class FakePlanner:
    """Plans what it is told to; an exception among the steps is raised, an event is waited for."""

    steps: Sequence[Mapping[str, Any] | Reply | Exception | asyncio.Event] = ()
    streamed: bool = False
    name: str = "fake brain"
    offered: list[ModelCard] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    closed: bool = False

    async def plan(
        self, request: Request, offers: Offers, plan: Plan, usage: Usage | None = None, run: str = ""
    ) -> AsyncIterator[RawTask | Reply]:
        """See ``controller.planner.Planner``."""
        self.offered += offers("fill-mask")
        self.asked.append(request)
        try:
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.closed = True


@dataclass(slots=True)
class FakeResponder:
    """Answers in these pieces, and remembers what it was told."""

    pieces: Sequence[str | Exception | asyncio.Event] = ("All ", "done.")
    name: str = "fake brain"
    takes_s: float = 0.0
    told: list[tuple[Request, Plan, tuple[Outcome, ...]]] = field(default_factory=list)

    async def respond(
        self,
        request: Request,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        usage: Usage | None = None,
        run: str = "",
    ) -> AsyncIterator[str]:
        """See ``controller.responder.Responder``."""
        self.told.append((request, plan, tuple(outcomes)))
        for piece in self.pieces:
            await asyncio.sleep(0)
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece


@dataclass(slots=True)
class FakeMeter:
    """Remembers the figures of runs and tasks."""

    runs: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    tasks: list[Outcome] = field(default_factory=list)

    def run(self, outcome: str, seconds: dict[str, float]) -> None:
        """See ``controller.controller.Meter``."""
        self.runs.append((outcome, dict(seconds)))

    def task(self, outcome: Outcome) -> None:
        """See ``controller.controller.Meter``."""
        self.tasks.append(outcome)
