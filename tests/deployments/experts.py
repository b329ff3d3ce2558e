"""Runners to watch an expert by, and experts over them, without Serve."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from deployments.errors import ExpertError, InputError
from deployments.expert import Expert
from deployments.result import Call, Input, Result
from deployments.runners.base import AsyncRunner, Runner
from model_catalog.card import ModelCard
from tests.support.cluster import card

HERE = "tests.deployments.experts"
BOUND_S = 20.0


class Held(Runner):
    """Runs until it is released or stopped, and remembers what it saw and where."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.release = threading.Event()
        self.deaf = False
        self.seen: list[list[str]] = []
        self.threads: list[str] = []

    def load(self, card: ModelCard, device: str) -> None:
        super().load(card, device)
        self.threads.append(threading.current_thread().name)

    def warm_up(self) -> None:
        self.threads.append(threading.current_thread().name)

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        assert not self.stopping.is_set(), "cleared before each run"
        self.seen.append([item.text() for item in inputs])
        self.threads.append(threading.current_thread().name)
        self.begun.set()
        while not self.release.wait(0.002) and (self.deaf or not self.stopping.is_set()):
            pass
        return [Result(text=item.text().upper()) for item in inputs]


class Answers(Runner):
    """Answers as the input says."""

    def run(self, inputs: Sequence[Input]) -> Any:
        answers: dict[str, Any] = {
            "foreign": ValueError("not of ours"),
            "ours": InputError("too long for this model"),
            "nothing": None,
            "well": Result(text="well"),
        }
        if inputs[0].text() == "raises":
            raise RuntimeError("x" * 900)
        if inputs[0].text() == "refuses":
            raise InputError("nothing of this batch")
        if inputs[0].text() == "forgets":
            return []
        return [answers[item.text()] for item in inputs]


class Unloadable(Runner):
    """Cannot be loaded."""

    def load(self, card: ModelCard, device: str) -> None:
        raise ExpertError("weights are missing")

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        raise AssertionError("never loaded")


def expert_of(name: str, **more: Any) -> Expert:
    runner = name if ":" in name else f"{HERE}:{name}"
    changes = {"runner": runner, **more}
    return Expert(card("m", "image-to-text", "Echo").model_copy(update=changes))


def call(text: str = "", **more: Any) -> Call:
    return Call("run-1", "image-to-text", 7, {"text": text} if text else {}, **more)


def held(**more: Any) -> tuple[Expert, Held]:
    expert = expert_of("Held", **more)
    assert isinstance(expert._runner, Held)
    return expert, expert._runner


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, BOUND_S)


async def together(expert: Expert, texts: Sequence[str]) -> list[asyncio.Task[Result]]:
    tasks = [asyncio.create_task(expert.infer(call(text))) for text in texts]
    await asyncio.sleep(0)
    return tasks


class Elsewhere(AsyncRunner):
    """Answers when it is let go; 'bad' fails."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.open: set[str] = set()
        self.most = 0
        self.cancelled: list[str] = []

    async def answer(self, item: Input) -> Result:
        text = item.text()
        if text == "bad":
            raise ValueError("a secret")
        self.open.add(text)
        self.most = max(self.most, len(self.open))
        try:
            await asyncio.wait_for(self.let_go.wait(), BOUND_S)
        except asyncio.CancelledError:
            self.cancelled.append(text)
            raise
        finally:
            self.open.discard(text)
        return Result(text=text.upper())


class Keyed(Held):
    """Batches what begins with the same letter; 'x' has no key."""

    def key(self, item: Input) -> str:
        if item.text().startswith("x"):
            raise ValueError("no key")
        return item.text()[0]
