"""Neighbours: the addresses of this machine and of the cluster's nodes, which no link may lead to.

A node may have a public address, and serve there what is meant for the cluster alone.
"""

import time
from collections.abc import Callable, Iterable

import psutil
import ray

from deployments.links import addresses
from deployments.links.addresses import Address

FRESH_S = 30.0
"""How long what was found is believed."""


def found() -> Iterable[str]:
    """The addresses of this machine's interfaces, and of the nodes of the cluster it is in; it blocks."""
    for listed in psutil.net_if_addrs().values():
        yield from (str(item.address) for item in listed)
    if ray.is_initialized():
        yield from (str(node["NodeManagerAddress"]) for node in ray.nodes())


class Neighbours:
    """Says which addresses are public and nobody's here."""

    def __init__(self, find: Callable[[], Iterable[str]] = found) -> None:
        self._find = find
        self._known: frozenset[Address] = frozenset()
        self._until = 0.0

    def look(self) -> None:
        """Look anew who the neighbours are, where that was long ago; it blocks."""
        if time.monotonic() >= self._until:
            self._known = frozenset(filter(None, (addresses.read(text) for text in self._find())))
            self._until = time.monotonic() + FRESH_S

    def is_public(self, address: Address) -> bool:
        """Whether an address may be connected to, as far as was found at the last look."""
        return addresses.is_public(address) and address not in self._known
