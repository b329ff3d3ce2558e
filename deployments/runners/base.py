"""The contract of a runner: how a family of models is run.

A runner lives in one replica and is used by one thread at a time. A person who adds a model writes
``load`` and ``run``; ``stop`` matters where one call takes long.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr

from deployments.errors import StoppedError
from deployments.result import Input, Result
from model_catalog.card import ModelCard


class Runner(ABC):
    """Runs one model.

    Attributes:
        requires: modules it needs beyond the base install, so that a machine without them is told at once.
        checkpoint: whether it loads a model of the Hub, whose commit is then pinned when it is deployed.
        apart: whether it runs in a process of its own, beside its replica's; such a process has torch,
            transformers and diffusers from the start, and all of Python for itself.
        card: the model's card.
        device: where it runs, ``cpu`` or ``cuda``.
        token: the operator's token for the Hugging Face Hub, set before ``load``; never to be logged.
        broken: set by the runner when its process cannot go on, so that its replica is replaced.
        stopping: set when nobody waits for the running call any more; cleared before each ``run``. A loop
            inside ``run`` looks at it, so that the model is free again soon.

    """

    requires: ClassVar[tuple[str, ...]] = ()
    checkpoint: ClassVar[bool] = False
    apart: ClassVar[bool] = False
    card: ModelCard
    device: str

    def __init__(self) -> None:
        self.token: SecretStr | None = None
        self.broken = False
        self.stopping = threading.Event()

    def load(self, card: ModelCard, device: str) -> None:
        """Load the model; called once, on the model thread, before the first run.

        Raises:
            ExpertError: the model cannot be loaded.

        """
        self.card = card
        self.device = device

    @abstractmethod
    def run(self, inputs: Sequence[Input]) -> Sequence[Result | Exception]:
        """Answer each input, in order; at most ``card.batch_size`` come at once.

        An input that fails alone is answered by its exception, so that its neighbours are delivered.

        Raises:
            Exception: the whole batch failed.

        """

    def key(self, item: Input) -> Hashable:
        """What inputs of one model call must share, such as a shape or a parameter; all may, by default.

        Called on the event loop, so that it must be quick. ``key`` of a bad input must not raise.
        """
        return None

    def weights(self) -> Sequence[Path]:
        """The files of its weights, to be kept in RAM while the model sleeps; none by default."""
        return ()

    def warm_up(self) -> None:  # noqa: B027
        """Make the first real call quick; called once after ``load``. Does nothing by default."""

    def stop(self) -> None:
        """End the running call soon; called from another thread when nobody waits for it any more."""
        self.stopping.set()


class AsyncRunner(Runner):
    """A runner that waits rather than computes, as on a model served elsewhere.

    Its calls run on the replica's event loop, up to ``card.batch_size`` at once; a call that nobody waits for
    any more is cancelled.
    """

    @abstractmethod
    async def answer(self, item: Input) -> Result:
        """Answer one input.

        Raises:
            Exception: it could not be answered.

        """

    def run(self, inputs: Sequence[Input]) -> Sequence[Result | Exception]:
        """Answer inputs without a replica, all at once."""

        async def gather() -> list[Result | Exception]:
            found = await asyncio.gather(*map(self.answer, inputs), return_exceptions=True)
            return [
                item if isinstance(item, Result | Exception) else StoppedError(str(item)) for item in found
            ]

        return asyncio.run(gather())
