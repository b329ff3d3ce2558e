"""Leases that are held on for a moment: who asks an expert once often asks again at once.

To ask the keeper for each call costs a call of its own, while the expert is awake anyway. So a lease whose
call has ended well waits for the next call of this process, and is given back when none comes; it serves one
call at a time, and not for longer than ``SHARED_S``, so that others have their turn.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

SPARE_S = 0.2
"""How long a lease waits for the next call."""

SHARED_S = 2.0
"""How long one lease serves calls, one after the other."""


@dataclass(slots=True, eq=False)
class Held:
    """A lease that this process holds, or has asked for.

    Attributes:
        until: when it ends by itself, in seconds since the epoch.
        name: its name.
        epoch: the number of the expert's application.
        since: when it was granted, by the loop's clock.
        calls: how many calls it has served.
        worked_s: the seconds of these calls, all together.

    """

    until: float
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    epoch: int = -1
    since: float = 0.0
    calls: int = 0
    worked_s: float = 0.0

    def granted(self, epoch: int) -> None:
        """Note that the expert is awake, as the application of that number."""
        self.epoch, self.since = epoch, asyncio.get_running_loop().time()

    def served(self, seconds: float) -> None:
        """Note a call that has ended."""
        self.calls += 1
        self.worked_s += seconds


class Spares:
    """The leases of one process that no call uses now."""

    def __init__(self, give_back: Callable[[Held], None]) -> None:
        """Hold leases; ``give_back`` takes those whose time is over."""
        self._give_back = give_back
        self._held: dict[str, list[tuple[Held, asyncio.TimerHandle]]] = {}

    def take(self, model: str, until: float) -> Held | None:
        """A lease of an expert that lasts until then, where there is one."""
        while spares := self._held.get(model):
            held, timer = spares.pop()
            timer.cancel()
            if held.until >= until and self._fresh(held):
                return held
            self._give_back(held)
        return None

    def keep(self, model: str, held: Held) -> None:
        """Hold a lease whose call has ended well."""
        if not self._fresh(held):
            self._give_back(held)
            return
        timer = asyncio.get_running_loop().call_later(SPARE_S, self._over, model, held)
        self._held.setdefault(model, []).append((held, timer))

    def drop(self, model: str) -> None:
        """Give back all of an expert, as when it is gone."""
        for held, timer in self._held.pop(model, []):
            timer.cancel()
            self._give_back(held)

    def _over(self, model: str, held: Held) -> None:
        self._held[model] = [spare for spare in self._held[model] if spare[0] is not held]
        if not self._held[model]:
            del self._held[model]
        self._give_back(held)

    @staticmethod
    def _fresh(held: Held) -> bool:
        return asyncio.get_running_loop().time() - held.since < SHARED_S
