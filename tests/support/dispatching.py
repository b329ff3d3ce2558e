"""Plans over fake experts: the cards and plans that tests of the dispatcher share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controller.dispatcher import Dispatcher
from controller.events import Event, TaskDone, TaskFailed, TaskSkipped, TaskStarted
from controller.outcome import Outcome
from controller.plan import Plan
from controller.selector import Selector
from model_catalog.card import ModelCard
from tests.support.cluster import card
from tests.support.fakes import FakeExperts, now, selector, turns

A = card("a", "fill-mask", "Echo", downloads=9)
A2 = card("a2", "fill-mask", "Echo", downloads=5)
B = card("b", "summarization", "Echo", downloads=9)
B2 = card("b2", "summarization", "Echo", downloads=5)
C = card("c", "translation", "Echo")
DRAW = card("draw", "text-to-image", "Echo", downloads=9)
DRAW2 = card("draw2", "text-to-image", "Echo", downloads=5)
SEE = card("see", "image-classification", "Echo")
CARDS = (A, A2, B, B2, C, DRAW, DRAW2, SEE)

ONE = [{"task": "fill-mask", "id": 0, "args": {"text": "hello"}}]
CHAIN = [
    *ONE,
    {"task": "summarization", "id": 1, "args": {"text": "<GENERATED>-0"}},
    {"task": "translation", "id": 2, "args": {"text": "so: <GENERATED>-1!"}},
]
DIAMOND = [
    *ONE,
    {"task": "summarization", "id": 1, "args": {"text": "<GENERATED>-0"}},
    {"task": "text-to-image", "id": 2, "args": {"text": "<GENERATED>-0"}},
    {"task": "image-to-image", "id": 3, "args": {"image": "<GENERATED>-2", "text": "<GENERATED>-1"}},
]
PICTURE = [
    {"task": "text-to-image", "id": 0, "args": {"text": "a cat"}},
    {"task": "image-classification", "id": 1, "args": {"image": "<GENERATED>-0"}},
]


@dataclass
class Run:
    """A dispatcher, and all it does."""

    dispatcher: Dispatcher
    experts: FakeExperts
    selector: Selector
    events: list[Event] = field(default_factory=list)

    def ends(self) -> list[int]:
        """The tasks that told their end, in that order."""
        ends = (TaskDone, TaskFailed, TaskSkipped)
        return [event.outcome.id for event in self.events if isinstance(event, ends)]

    def started(self) -> list[int]:
        return [event.id for event in self.events if isinstance(event, TaskStarted)]

    async def settled(self) -> list[Outcome]:
        outcomes = await self.dispatcher.settle()
        assert sorted(self.ends()) == sorted(outcome.id for outcome in outcomes), "one end for each task"
        return list(outcomes)


async def begin(
    wire: Sequence[dict[str, Any]],
    experts: FakeExperts | None = None,
    cards: Sequence[ModelCard] = CARDS,
    *,
    task_seconds: float = 60.0,
    run_seconds: float = 1000.0,
    fleet_cold: Mapping[str, float] | None = None,
) -> Run:
    """Dispatch a plan, and let happen what can."""
    plan = Plan.parse(wire)
    assert not plan.faults
    fake = experts or FakeExperts()
    events: list[Event] = []
    chooses = selector(cards)
    chooses.see(replace(chooses.fleet, cold=fleet_cold or {}))
    made = Dispatcher(
        "run", fake, chooses, events.append, deadline=now() + run_seconds, task_seconds=task_seconds
    )
    for task in plan.tasks:
        made.dispatch(task)
    await turns()
    return Run(made, fake, chooses, events)


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.status.value for outcome in outcomes]


def codes(outcome: Outcome) -> list[str | None]:
    """How each attempt failed."""
    return [attempt.failure.code if attempt.failure else None for attempt in outcome.attempts]
