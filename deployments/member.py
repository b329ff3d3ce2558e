"""Members of the fleet, and what the books say is to be done about them."""

from dataclasses import dataclass, field
from enum import StrEnum

from deployments.errors import BusyError, FleetError
from deployments.rooms import Device, Need, Place

LINGER = 0.2
"""For what part of the time that waking it took an expert stays after a call: the next one may be at hand."""

SHORTEST_LINGER_S, LONGEST_LINGER_S = 0.3, 2.0

GUESS_S = 10.0
"""What waking an expert takes where nobody has measured it."""


class State(StrEnum):
    """Where an expert of the fleet is."""

    ASLEEP = "asleep"
    WAKING = "waking"
    WARM = "warm"
    LEAVING = "leaving"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to call an expert, which keeps its replicas.

    Attributes:
        since: when it was given.
        until: when it ends at the latest, for its holder may have died.

    """

    since: float
    until: float


@dataclass(slots=True, eq=False)
class Member:
    """An expert of the fleet. Times are seconds on the keeper's clock.

    Attributes:
        model: its model's id.
        need: what a replica takes.
        capacity: how many calls at once one replica serves without delay.
        most: the most replicas.
        pinned: it never leaves.
        places: what its replicas take, or will; empty while it is asleep.
        leases: the leases it holds.
        resizing: replicas are being added or taken away.
        closing: it takes no more calls, and leaves when those it has have ended.
        removed: it is no more of the fleet once it has left.
        used: when it was last used, or expected to be.
        since: when it came into its state.
        wake_s: what waking it takes, by its last times.
        call_s: what a call of it takes, by its last times.
        epoch: a number of its present application; another one means another application.
        wakes: how often it was woken.
        hits: how often a call found it warm.
        evictions: how often it left.
        failures: how often it could not be woken since it last was.
        reason: why it could not be woken.
        retry_at: until when it is left alone after that.

    """

    model: str
    need: Need
    capacity: int = 2
    most: int = 1
    pinned: bool = False
    state: State = State.ASLEEP
    places: tuple[Place, ...] = ()
    leases: dict[str, Lease] = field(default_factory=dict)
    resizing: bool = False
    closing: bool = False
    removed: bool = False
    used: float = 0.0
    since: float = 0.0
    wake_s: float = GUESS_S
    call_s: float = 1.0
    epoch: int = 0
    wakes: int = 0
    hits: int = 0
    evictions: int = 0
    failures: int = 0
    reason: str = ""
    retry_at: float = 0.0

    @property
    def unplaced(self) -> bool:
        """Whether its replica waits in Ray for room that is not there yet."""
        waits = self.state is State.WAKING and bool(self.places)
        return waits and not any(place.devices for place in self.places)

    @property
    def crowded(self) -> bool:
        """Whether its calls wait for each other, and one more replica would help."""
        full = len(self.leases) > self.capacity * len(self.places)
        steady = self.state is State.WARM and not self.resizing and not self.closing
        return steady and full and 0 < len(self.places) < self.most

    @property
    def roomy(self) -> bool:
        """Whether it could do with a replica less."""
        fewer = len(self.places) - 1
        return (
            self.state is State.WARM
            and fewer > 0
            and not self.resizing
            and len(self.leases) <= self.capacity * fewer
        )

    def idle(self) -> bool:
        """Whether it may leave now."""
        return self.state is State.WARM and not self.leases and not self.pinned and not self.resizing

    def stays_until(self) -> float:
        """Until when an idle expert is not put out: who asks once often asks again at once.

        Without that, two who take turns at one GPU would have it swapped for every call.
        """
        return self.used + min(max(LINGER * self.wake_s, SHORTEST_LINGER_S), LONGEST_LINGER_S)

    def worth(self, now: float) -> float:
        """What is lost when it leaves: the longer it was not used, the less (cost to wake over that time)."""
        return self.wake_s / max(now - self.used, 1e-3)

    def left_s(self, now: float) -> float:
        """How long it may still be at work, if its calls take as long as usual."""
        return max(
            (max(0.0, self.call_s - (now - lease.since)) for lease in self.leases.values()), default=0.0
        )


@dataclass(frozen=True, slots=True)
class Wake:
    """Have a replica started, which will take ``place``."""

    model: str
    place: Place


@dataclass(frozen=True, slots=True)
class Sleep:
    """Have an expert's replicas ended; what they have begun is finished."""

    model: str


@dataclass(frozen=True, slots=True)
class Resize:
    """Have as many replicas of an expert."""

    model: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease is given: its call may be made."""

    model: str
    lease: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """A lease cannot be given.

    Attributes:
        reason: why, as a part of a sentence.
        wait_s: after how long it probably could be; None where waiting does not help.

    """

    model: str
    lease: str
    reason: str
    wait_s: float | None = None

    def error(self) -> FleetError:
        """The refusal as the caller gets it."""
        told = f"{self.model} cannot run now: {self.reason}."
        return FleetError(told) if self.wait_s is None else BusyError(f"{told} Try again then.", self.wait_s)


Action = Wake | Sleep | Resize | Grant | Refuse


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits for an expert.

    Attributes:
        lease: the lease that is to be given.
        member: the expert.
        since: when the wait began.
        deadline: when the wait ends.
        patient: until when he lets others pass, and then until devices are looked for anew.
        until: when his call has ended at the latest.
        closed: devices that others may not take before him.

    """

    lease: str
    member: Member
    since: float
    deadline: float
    patient: float
    until: float
    closed: tuple[Device, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether there is no room for him, so that time alone may change what is done."""
        return self.member.state is State.ASLEEP and not self.closed
