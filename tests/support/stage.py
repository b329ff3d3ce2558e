"""A controller with fakes all around it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.controller import Controller
from controller.events import Event, RunFailed
from controller.planner import Reply
from controller.request import Message, Request
from controller.settings import Settings
from tests.support.brains import FakeMeter, FakePlanner, FakeResponder
from tests.support.cluster import card
from tests.support.dispatching import CARDS
from tests.support.fakes import FakeCluster, answers, selector

ASKED = Request(messages=(Message(role="user", content="do it"),))
FAULTY = {"task": "mind-reading", "id": 9, "args": {}}
EDGES = {"task": "canny-control", "id": 5, "args": {"image": "/images/x.png"}}
EDGE = card("edge", "canny-control", "Echo")


@dataclass
class Stage:
    """A controller and everything around it."""

    steps: Sequence[Mapping[str, Any] | Reply | Exception | asyncio.Event] = ()
    streamed: bool = False
    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(answers))
    responder: FakeResponder = field(default_factory=FakeResponder)
    meter: FakeMeter = field(default_factory=FakeMeter)
    settings: Settings = field(default_factory=Settings)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.planner = FakePlanner(self.steps, self.streamed)
        self.controller = Controller(
            self.settings,
            self.planner,
            self.responder,
            selector([*CARDS, EDGE]),
            self.cluster,
            self.meter,
        )

    async def run(self, host: str = "") -> list[Event]:
        """The events of a whole run, those before an error among them."""
        async for event in self.controller.run(ASKED, host):
            self.events.append(event)
        return self.events

    def kinds(self) -> list[str]:
        return [event.type for event in self.events]

    def failed(self) -> RunFailed:
        """The last event, of a run that was refused or failed."""
        assert isinstance(self.events[-1], RunFailed)
        return self.events[-1]
