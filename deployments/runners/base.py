"""The contract of a runner: how a family of models is run.

A runner lives in one replica and is used by one thread at a time. A person who adds a model writes
``load`` and ``run``; ``stop`` matters where one call takes long.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from deployments.result import Input, Result
from model_catalog.card import ModelCard


class Runner(ABC):
    """Runs one model.

    Attributes:
        card: the model's card.
        device: where it runs, ``cpu`` or ``cuda``.
        stopping: set when nobody waits for the running call any more; cleared before each ``run``. A loop
            inside ``run`` looks at it, so that the model is free again soon.

    """

    card: ModelCard
    device: str

    def __init__(self) -> None:
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

    def warm_up(self) -> None:  # noqa: B027
        """Make the first real call quick; called once after ``load``. Does nothing by default."""

    def stop(self) -> None:
        """End the running call soon; called from another thread when nobody waits for it any more."""
        self.stopping.set()
