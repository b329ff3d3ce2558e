"""Brains: who plans and who answers, by the settings; the embedded one steps in where an LLM fails."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass

from controller.llm.checking import Checker, checked
from controller.llm.mending import Files
from controller.llm.planner import LlmPlanner
from controller.llm.responder import LlmResponder
from controller.outcome import Outcome
from controller.plan import Plan
from controller.planner import Offers, Planner, RawTask, Reply
from controller.request import Request
from controller.responder import EmbeddedResponder, Responder
from controller.rules.planner import EmbeddedPlanner
from controller.streams import closing, following
from deployments.llm.client import Llm, Usage
from deployments.llm.endpoint import Endpoint
from deployments.llm.errors import LlmError, LlmRefusedError, LlmTimeoutError, LlmUnavailableError

_SIGNS = re.compile(r"[/\\<>&%@`]|\]\s*[(:\[]|[.:][^\W\d]")

PATIENCE = 0.5
"""The part of the time for plan and tasks in which an LLM must have planned a first task, and may plan.

The rest is for the tasks: those that are planned last, or all of them where the embedded brain plans instead.
"""

_WAITS = 0.25
"""The part of that time that planning may wait besides for places among an endpoint's calls at once."""


@dataclass(frozen=True, slots=True)
class Brain:
    """What plans and what answers."""

    planner: Planner
    responder: Responder


def brain(
    planner: Endpoint | None,
    responder: Endpoint | None,
    run_seconds: float,
    cold: Callable[[], Mapping[str, float]] = dict,
) -> Brain:
    """The brain of a controller: LLMs where there are endpoints, else rules.

    Args:
        planner: where the LLM that plans is asked.
        responder: where the LLM that answers is asked.
        run_seconds: the time of a whole run.
        cold: asked for the models that are not loaded, and the seconds that each takes.

    """
    models = {endpoint: Llm(endpoint) for endpoint in (planner, responder) if endpoint is not None}
    answers = LlmResponder(models[responder]) if responder else Checked(EmbeddedResponder())
    if planner is None:
        return Brain(EmbeddedPlanner(), answers)
    seconds = task_time(run_seconds, answers.takes_s)
    patience = seconds * PATIENCE
    return Brain(
        Guarded(LlmPlanner(models[planner], cold, patience, seconds * _WAITS), patience),
        answers,
    )


def task_time(run_seconds: float, takes_s: float) -> float:
    """Seconds for plan and tasks: what a run has, less what its answer takes."""
    return max(run_seconds / 2, run_seconds - takes_s)


class Checked:
    """A responder whose answer is checked as that of an LLM is: it quotes what models wrote."""

    def __init__(self, first: Responder) -> None:
        self.name = first.name
        self.takes_s = first.takes_s
        self._first = first

    async def respond(
        self,
        request: Request,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        usage: Usage | None = None,
        run: str = "",
    ) -> AsyncGenerator[str]:
        """See ``Responder``."""
        answer = self._first.respond(request, plan, outcomes, usage=usage, run=run)
        if _may_mislead(plan, outcomes):
            answer = checked(answer, Checker(Files.of(request, plan, outcomes)))
        async with closing(answer) as pieces:
            async for piece in pieces:
                yield piece


def _may_mislead(plan: Plan, outcomes: Sequence[Outcome]) -> bool:
    """Whether an answer made by rules may quote what looks like a link, a picture or a file."""
    if plan.faults or plan.notes or plan.remarks:
        return True
    return any(_SIGNS.search(f"{outcome.text} {outcome.data} {outcome.error}") for outcome in outcomes)


class Guarded:
    """A planner over an LLM; where it fails before it has planned a task, the embedded brain plans.

    A model that refuses is not gone around: its refusal is the answer.
    """

    streamed = True

    def __init__(self, first: Planner, patience_s: float, then: Planner | None = None) -> None:
        """Guard a planner.

        Args:
            first: the planner over an LLM.
            patience_s: how long its first task may take.
            then: what plans where it fails; the embedded planner by default.

        """
        self.name = first.name
        self._first = first
        self._then = then or EmbeddedPlanner()
        self._patience_s = patience_s

    async def plan(
        self, request: Request, offers: Offers, plan: Plan, usage: Usage | None = None, run: str = ""
    ) -> AsyncGenerator[RawTask | Reply]:
        """See ``Planner``."""
        begun = replied = False
        checker = Checker(Files.of(request))
        try:
            async with closing(self._first.plan(request, offers, plan, usage, run)) as steps:
                while (step := await self._next(steps, begun)) is not None:
                    begun, replied = True, replied or isinstance(step, Reply)
                    yield Reply(checker.feed(step.text)) if isinstance(step, Reply) else step
            if replied:
                yield Reply(checker.rest())
            if begun or plan.faults:
                return
            raise LlmUnavailableError("It planned nothing and said nothing.")
        except LlmError as error:
            if plan.tasks or replied or isinstance(error, LlmRefusedError):
                raise
            plan.retry(plan.faults)
            told = f"The {self._then.name} planned this, since {self.name} could not: {error.message}"
            plan.remarks.append(told)
        whole = [step async for step in self._then.plan(request, offers, plan, usage, run)]
        for step in whole:  # at once, since all are known
            yield step

    async def _next(self, steps: AsyncGenerator[RawTask | Reply], begun: bool) -> RawTask | Reply | None:
        """The next step, None after the last.

        Raises:
            LlmTimeoutError: the first one did not come in time.

        """
        if begun:
            return await anext(steps, None)
        try:
            return await following(steps, self._patience_s)
        except TimeoutError:
            raise LlmTimeoutError(f"It planned nothing within {self._patience_s:g} s.") from None
