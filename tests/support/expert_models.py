"""Tiny models on the tests' hub, deployed through the fleet and called through the controller."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import serve

from controller.controller import Controller
from controller.events import RunDone
from controller.experts import ServeExperts
from controller.handles import ServeStore
from controller.outcome import Outcome, Status
from controller.request import Message, Request
from controller.responder import EmbeddedResponder
from controller.selector import Selector
from controller.settings import Settings
from deployments import fleet
from deployments.decode import decode
from deployments.encode import encode
from deployments.media import Audio, File, Image, Table, Value, Video
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from tests.support.brains import FakeMeter, FakePlanner
from tests.support.hub import FakeHub
from tests.support.tiny import Builder, tiny

SHARE = 0.05
"""Of a logical GPU; two of them hold forty experts."""


@dataclass(frozen=True)
class Published:
    """A tiny model on the hub, and its card."""

    card: ModelCard
    builder: Builder
    parts: tuple[tuple[str, Builder], ...] = ()

    def publish(self, hub: FakeHub) -> None:
        """Put it on the hub, with its parts."""
        hub.add(self.card.id, tiny(self.builder))
        for role, builder in self.parts:
            hub.add(self.card.parts[role], tiny(builder))


def published(builder: Builder, library: str, *tasks: str, parts: Any = (), **fields: Any) -> Published:
    """A model of the hub; ``parts`` are builders by role."""
    area = builder.__module__.rpartition(".")[2]
    named = {role: f"tiny/{area}-{made.__name__}" for role, made in dict(parts).items()}
    given = {"id": f"tiny/{area}-{builder.__name__}", "gpu": SHARE, "batch_size": 8, **fields}
    card = ModelCard(tasks=tasks, library=library, parts=named, **given)
    return Published(card, builder, tuple(dict(parts).items()))


@contextmanager
def serving(hub: FakeHub, models: Sequence[Published]) -> Iterator["Desk"]:
    """The models as experts for a while, and a desk to call them from."""
    for model in models:
        model.publish(hub)
    cards = [model.card for model in models]
    try:
        fleet.deploy(cards)
        yield Desk(cards)
    finally:
        for card in cards:
            serve.delete(fleet.app_name(card), _blocking=False)


@dataclass
class Ran:
    """What became of a plan: its outcomes by task id, the answer, and the files."""

    outcomes: dict[int, Outcome]
    answer: str
    files: dict[int, list[Value]] = field(default_factory=dict)

    def one(self, task: int = 0) -> Outcome:
        """The outcome of a task that is done."""
        outcome = self.outcomes[task]
        assert outcome.status is Status.DONE, outcome
        return outcome

    def image(self, task: int = 0) -> Image:
        """The picture that a task made."""
        (found,) = [value for value in self.files[task] if isinstance(value, Image)]
        return found

    def audio(self, task: int = 0) -> Audio:
        """The recording that a task made."""
        (found,) = [value for value in self.files[task] if isinstance(value, Audio)]
        return found

    def video(self, task: int = 0) -> Video:
        """The video that a task made, decoded from its file frame by frame."""
        (found,) = [value for value in self.files[task] if isinstance(value, Video)]
        return found


class Desk:
    """Runs plans on the session's cluster, by a controller whose planner says what it is told to."""

    def __init__(self, cards: Sequence[ModelCard]) -> None:
        self._selector = Selector(Catalog(cards))
        self._cluster = ServeExperts(self._selector.catalog)

    async def run(self, *tasks: dict[str, Any]) -> Ran:
        """Run a plan; values of media among the arguments are stored as files first."""
        store = ServeStore()
        steps = [{**task, "args": {name: await _given(store, value) for name, value in task["args"].items()}}
                 for task in tasks]  # fmt: skip
        controller = Controller(
            Settings(task_seconds=120),
            FakePlanner(steps),
            EmbeddedResponder(),
            self._selector,
            self._cluster,
            FakeMeter(),
        )
        if not self._selector.fleet.running:
            await controller.refresh()
        request = Request(messages=(Message(role="user", content="do it"),))
        (done,) = [event async for event in controller.run(request) if isinstance(event, RunDone)]
        ran = Ran({outcome.id: outcome for outcome in done.outcomes}, done.answer)
        for outcome in done.outcomes:
            ran.files[outcome.id] = [await _read(store, item) for item in outcome.artifacts]
        return ran

    async def ask(self, task: str, **args: Any) -> Ran:
        """Run a plan of one task."""
        return await self.run({"task": task, "id": 0, "args": args})


async def _given(store: ServeStore, value: Any) -> Any:
    """A value of media as the path of an uploaded file; all else as it is."""
    if not isinstance(value, Image | Audio | Video | Table):
        return value
    file = encode(value)
    ticket = await store.begin()
    await store.append(ticket, file.data)
    return (await store.finish(ticket, Path(f"x.{file.media_type.rpartition('/')[2]}").name)).path


async def _read(store: ServeStore, artifact: Any) -> Value:
    data = b""
    while len(data) < artifact.size:
        data += await store.read(artifact.path, len(data), artifact.size)
    return decode(File(data, artifact.media_type), artifact.modality)
