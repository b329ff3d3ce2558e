"""Which experts hold a replica: who is woken, who sleeps, and who waits for whom.

A machine of states without Ray and without a clock: the keeper tells it what happened and when, and does what
it answers. Every call of an expert of the fleet holds a lease, from when its inputs are there to its end. One
with a lease stays; of the others those leave first whose loss costs least: cost to wake over time since last
use (as GreedyDual-Size weighs what a cache keeps, Cao and Irani 1997). Those who wait are served in the
order they came, except that one may pass another for whom there is no room yet; after ``PATIENCE_S`` the
devices that he needs are closed to all who come later, so that he waits no longer than those at work there.
"""

from collections.abc import Sequence

from deployments.books import NEVER, STALE_S, Books
from deployments.member import (
    Action,
    Grant,
    Lease,
    Member,
    Refuse,
    Resize,
    Sleep,
    State,
    Waiter,
    Wake,
)
from deployments.rooms import Device, Place, Room, fits

PATIENCE_S = 3.0
"""How long who waits lets others pass; then devices are closed for him."""

FRESH_S = 5.0
"""For how long after its last use an expert is not put out for one that is only expected to be used."""

RETRY_S = 30.0
"""How long an expert that could not be woken is left alone; twice as long each further time."""

LONGEST_RETRY_S = 600.0

WEIGHT = 0.3
"""How much the latest of several measurements counts."""


class Residency(Books):
    """The books of a fleet. What is told to it gives what is to be done about it."""

    # What there is -------------------------------------------------------------------------------------

    def add(self, member: Member) -> Member:
        """Take an expert in, asleep; one that is known keeps its state until it next wakes."""
        known = self.members.setdefault(member.model, member)
        known.need, known.capacity, known.most = member.need, member.capacity, member.most
        known.pinned = known.pinned or member.pinned
        known.removed = False
        if known.state is State.FAILED:
            known.state, known.failures, known.retry_at = State.ASLEEP, 0, 0.0
        return known

    def see(self, devices: Sequence[Device], now: float, *, growable: bool = False) -> list[Action]:
        """Take in the cluster's devices as they are now."""
        self.devices, self.growable = tuple(devices), growable
        return self._pump(now)

    def obstacle(self, model: str, now: float) -> str | None:
        """Why an expert cannot be woken now, whoever would leave; None where it can."""
        member = self.members[model]
        if member.state is State.FAILED and now < member.retry_at:
            return f"it could not be woken: {member.reason}"
        if self.growable or member.places or fits(member.need, self.devices):
            return None
        return self._unfit(member.need)

    @property
    def waiting(self) -> int:
        """How many calls wait for their expert."""
        return len(self._waiters)

    # What is asked -------------------------------------------------------------------------------------

    def ask(
        self, model: str, lease: str, now: float, deadline: float, until: float | None = None
    ) -> list[Action]:
        """Somebody wants to call an expert, waits for it until ``deadline``, and has ended by ``until``."""
        member = self.members.get(model)
        if member is None or member.removed:
            return [Refuse(model, lease, "it is not of the fleet")]
        member.used = max(member.used, now)
        if (why := self.obstacle(model, now)) is not None:
            return [Refuse(model, lease, why)]
        if member.state is State.FAILED:
            member.state = State.ASLEEP
        waiter = Waiter(lease, member, now, deadline, now + PATIENCE_S, deadline if until is None else until)
        if self._open(member, None):
            member.hits += 1
            return [self._grant(waiter, now), *self._grown(member, now)]
        self._waiters.append(waiter)
        return self._pump(now)

    def release(self, lease: str, now: float, calls: int = 1, worked_s: float | None = None) -> list[Action]:
        """A lease's calls have ended, or nobody waits for it any more.

        Args:
            lease: its name.
            now: the time.
            calls: how many calls it has served, one after the other.
            worked_s: the seconds of these calls together; as long as it was held where None.

        """
        self._waiters = [waiter for waiter in self._waiters if waiter.lease != lease]
        member = self._owners.pop(lease, None)
        if member is not None:
            held = now - member.leases.pop(lease).since
            if calls:
                member.call_s += WEIGHT * ((held if worked_s is None else worked_s) / calls - member.call_s)
                member.hits += calls - 1
            member.used = max(member.used, now)
            if member.closing and not member.leases and member.state is State.WARM:
                return [*self._leave(member), *self._pump(now)]
        return self._pump(now)

    def expect(self, model: str, now: float) -> list[Action]:
        """Somebody will probably call an expert soon: it wakes where only what is not fresh has to leave."""
        member = self.members.get(model)
        if member is None or self.obstacle(model, now) is not None:
            return []
        member.used = max(member.used, now)
        if member.state is not State.ASLEEP:
            return []
        room = self._room(member, now, least_idle=FRESH_S)
        return [] if room is None else self._wake(member, room, now)

    def moved(self, model: str, places: Sequence[Place], now: float) -> list[Action]:
        """An expert's replicas are elsewhere than they were, as after a node was lost."""
        member = self.members.get(model)
        if member is not None and member.state is State.WARM and places:
            member.places = tuple(places)
        return self._pump(now)

    def stop(self, model: str, now: float) -> list[Action]:
        """Put an expert to sleep at an operator's word, when what it has begun is finished."""
        member = self.members[model]
        if member.state not in (State.WARM, State.WAKING):
            return []
        if member.leases:
            member.closing = True
            return []
        return [*self._leave(member), *self._pump(now)]

    def remove(self, model: str, now: float) -> list[Action]:
        """Take an expert out of the fleet, when what it has begun is finished; who waits is refused."""
        member = self.members[model]
        member.removed = True
        refused = self._refused(member, "it was removed from the fleet")
        left = self.stop(model, now)
        if member.state in (State.ASLEEP, State.FAILED):
            del self.members[model]
        return [*refused, *left, *self._pump(now)]

    # What has happened ---------------------------------------------------------------------------------

    def woken(self, model: str, places: Sequence[Place], wake_s: float, now: float) -> list[Action]:
        """An expert's replicas are ready, at these places; none where they do not say."""
        member = self.members.get(model)
        if member is None or member.state is not State.WAKING:
            return []
        member.state, member.since, member.failures, member.reason = State.WARM, now, 0, ""
        member.wake_s = member.wake_s + WEIGHT * (wake_s - member.wake_s) if member.wakes else wake_s
        member.wakes += 1
        member.epoch = max(member.epoch + 1, int(1000 * now))
        member.used = max(member.used, now)
        member.places = tuple(places) or member.places
        return self._pump(now)

    def resized(self, model: str, places: Sequence[Place], now: float) -> list[Action]:
        """An expert has another number of replicas."""
        member = self.members.get(model)
        if member is None or not member.resizing:
            return []
        member.resizing, member.since = False, now
        member.places = tuple(places) or member.places
        return self._pump(now)

    def failed(self, model: str, reason: str, now: float) -> list[Action]:
        """An expert could not be woken, or is gone; who waits for it is told why."""
        member = self.members.get(model)
        if member is None:
            return []
        member.state, member.places, member.resizing, member.reason = State.FAILED, (), False, reason
        member.closing = False
        if member.removed:
            del self.members[model]
        member.retry_at = now + min(RETRY_S * 2**member.failures, LONGEST_RETRY_S)
        member.failures += 1
        return [*self._refused(member, f"it could not be woken: {reason}"), *self._pump(now)]

    def left(self, model: str, now: float) -> list[Action]:
        """An expert's replicas have ended; it may be woken again."""
        member = self.members.get(model)
        if member is not None and member.state is State.LEAVING:
            member.state, member.since = State.ASLEEP, now
        if member is not None and member.removed:
            del self.members[model]
        return self._pump(now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed: see ``next_tick``."""
        late = [waiter for waiter in self._waiters if waiter.deadline <= now]
        self._waiters = [waiter for waiter in self._waiters if waiter.deadline > now]
        actions: list[Action] = [self._busy(waiter, now) for waiter in late]
        for member in self.members.values():
            for lease in [name for name, lease in member.leases.items() if lease.until <= now]:
                del member.leases[lease], self._owners[lease]
            if self._leaves_at(member) <= now or (member.closing and member.idle()):
                actions += self._leave(member)
            elif self._shrinks_at(member) <= now:
                actions += self._resize(member, len(member.places) - 1)
        return [*actions, *self._pump(now)]

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, if nothing else happens before."""
        times = [waiter.deadline for waiter in self._waiters]
        times += [waiter.patient for waiter in self._waiters if waiter.blocked]
        asleep = any(waiter.member.state is State.ASLEEP for waiter in self._waiters)
        if asleep or any(member.unplaced for member in self.members.values()):
            stays = (member.stays_until() for member in self.members.values() if member.idle())
            times += [at for at in stays if at > self._now]
        for member in self.members.values():
            times += [lease.until for lease in member.leases.values()]
            times += [self._leaves_at(member), self._shrinks_at(member)]
            if member.state is State.FAILED and member.retry_at > self._now:  # it may be chosen again then
                times.append(member.retry_at)
        soonest = min(times, default=NEVER)
        return None if soonest == NEVER else soonest

    def leaves_at(self, model: str) -> float | None:
        """When an expert leaves by itself if nobody uses it; None where it does not."""
        at = self._leaves_at(self.members[model])
        return None if at == NEVER else at

    # Who waits -----------------------------------------------------------------------------------------

    def _pump(self, now: float) -> list[Action]:
        """Serve those who wait, in their order, as far as can be."""
        self._now = now
        actions: list[Action] = []
        for waiter in list(self._waiters):  # first those whose expert is there, so that it does not leave now
            if self._open(waiter.member, waiter):
                self._waiters.remove(waiter)
                actions.append(self._grant(waiter, now))
        self._displace()
        for member in self.members.values():  # Ray has their replicas, and starts them where there is room
            if member.unplaced and (room := self._room(member, now)) is not None:
                actions += self._wake(member, room, now)
        for waiter in list(self._waiters):
            if waiter.member.state is State.ASLEEP:
                actions += self._served(waiter, now)
        return actions

    def _served(self, waiter: Waiter, now: float) -> list[Action]:
        """Wake the expert that one waits for, or see to it that there will be room."""
        member = waiter.member
        room = self._room(member, now, waiter=waiter)
        if room is not None:
            return self._wake(member, room, now)
        if self._grows(member.need):
            return self._wake(member, Room(Place((), self._asked(member.need))), now)
        if not waiter.closed and now >= waiter.patient:
            waiter.closed = self._soonest(member, now)
            waiter.patient = now + PATIENCE_S
            if (refusal := self._hopeless(waiter, now)) is not None:
                self._waiters.remove(waiter)
                return [refusal]
        return [action for other in self.members.values() for action in self._given_up(other)]

    def _given_up(self, member: Member) -> list[Action]:
        """A replica that an expert can spare while somebody waits."""
        return self._resize(member, len(member.places) - 1) if member.roomy else []

    def _grant(self, waiter: Waiter, now: float) -> Grant:
        member = waiter.member
        member.leases[waiter.lease] = Lease(now, waiter.until)
        member.used = max(member.used, now)
        self._owners[waiter.lease] = member
        return Grant(member.model, waiter.lease)

    def _refused(self, member: Member, reason: str) -> list[Action]:
        waiting = [waiter for waiter in self._waiters if waiter.member is member]
        self._waiters = [waiter for waiter in self._waiters if waiter.member is not member]
        return [Refuse(member.model, waiter.lease, reason) for waiter in waiting]

    def _wake(self, member: Member, room: Room, now: float) -> list[Action]:
        """Take a room; those who are in it leave."""
        actions = [action for name in room.victims for action in self._leave(self.members[name])]
        waking, member.places = member.state is State.WAKING, (room.place,)
        for waiter in self._waiters:
            if waiter.member is member:
                waiter.closed = ()
        if waking:
            return actions
        member.state, member.since = State.WAKING, now
        return [*actions, Wake(member.model, room.place)]

    def _leave(self, member: Member) -> list[Action]:
        """Its places count as free at once: Ray starts the next replica there when the last one has ended."""
        member.evictions += member.state is State.WARM
        member.state, member.places, member.resizing = State.LEAVING, (), False
        member.closing = False
        return [Sleep(member.model)]

    def _grown(self, member: Member, now: float) -> list[Action]:
        """One more replica for an expert whose calls wait for each other, where nobody needs the room."""
        if not member.crowded or self._waiters:
            return []
        here = member.places[0].devices[:1]
        alike = [one for one in self.devices if one.gpu is None or not here or one.like(here[0])]
        room = self._room(member, now, least_idle=STALE_S, among=alike)
        if room is None:
            return []
        left = [action for name in room.victims for action in self._leave(self.members[name])]
        member.places = (*member.places, room.place)
        return [*left, *self._resize(member, len(member.places))]

    def _resize(self, member: Member, replicas: int) -> list[Action]:
        member.resizing = True
        return [Resize(member.model, replicas)]
