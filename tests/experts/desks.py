"""The groups of models that are served, one at a time."""

from contextlib import ExitStack

from tests.experts.models import GROUPS
from tests.support.expert_models import Desk, serving
from tests.support.hub import FakeHub


class Desks:
    """One group's models are served at a time: the next group's take their place."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub
        self._stack = ExitStack()
        self._open: dict[str, Desk] = {}

    def of(self, group: str) -> Desk:
        """Where the models of a group are called from."""
        if group not in self._open:
            self.close()
            self._open[group] = self._stack.enter_context(serving(self._hub, GROUPS[group]))
        return self._open[group]

    def close(self) -> None:
        """Remove what is served."""
        self._open.clear()
        self._stack.close()
