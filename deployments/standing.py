"""How the experts of the fleet are: what the keeper tells to controllers and to people."""

from dataclasses import dataclass, replace

from deployments.member import State
from model_catalog.card import ModelCard


@dataclass(frozen=True, slots=True)
class Standing:
    """How an expert of the fleet is. Times are seconds since the epoch.

    Attributes:
        card: its card, as it was given; its share may be open.
        state: see ``member.State``.
        share: the number of GPUs that a replica holds, or a part of one; 0 on the CPU, and while it sleeps.
        pinned: it never sleeps once it is awake.
        replicas: how many it has.
        calls: how many calls it serves now.
        wake_s: what waking it takes.
        epoch: a number of its application; a handle of an earlier one is of no use.
        wakes: how often it was woken.
        obstacle: why it cannot be woken, as a part of a sentence; None where it can.
        places: where its replicas are: ``node`` or ``node:GPU``, with Ray's id of the node.
        peak_bytes: the most memory that a replica measured; 0 where none has.
        used: when it was last used; 0 for never.
        sleeps: when it sleeps if nobody uses it; None where it does not.
        hits: how many calls found it awake.
        evictions: how often it was put to sleep.

    """

    card: ModelCard
    state: State
    share: float = 0.0
    pinned: bool = False
    replicas: int = 0
    calls: int = 0
    wake_s: float = 0.0
    epoch: int = 0
    wakes: int = 0
    obstacle: str | None = None
    places: tuple[str, ...] = ()
    peak_bytes: int = 0
    used: float = 0.0
    sleeps: float | None = None
    hits: int = 0
    evictions: int = 0

    @property
    def awake(self) -> bool:
        """Whether a call is answered without waking it."""
        return self.state is State.WARM

    def lasting(self) -> "Standing":
        """What of it a choice hangs on: not what changes with each call."""
        return replace(self, calls=0, used=0.0, sleeps=None, hits=0)
