"""A model in the replica's own process, on a thread that alone touches it."""

import asyncio
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import SecretStr

from deployments.figures import Loaded
from deployments.result import Result
from deployments.runners.base import Runner
from deployments.seat import Job, Seat
from model_catalog.card import ModelCard


class Here:
    """A seat, with the verbs of ``Apart``.

    Attributes:
        loaded: how it came to be ready.

    """

    def __init__(self, runner: Runner, card: ModelCard) -> None:
        self._seat = Seat(runner, card)
        self.loaded = Loaded("cpu", 0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    @property
    def broken(self) -> bool:
        """Whether the process cannot go on."""
        return self._seat.broken

    def load(self, token: SecretStr | None) -> Loaded:
        """Load the model.

        Raises:
            ExpertError: it cannot be loaded.

        """
        self.loaded = self._thread.submit(self._seat.load, token).result()
        return self.loaded

    def peak(self) -> int:
        """The most memory taken so far, in bytes; see ``Figures``."""
        return self._seat.peak()

    async def key(self, job: Job) -> Hashable:
        """What a call's batch has in common."""
        return self._seat.key(job)

    async def run(self, jobs: Sequence[Job]) -> list[Result | Exception]:
        """The answers of a batch."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._seat.run, jobs)

    def drop(self, job: Job) -> None:
        """Forget a call; the model is stopped when no call of its batch is wanted any more."""
        self._seat.drop(job)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)
