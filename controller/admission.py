"""Admission: whether a run may begin, by what those before it have still to do.

The books say for each expert how many calls the admitted runs have still to make, those under way among them,
and what a call takes. From both follows how long a new run's call would wait; where that is over a limit,
the run is refused before anything of it is done, with the time after which it is worth another try. Callers
share what room there is by dynamic thresholds (Choudhury and Hahne, "Dynamic Queue Length Thresholds for
Shared-Memory Packet Switches", 1998): nobody's backlog may pass a multiple of the room that is free, so that
one who asks without end leaves some for who asks seldom.

Nothing here knows of Ray; the clock is given.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from controller.errors import OverloadedError
from controller.events import Event, TaskChosen, TaskDone, TaskFailed, TaskSkipped, TaskStarted

_K = TypeVar("_K", bound=Hashable)

LEAST_S = 1.0
"""A wait for an expert that is always taken, in seconds."""

TURNS = 5.0
"""How many of an expert's own turns a call may wait for it, where that is longer."""

ALPHA = 4.0
"""How much of the free room a caller's backlog may be: one caller alone fills four fifths of all."""

LIGHT = 2.0
"""The limit, in limits of others, of who has less than an equal share of what waits.

So who asks seldom is let in where who asks without end is not, also behind a large plan of the latter.
"""

UNKNOWN = 32
"""How many calls may wait for an expert that has not answered any yet; or two for each of its places."""

MOST_RUNS = 256
"""The most errands under way in one process."""

_WEIGHT = 0.2  # of the latest call, in how long an expert works on one
_LATEST = 9  # calls whose strain counts
_SHORT_S = 1e-4  # no clock is better than that
_SOON_S = 1.0  # when to try again where nothing better is known


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an expert is able to do: calls at once in all its replicas, and seconds to wake if it sleeps."""

    places: int = 1
    wake_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that a run has to make: its name in the run, who could answer it, and after which others."""

    key: Hashable
    models: tuple[str, ...]
    after: tuple[Hashable, ...] = ()


class Room:
    """A number of places that callers share; nobody is refused a first one while any is free."""

    def __init__(self, most: int, what: str) -> None:
        """Share ``most`` places; ``what`` says in plural what takes them."""
        self._most = most
        self._what = what
        self._owners: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._owners.total()

    def take(self, owner: str) -> None:
        """Take a place.

        Raises:
            OverloadedError: there is none, or none for this caller.

        """
        total, own = self._owners.total(), self._owners[owner]
        if total >= self._most or own > ALPHA * (self._most - total):
            raise OverloadedError(f"{total} {self._what} are under way; try again in a moment.", _SOON_S)
        self._owners[owner] += 1

    def leave(self, owner: str) -> None:
        """Give a place back."""
        _less(self._owners, owner)


@dataclass(slots=True)
class Line:
    """The calls that runs have still to make on one expert, and what it takes for one.

    Attributes:
        capacity: what it is able to do now.
        service_s: how long it works on a call, or on those that it takes together; None before the first.
        strains: of the latest calls, how much longer they were there than it worked on them, for each time
            that all places before them were filled: calls that do not go together, or come from other
            processes, make it more than one.
        owners: the calls of each caller.
        parties: the calls of each errand.
        at_work: the calls whose inputs are there.

    """

    capacity: Capacity = field(default_factory=Capacity)
    service_s: float | None = None
    strains: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST))
    owners: Counter[str] = field(default_factory=Counter)
    parties: Counter[str] = field(default_factory=Counter)
    at_work: int = 0

    @property
    def calls(self) -> int:
        """How many there are."""
        return self.owners.total()

    @property
    def turn_s(self) -> float | None:
        """How long a call takes for each time that all places before it are filled; None before the first.

        One call that waited for a replica to be started anew, or a few, change nothing.
        """
        if self.service_s is None:
            return None
        return self.service_s * (median(self.strains) if self.strains else 1.0)

    @property
    def limit_s(self) -> float:
        """How long a call may wait."""
        return max(LEAST_S, TURNS * (self.service_s or 0.0), self.capacity.wake_s)

    def wait_s(self, party: str) -> float:
        """How long a new call of an errand would wait for the calls of others."""
        others, places = self.calls - self.parties[party], self.capacity.places
        turn = self.turn_s
        if turn is None:
            return others * self.limit_s / max(UNKNOWN, 2 * places)
        return others * turn / places

    def allowed_s(self, owner: str, party: str) -> float:
        """How long a new call of a caller may wait, beside those that the caller has waiting."""
        counted = self.parties[party]
        own, others = self.owners[owner] - counted, self.calls - counted
        if own * len(self.owners.keys() | {owner}) < others:
            return LIGHT * self.limit_s
        share = own / others if others else 1.0
        return self.limit_s * ALPHA / (ALPHA + share)

    def add(self, owner: str, party: str) -> None:
        """Count a call."""
        self.owners[owner] += 1
        self.parties[party] += 1

    def remove(self, owner: str, party: str) -> None:
        """Count a call no more."""
        _less(self.owners, owner)
        _less(self.parties, party)

    def learn(self, sojourn_s: float, turns: int, service_s: float | None, cold: bool) -> None:
        """Learn from a call that ended well.

        Args:
            sojourn_s: how long it was there from when its inputs were.
            turns: how often its places were filled by those before it and by itself.
            service_s: how long it was worked on, where that is known.
            cold: whether it may have waited for its expert to wake.

        """
        service = max(_SHORT_S, sojourn_s / turns if service_s is None else service_s)
        known = self.service_s
        self.service_s = service if known is None else known + _WEIGHT * (service - known)
        if not cold:
            self.strains.append(max(sojourn_s, service) / turns / service)


@dataclass(slots=True)
class _Claim:
    """A call that is counted."""

    model: str
    began: float | None = None
    turns: int = 1
    cold: bool = False


class Admission:
    """The books of one process."""

    def __init__(
        self,
        capacity: Callable[[str], Capacity],
        clock: Callable[[], float] | None = None,
        most_runs: int = MOST_RUNS,
    ) -> None:
        """Open the books.

        Args:
            capacity: tells what an expert is able to do now.
            clock: the time in seconds; that which outcomes tell theirs by, where none is given.
            most_runs: the most errands at once.

        """
        self._capacity = capacity
        self._clock = clock or _now
        self._lines: dict[str, Line] = {}
        self._room = Room(most_runs, "requests")
        self._parties: Counter[tuple[str, str]] = Counter()

    def line(self, model: str) -> Line:
        """The line for an expert."""
        line = self._lines.setdefault(model, Line())
        line.capacity = self._capacity(model)
        return line

    def owed(self) -> int:
        """How many calls the runs under way have still to make, on all experts together."""
        return sum(line.calls for line in self._lines.values())

    @contextmanager
    def run(self, owner: str, party: str) -> Iterator["Ticket"]:
        """A run, from its beginning to its end.

        Args:
            owner: whose it is.
            party: the errand it belongs to; runs of one errand do not wait for each other.

        Raises:
            OverloadedError: as many are under way as may be, or as this caller may have.

        """
        if not self._parties[owner, party]:
            self._room.take(owner)
        self._parties[owner, party] += 1
        ticket = Ticket(self, self._clock, owner, party)
        try:
            yield ticket
        finally:
            ticket.close()
            _less(self._parties, (owner, party))
            if not self._parties[owner, party]:
                self._room.leave(owner)


class Ticket:
    """The calls of one run."""

    def __init__(self, books: Admission, clock: Callable[[], float], owner: str, party: str) -> None:
        self._books = books
        self._clock = clock
        self._owner = owner
        self._party = party
        self._claims: dict[Hashable, _Claim] = {}
        self._ends: dict[Hashable, float] = {}

    def admit(self, wanted: Sequence[Wanted], left_s: float) -> dict[Hashable, str]:
        """Count the calls of a plan, or of a part of it; all of them, or none.

        Args:
            wanted: the calls, each behind those it comes after.
            left_s: the seconds left of the run.

        Returns:
            Who is to answer each call: the first of its models that has room.

        Raises:
            OverloadedError: a call of it would wait too long.

        """
        ends: dict[Hashable, float] = {}
        found: dict[Hashable, str] = {}
        now = self._clock()
        for call in wanted:
            ready = max((ends.get(key, self._ends.get(key, now)) for key in call.after), default=now)
            if call.models:
                found[call.key], wait = self._roomy(call.models, max(0.0, ready - now), left_s)
                ready += wait + (self._books.line(found[call.key]).service_s or 0.0)
            ends[call.key] = ready
        self._ends |= ends
        for key, model in found.items():
            self.moved(key, model)
        return found

    def _roomy(self, models: Sequence[str], ready_s: float, left_s: float) -> tuple[str, float]:
        """The first model that has room for a call whose inputs are there in a while, and its wait.

        Calls that come before are worked on meanwhile, so that much less is left of them then.

        Raises:
            OverloadedError: none has.

        """
        soonest, full = math.inf, ""
        for model in models:
            line = self._books.line(model)
            wait = max(0.0, line.wait_s(self._party) - ready_s)
            spare = left_s - ready_s - (line.service_s or 0.0)  # none left is not the others' fault
            allowed = line.allowed_s(self._owner, self._party)
            allowed = min(allowed, spare) if spare > 0 else allowed
            if wait <= allowed:
                return model, wait
            if wait - allowed < soonest:
                soonest, full = wait - allowed, f"{line.calls} calls of {model} are to be made before"
        again = max(_SOON_S, soonest)
        raise OverloadedError(f"{full}; try again in {math.ceil(again)} s.", again)

    def heard(self, event: Event) -> None:
        """Take in what happens to the run's tasks."""
        match event:
            case TaskChosen():
                self.moved(event.id, event.choice.model)
            case TaskStarted():
                self.began(event.id)
            case TaskDone():
                times = event.outcome.timings
                started, finished = (times.started, times.finished) if times else (None, None)
                self.done(event.outcome.id, started, finished)
            case TaskFailed() | TaskSkipped():
                self.over(event.outcome.id)
            case _:
                pass

    def moved(self, key: Hashable, model: str) -> None:
        """Count a call at a model, and no more where it was counted before."""
        claim = self._claims.get(key)
        if claim is not None and claim.model == model:
            return
        self.over(key)
        self._books.line(model).add(self._owner, self._party)
        self._claims[key] = _Claim(model)

    def began(self, key: Hashable) -> None:
        """Note that a call's inputs are there; again where it is made anew."""
        claim = self._claims.get(key)
        if claim is None:
            return
        line = self._books.line(claim.model)
        if claim.began is None:
            line.at_work += 1
        claim.began = self._clock()
        claim.turns = math.ceil(line.at_work / line.capacity.places)
        claim.cold = line.capacity.wake_s > 0

    def done(self, key: Hashable, started: float | None = None, finished: float | None = None) -> None:
        """Note that a call ended well, and what it took.

        Args:
            key: its name in the run.
            started: when its model began, where that is known.
            finished: when its model was done; now where that is not known.

        """
        claim = self._claims.get(key)
        if claim is not None and claim.began is not None:
            end = self._clock() if finished is None else finished
            service = None if started is None else end - started
            sojourn = max(0.0, end - claim.began)
            self._books.line(claim.model).learn(sojourn, claim.turns, service, claim.cold)
        self.over(key)

    def over(self, key: Hashable) -> None:
        """Count a call no more."""
        claim = self._claims.pop(key, None)
        if claim is None:
            return
        line = self._books.line(claim.model)
        line.remove(self._owner, self._party)
        line.at_work -= claim.began is not None

    def close(self) -> None:
        """Count none of its calls any more."""
        for key in list(self._claims):
            self.over(key)


def _now() -> float:
    return time.time()


def _less(counter: Counter[_K], key: _K) -> None:
    """One less; what is at none takes no memory."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
