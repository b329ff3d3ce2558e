"""The books of the fleet as they stand: who has which place, who waits, and what room could be made."""

from collections.abc import Iterator, Sequence

from deployments.member import Member, Refuse, State, Waiter
from deployments.rooms import SLACK, Device, Need, Place, Room, Tenant, find

STALE_S = 30.0
"""From when on an idle expert leaves for another's second replica; for as long a spare replica stays."""

NEVER = float("inf")


class Books:
    """What is asked of the books; ``Residency`` changes them."""

    def __init__(
        self, devices: Sequence[Device] = (), *, growable: bool = False, idle_s: float = 0.0
    ) -> None:
        """Begin with an empty fleet.

        Args:
            devices: the GPUs and nodes there are.
            growable: whether nodes may come when they are asked for.
            idle_s: after how long without use an expert leaves by itself; 0 for never.

        """
        self.devices = tuple(devices)
        self.growable = growable
        self.idle_s = idle_s
        self.members: dict[str, Member] = {}
        self._waiters: list[Waiter] = []
        self._owners: dict[str, Member] = {}
        self._now = 0.0

    # Who may --------------------------------------------------------------------------------------

    def _open(self, member: Member, waiter: Waiter | None) -> bool:
        """Whether a call may be made now, by a waiter or by one who comes last."""
        return member.state is State.WARM and not member.closing and not self._shut(member, waiter)

    def _shut(self, member: Member, waiter: Waiter | None) -> bool:
        """Whether somebody who came before has closed a device under an expert."""
        devices = {device for place in member.places for device in place.devices}
        return any(self._reserved(device, waiter) for device in devices)

    def _reserved(self, device: Device, waiter: Waiter | None) -> bool:
        for other in self._waiters:
            if other is waiter:  # who comes later closes nothing to him
                return False
            if device in other.closed:
                return True
        return False

    def _placed(self) -> Iterator[tuple[Member, Place]]:
        for member in self.members.values():
            for place in member.places:
                yield member, place

    def _displace(self) -> None:
        """See who is being woken where there is no room after all: Ray may put a replica elsewhere."""
        taken = dict.fromkeys(self.devices, 0.0)
        for member, place in self._placed():
            if member.state is State.WARM:
                for device in place.devices:
                    taken[device] = taken.get(device, 0.0) + place.on(device)
        for member, place in list(self._placed()):
            if member.state is not State.WAKING or not place.devices:
                continue
            for device in place.devices:
                taken[device] = taken.get(device, 1.0) + place.on(device)
            if any(taken[device] > 1.0 + SLACK for device in place.devices):
                member.places = (Place((), place.amount),)
                for device in place.devices:
                    taken[device] -= place.on(device)

    # Rooms ----------------------------------------------------------------------------------------

    def _room(
        self,
        member: Member,
        now: float,
        *,
        waiter: Waiter | None = None,
        least_idle: float = 0.0,
        among: Sequence[Device] | None = None,
    ) -> Room | None:
        """The best room for one more replica, made of what is free and of experts idle for that long."""
        all_of_them = self.devices if among is None else among
        devices = [device for device in all_of_them if not self._reserved(device, waiter)]
        if self._grows(member.need):  # the first GPU may be still to come
            devices = [device for device in devices if device.gpu is not None]
        tenants = [
            Tenant(other.model, place, other.worth(now) if _movable(other, now, least_idle) else None)
            for other, place in self._placed()
            if other is not member or member.state is State.WARM
        ]
        return find(member.need, devices, tenants)

    def _soonest(self, member: Member, now: float) -> tuple[Device, ...]:
        """The devices where room will be soonest, if those at work there end as they usually do."""
        tenants = [
            Tenant(
                other.model,
                place,
                None if other.pinned or other.state is State.WAKING else other.left_s(now) + 1e-3,
            )
            for other, place in self._placed()
        ]
        devices = [device for device in self.devices if not self._reserved(device, None)]
        room = find(member.need, devices, tenants)
        return room.place.devices if room is not None else ()

    def _grows(self, need: Need) -> bool:
        return self.growable and need.on_gpu([*self.devices, Device("", "0")])

    def _asked(self, need: Need) -> float:
        """What a replica asks of a node that is still to come: enough of the smallest GPU known."""
        amounts = [need.amount(device) for device in self.devices if device.gpu is not None]
        return need.share or max((amount for amount in amounts if amount < NEVER), default=1.0)

    # Refusals and times ---------------------------------------------------------------------------

    def _hopeless(self, waiter: Waiter, now: float) -> Refuse | None:
        """Why waiting on is of no use to one who was patient: nobody may leave, or not in time."""
        member = waiter.member
        stay = [Tenant(other.model, place, None) for other, place in self._placed() if other.pinned]
        others = [Tenant(o.model, place, 0.0) for o, place in self._placed() if not o.pinned]
        if find(member.need, self.devices, [*stay, *others]) is None:
            what = "what is large enough for it is taken by pinned experts; unpin one"
            return Refuse(member.model, waiter.lease, what)
        refusal = self._busy(waiter, now)
        late = refusal.wait_s is not None and now + refusal.wait_s > waiter.deadline
        return refusal if late else None

    def _busy(self, waiter: Waiter, now: float) -> Refuse:
        member = waiter.member
        busy = [other.left_s(now) for other in self.members.values() if other.places and other is not member]
        wait = min(busy, default=0.0) + member.wake_s
        what = "every GPU that is large enough for it" if member.need.on_gpu(self.devices) else "all memory"
        reason = f"{what} is at work; it can be there in about {wait:.0f} s"
        if member.state is State.WAKING:
            reason = f"it was not awake in time; it usually takes {member.wake_s:.0f} s"
        return Refuse(member.model, waiter.lease, reason, wait_s=wait)

    def _unfit(self, need: Need) -> str:
        """Why no device of this cluster has room, even when it is empty."""
        gpus = [device for device in self.devices if device.gpu is not None]
        if need.share and not gpus:
            return "it needs a GPU, and this cluster has none"
        if need.on_gpu(self.devices):
            needed = (
                f"{need.share:g} GPUs" if need.share is not None else f"{need.gpu_bytes / 1e9:.1f} GB of them"
            )
            return f"it needs {needed}, more than the GPUs of any node here have"
        return f"it needs {need.ram_bytes / 1e9:.1f} GB of memory, more than any node here gives"

    def _leaves_at(self, member: Member) -> float:
        return max(member.used, member.since) + self.idle_s if self.idle_s and member.idle() else NEVER

    def _shrinks_at(self, member: Member) -> float:
        return max(member.used, member.since) + STALE_S if member.roomy else NEVER


def _movable(member: Member, now: float, least_idle: float) -> bool:
    """Whether an expert may be put out now."""
    return member.idle() and now >= max(member.stays_until(), member.used + least_idle)
