"""The protocol of planners: a request in, tasks out one by one, as soon as each is known."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller.plan import Plan
from controller.request import Request
from deployments.llm.client import Usage
from model_catalog.card import ModelCard

Offers = Callable[[str], tuple[ModelCard, ...]]
"""The candidates that can run a task type now, first by rank."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A planner's direct answer to a request that needs no task, or a piece of it."""

    text: str


RawTask = Mapping[str, Any]
"""A task in wire form, with ``model``, ``reason`` and ``want`` where named; see ``controller.plan``."""


class Planner(Protocol):
    """Writes plans.

    Attributes:
        name: what the answer calls it where it matters which brain planned.
        streamed: whether a plan takes long to write, so that its first tasks should start before its last
            ones are known.

    """

    name: str
    streamed: bool

    def plan(
        self, request: Request, offers: Offers, plan: Plan, usage: Usage | None = None, run: str = ""
    ) -> AsyncIterator[RawTask | Reply]:
        """Yield the tasks of the request, each behind those it refers to; or ``Reply`` in pieces.

        Args:
            request: the conversation.
            offers: what can run now.
            plan: what each task is added to before the next one is asked for, so that faults can be seen,
                and written anew (``Plan.retry``).
            usage: takes what an LLM was asked.
            run: the run's id, for logs.

        """
        ...
