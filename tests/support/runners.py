"""Runners of test experts: they echo, fail, hang or die, as their card's description says."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from deployments.errors import ExpertError
from deployments.result import Input, Result
from deployments.runners.base import Runner
from tests.support.signal import give


class Echo(Runner):
    """Gives back what it gets: words with the model's name, media as they are."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        return [self._echo(item) for item in inputs]

    def _echo(self, item: Input) -> Result:
        words = " ".join(value for value in item.args.values() if isinstance(value, str))
        return Result(
            text=f"{words}+{self.card.id.rpartition('/')[2]}",
            data=[{"label": "echo", "score": 1.0}],
            image=item.args.get("image"),
            audio=item.args.get("audio"),
        )


class Raises(Runner):
    """Fails on every input."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        raise ExpertError("this model is broken")


class Dies(Runner):
    """Kills its own process; once only where the description names a file to remember it by."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        marker = Path(self.card.description) if self.card.description else None
        if marker is None or not marker.exists():
            if marker is not None:
                marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [Result(text="back again", data=[]) for _ in inputs]


class Hangs(Runner):
    """Works until it is stopped, and signals both on the board that the description names."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        self._signal("begun")
        if self.stopping.wait(60):
            self._signal("stopped")
        return [Result(text="stopped", data=[]) for _ in inputs]

    def _signal(self, name: str) -> None:
        if self.card.description:
            give(self.card.description, name)


class Slow(Runner):
    """Takes half a second, so that two of them can be seen to overlap."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        self.stopping.wait(0.5)
        return [Result(text="slow", data=[]) for _ in inputs]


class Batches(Runner):
    """Says how many inputs came at once; an input that is 'bad' fails alone."""

    def run(self, inputs: Sequence[Input]) -> list[Result | Exception]:
        self.stopping.wait(0.05)
        return [
            ValueError("bad input") if item.text() == "bad" else Result(text=str(len(inputs)), data=[])
            for item in inputs
        ]
