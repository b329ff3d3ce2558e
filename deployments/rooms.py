"""Room for experts: the GPUs of a cluster and the memory of its nodes, and what would have to leave them.

Ray's fraction of a GPU is bookkeeping: it knows no memory, and puts nobody out. Here each GPU, and the memory
of each node for models that run on its CPU, is a device with room for 1.0; an expert takes a part of one
device, or several whole GPUs of one node.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from model_catalog.errors import UnsizedError
from model_catalog.share import fraction

SLACK = 1e-6
"""Shares are sums of hundredths in binary numbers."""


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """A GPU, or the memory of a node.

    Attributes:
        node: Ray's id of its node.
        gpu: the GPU's number on its node, as Ray names it; None for the node's memory.
        size: its memory in bytes; None where nobody knows.
        accelerator: Ray's name of the GPU's type, where it is known.

    """

    node: str
    gpu: str | None = None
    size: int | None = None
    accelerator: str | None = None

    def like(self, other: "Device") -> bool:
        """Whether a share of the one is the same of the other."""
        return (self.gpu is None, self.size, self.accelerator) == (
            other.gpu is None,
            other.size,
            other.accelerator,
        )


@dataclass(frozen=True, slots=True)
class Need:
    """What a replica of an expert takes.

    Attributes:
        gpu_bytes: memory of a GPU; 0 for a model that never runs on one.
        ram_bytes: memory of a node, where it runs on the CPU.
        share: the operator's own number of GPUs or part of one; None for what the memory needs; 0 for none.

    """

    gpu_bytes: int = 0
    ram_bytes: int = 0
    share: float | None = None

    def on_gpu(self, devices: Iterable[Device]) -> bool:
        """Whether it is to run on a GPU in a cluster with these devices."""
        if self.share is not None:
            return self.share > 0
        return self.gpu_bytes > 0 and any(device.gpu is not None for device in devices)

    def amount(self, device: Device) -> float:
        """The part of a device that it takes; above 1, the number of such GPUs.

        It is more than there is of any device where such a one can never hold it.
        """
        if device.gpu is None:
            return self.ram_bytes / device.size if device.size else 0.0
        if self.share is not None:
            return self.share
        try:
            return fraction(self.gpu_bytes, device.size) if device.size else 1.0
        except UnsizedError:  # no room for CUDA itself
            return math.inf


@dataclass(frozen=True, slots=True)
class Place:
    """What a replica takes of which devices; of none where it waits for a node to come."""

    devices: tuple[Device, ...]
    amount: float

    def on(self, device: Device) -> float:
        """The part of a device that it takes."""
        return min(self.amount, 1.0) if device in self.devices else 0.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """One who has a place.

    Attributes:
        model: its model.
        place: what it takes.
        worth: what it is worth to keep it, in any unit; None where it cannot be put out.

    """

    model: str
    place: Place
    worth: float | None


@dataclass(frozen=True, slots=True)
class Room:
    """A place that can be had, and whose models have to leave for it."""

    place: Place
    victims: tuple[str, ...] = ()
    cost: float = 0.0


def find(need: Need, devices: Sequence[Device], tenants: Sequence[Tenant]) -> Room | None:
    """The room that costs least; None where there is none even if all leave that may.

    The less those are worth who have to leave, the cheaper; among equals the tightest is taken.
    """
    rooms = [
        room
        for group in _groups(need, devices)
        if (room := _cleared(need.amount(group[0]), group, tenants)) is not None
    ]
    return min(rooms, key=lambda room: (room.cost, len(room.victims), _left(room, tenants)), default=None)


def fits(need: Need, devices: Sequence[Device]) -> bool:
    """Whether an empty cluster of these devices has room."""
    return find(need, devices, ()) is not None


def taken(device: Device, tenants: Iterable[Tenant]) -> float:
    """The part of a device that is taken."""
    return sum(tenant.place.on(device) for tenant in tenants)


def _groups(need: Need, devices: Sequence[Device]) -> list[Sequence[Device]]:
    """The devices that may serve, each alone, or all GPUs of one type of a node together."""
    if not need.on_gpu(devices):
        return [[device] for device in devices if device.gpu is None]
    gpus = sorted(device for device in devices if device.gpu is not None)
    single = [[gpu] for gpu in gpus if need.amount(gpu) <= 1]
    several = [
        group
        for _, items in groupby(gpus, key=lambda gpu: (gpu.node, gpu.size))
        if need.amount((group := list(items))[0]) > 1
    ]
    return [*single, *several]


def _cleared(amount: float, group: Sequence[Device], tenants: Sequence[Tenant]) -> Room | None:
    """The cheapest room for ``amount`` in a group of equal devices."""
    if amount <= 1 + SLACK:
        victims = _victims(amount, group[0], tenants)
        return None if victims is None else _room(Place((group[0],), amount), victims)
    if amount > len(group):
        return None
    count = round(amount)
    clear = [
        (sum(victim.worth or 0.0 for victim in victims), device, victims)
        for device in group
        if (victims := _victims(1.0, device, tenants)) is not None
    ]
    if len(clear) < count:
        return None
    best = sorted(clear, key=lambda item: item[:2])[:count]
    leaving = {victim.model: victim for _, _, victims in best for victim in victims}
    return _room(Place(tuple(device for _, device, _ in best), amount), list(leaving.values()))


def _room(place: Place, victims: Sequence[Tenant]) -> Room:
    return Room(
        place,
        tuple(dict.fromkeys(victim.model for victim in victims)),
        sum(victim.worth or 0.0 for victim in victims),
    )


def _victims(amount: float, device: Device, tenants: Sequence[Tenant]) -> list[Tenant] | None:
    """Who has to leave a device for ``amount``; None where too many may not."""
    here = [tenant for tenant in tenants if tenant.place.on(device) > 0]
    free = 1.0 - sum(tenant.place.on(device) for tenant in here)
    leaving: list[Tenant] = []
    movable = sorted((tenant for tenant in here if tenant.worth is not None), key=_worth)
    for tenant in movable:
        if free + SLACK >= amount:
            break
        leaving.append(tenant)
        free += tenant.place.on(device)
    if free + SLACK < amount:
        return None
    for tenant in sorted(leaving, key=_worth, reverse=True):  # a later one may have made it needless
        if free - tenant.place.on(device) + SLACK >= amount:
            leaving.remove(tenant)
            free -= tenant.place.on(device)
    return leaving


def _worth(tenant: Tenant) -> float:
    return tenant.worth or 0.0


def _left(room: Room, tenants: Sequence[Tenant]) -> float:
    """What stays free on the devices of a room: big gaps are kept for who needs them."""
    staying = [tenant for tenant in tenants if tenant.model not in room.victims]
    return sum(1.0 - taken(device, staying) for device in room.place.devices)
