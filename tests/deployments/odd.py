"""A runner in a process of its own that does as it is told; it imports little, so that it is there soon."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from deployments import memory
from deployments.errors import ExpertError, InputError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners.base import Runner
from model_catalog.card import ModelCard


class Odd(Runner):
    """Does what the text says; remembers the batches it had."""

    apart = True

    def load(self, card: ModelCard, device: str) -> None:
        super().load(card, device)
        self.batches: list[list[str]] = []
        if card.description == "unloadable":
            raise ExpertError("weights are missing")
        if card.description == "foreign":
            raise ValueError(f"a secret: {self.token}")
        if card.description == "dies":
            os.kill(os.getpid(), signal.SIGKILL)

    def weights(self) -> Sequence[Path]:
        return [Path(self.card.description)] if self.card.description.startswith("/") else []

    def key(self, item: Input) -> str:
        return item.text()[:1] if self.card.description == "keyed" else ""

    def run(self, inputs: Sequence[Input]) -> list[Any]:
        self.batches.append([item.text() for item in inputs])
        return [self._answer(item) for item in inputs]

    def _answer(self, item: Input) -> Any:
        what, _, more = item.text().partition(" ")
        told = getattr(self, f"_{what}", None)
        return told(item, more) if told else Result(text=item.text().upper(), data=self.batches)

    def _die(self, item: Input, more: str) -> None:
        if more:
            Path(more).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def _wait(self, item: Input, more: str) -> Result:
        """Wait until a file is there, or nobody waits."""
        Path(f"{more}.begun").touch()
        while not Path(more).exists() and not self.stopping.is_set():
            time.sleep(0.002)
        return Result(text="stopped" if self.stopping.is_set() else "waited")

    def _process(self, item: Input, more: str) -> Result:
        environment = Path("/proc/self/environ").read_text().split("\0")
        told = {"pid": os.getpid(), "session": os.getsid(0), "cwd": str(Path.cwd()), "nice": os.nice(0)}
        return Result(
            text="",
            data={
                **told,
                "cmdline": Path("/proc/self/cmdline").read_text(),
                "environ": environment,
                "env": dict(os.environ),
            },
        )

    def _random(self, item: Input, more: str) -> Result:
        return Result(text=str(np.random.random()))

    def _picture(self, item: Input, more: str) -> Result:
        image = item.args["image"]
        return Result(
            image=Image(255 - image.pixels[:, ::-1]), text=str(item.args["image"].pixels.flags.owndata)
        )

    def _refuse(self, item: Input, more: str) -> InputError:
        return SpecialError("too long for this model")

    def _panic(self, item: Input, more: str) -> None:
        raise BaseException("no ordinary error")

    def _raise(self, item: Input, more: str) -> None:
        raise ValueError("a secret")

    def _smuggle(self, item: Input, more: str) -> Result:
        return Result(image=Smuggled())  # type: ignore[arg-type]

    def _absent(self, item: Input, more: str) -> Result:
        """Give what is of a type, or a module, of ours that only this process has."""
        name = more or "deployments.result"
        alone = type("Alone", (), {"__module__": name})
        vars(sys.modules.setdefault(name, ModuleType(name)))["Alone"] = alone
        return Result(image=alone())

    def _misshapen(self, item: Input, more: str) -> Result:
        return Result(image=Misshapen())  # type: ignore[arg-type]

    def _nonsense(self, item: Input, more: str) -> Result:
        """Have this process tell its memory as no number."""
        memory.peak = lambda _: "much"  # type: ignore[assignment, return-value]
        return Result(text="nonsense")

    def _break(self, item: Input, more: str) -> Result:
        self.broken = True
        return Result(text="broken")


class SpecialError(InputError):
    """An error that only a plugin has."""


class Smuggled:
    """What a replica must never make of a message."""

    def __reduce__(self) -> Any:
        return sys.intern, ("smuggled",)


class Misshapen:
    """A picture without its pixels."""

    def __reduce__(self) -> Any:
        return Image, ()
