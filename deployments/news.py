"""News of the fleet: the controllers are told whose experts have woken, slept, come or gone."""

import asyncio
from collections.abc import Callable, Sequence

from deployments import fleet
from deployments.standing import Standing

TOGETHER_S = 0.05
"""For how long news are gathered."""


class News:
    """Tells what has changed since it was last told; many changes at once are told together."""

    def __init__(self, standings: Callable[[], Sequence[Standing]]) -> None:
        """Prepare.

        Args:
            standings: how every expert of the fleet stands now.

        """
        self._standings = standings
        self._told: dict[str, Standing] = {}
        self._gone: set[str] = set()
        self._telling: asyncio.Task[None] | None = None

    def gone(self, model: str) -> None:
        """Note that a model is no more of the fleet."""
        self._told.pop(model, None)
        self._gone.add(model)

    def spread(self) -> None:
        """Tell what is new; returns at once."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TOGETHER_S)
            there = self._standings()
            gone = self._gone - {standing.card.id for standing in there}
            changed = [one for one in there if self._told.get(one.card.id) != one.lasting()]
            self._told |= {one.card.id: one.lasting() for one in changed}
            self._gone = set()
            if not changed and not gone:
                return
            await asyncio.to_thread(fleet.tell, changed, sorted(gone))
