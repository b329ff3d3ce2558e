"""Weights that stay in a node's RAM when their model is put to sleep, so that it wakes without the disk.

The kernel keeps what was read from files in RAM anyway, until it wants the room. Here the files' pages are
mapped, which keeps them from being dropped for the sake of files that are read once, and locked where this
user may lock memory. Nothing is copied: a model on the CPU has these very pages as its weights, and on a
crash there is nothing to clean up. Where RAM is short the kernel still takes back what is not locked, rather
than end a process.

A file that was removed or changed is given up: as long as it is mapped, its room on the disk is not free.

The zygote holds them, for it outlives its models. It runs no code of ours but this and its own.
"""

import ctypes
import os
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROT_READ, _MAP_SHARED = 1, 1
_DONTFORK, _POPULATE_READ = 10, 22  # of madvise
_CHUNK = 256 << 20
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for _call in (_libc.munmap, _libc.mlock):
    _call.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

Identity = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Held:
    """A file's pages, mapped at ``address``; ``names`` are the paths by which it was asked for."""

    address: int
    size: int
    locked: bool
    names: set[str]


def default_budget() -> int:
    """A quarter of the RAM that this process may have, in bytes."""
    return _total() // 4


class Ram:
    """Files held in RAM, the least recently used given up first.

    Attributes:
        held_bytes: bytes held now.

    """

    def __init__(self) -> None:
        self._files: OrderedDict[Identity, _Held] = OrderedDict()
        self._turn = 0
        self.held_bytes = 0

    @property
    def locked_bytes(self) -> int:
        """Bytes of those that the kernel may not take back."""
        return sum(held.size for held in self._files.values() if held.locked)

    def hold(self, paths: Iterable[str], budget: int) -> int:
        """Hold files, those of the longest-asleep models given up for them; returns how many are held.

        Args:
            paths: the files of one model; all of them are held, or none.
            budget: the most bytes to hold in all.

        """
        self.tidy()
        wanted: dict[Identity, set[str]] = {}
        for path in paths:
            found = _identity(path)
            if found is not None and found[2]:
                wanted.setdefault(found, set()).add(path)
        if not wanted or sum(size for _, _, size, _ in wanted) > budget:
            self._shrink(budget)
            return 0
        for identity, names in wanted.items():
            if identity in self._files:
                self._files.move_to_end(identity)
                self._files[identity].names.update(names)
        new = {identity: names for identity, names in wanted.items() if identity not in self._files}
        self._shrink(budget - sum(size for _, _, size, _ in new), wanted)
        for identity, names in new.items():
            held = _mapped(names, identity)
            if held is not None:
                self._files[identity] = held
                self.held_bytes += held.size
        return sum(identity in self._files for identity in wanted)

    def touch(self) -> None:
        """Tell the kernel that the next piece of what is held, and not locked, is in use; quick. Tidies."""
        self.tidy()
        loose = [held for held in self._files.values() if not held.locked]
        pieces = [(held, start) for held in loose for start in range(0, held.size, _CHUNK)]
        if pieces:
            self._turn = (self._turn + 1) % len(pieces)
            held, start = pieces[self._turn]
            _libc.madvise(held.address + start, min(_CHUNK, held.size - start), _POPULATE_READ)

    def tidy(self) -> None:
        """Give up files that no path leads to any more: they were removed, or others took their place."""
        for identity, held in list(self._files.items()):
            held.names.intersection_update([name for name in held.names if _identity(name) == identity])
            if not held.names:
                self._give_up(identity)

    def _shrink(self, budget: int, spared: Iterable[Identity] = ()) -> None:
        """Give up files, the least recently used first, until what is held is within ``budget``."""
        kept = set(spared)
        for identity in list(self._files):
            if self.held_bytes <= budget:
                return
            if identity not in kept:
                self._give_up(identity)

    def _give_up(self, identity: Identity) -> None:
        held = self._files.pop(identity)
        self.held_bytes -= held.size
        _libc.munmap(held.address, held.size)


def _identity(path: str) -> Identity | None:
    """What a file is known by, so that one that was changed is another."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _mapped(names: set[str], identity: Identity) -> _Held | None:
    """The file's pages in memory; None where it is gone, or another one by now."""
    try:
        file = os.open(min(names), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        size = identity[2]
        if os.fstat(file).st_ino != identity[1] or os.fstat(file).st_size != size:
            return None
        address = _libc.mmap(None, size, _PROT_READ, _MAP_SHARED, file, 0)
    finally:
        os.close(file)
    if address in (None, _FAILED):
        return None
    _libc.madvise(address, size, _DONTFORK)
    locked = _libc.mlock(address, size) == 0
    if not locked:
        _libc.madvise(address, size, _POPULATE_READ)
    return _Held(address, size, locked, names)


def _total() -> int:
    """The machine's RAM, or what a container may take of it, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(name).read_text())
        except (OSError, ValueError):  # absent, or "max"
            continue
        total = min(total, limit)
    return total
