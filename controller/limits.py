"""Limits of each API key: how often, and how much at once; kept in the memory of one ingress.

The clock is given, so that all of it is tested without waiting. A key costs a few hundred bytes while it is
in use; books of keys that rest are closed.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from controller.errors import LimitError
from deployments.history.ring import Key, Rate

ASIDE = 16
"""How many requests a key with a limit may have open besides what it has done: files, lists, events."""

_WAIT_S = 2.0
"""When it is worth a try where something must end first; nobody knows when it will."""


@dataclass(slots=True)
class _Book:
    """What a key has left, and what it has open."""

    rate: Rate | None = None
    left: float = 0.0
    at: float = 0.0
    working: int = 0
    aside: int = 0

    def fill(self, rate: Rate, now: float) -> None:
        """Give what time has brought; a key whose limit has changed begins anew."""
        if self.rate != rate:
            self.rate, self.left, self.at = rate, float(rate.count), now
        grown = max(0.0, now - self.at) * rate.count / rate.seconds
        self.left, self.at = min(float(rate.count), self.left + grown), now

    @property
    def rests(self) -> bool:
        """Whether nothing of it need be known: nothing is open, and its bucket is full."""
        return not self.working and not self.aside and (self.rate is None or self.left >= self.rate.count)


@dataclass(slots=True)
class Limits:
    """The books of all keys.

    Attributes:
        unattended: how many runs of an owner go on without an open request.
        clock: seconds that never go back.

    """

    unattended: Callable[[str], int] = lambda owner: 0
    clock: Callable[[], float] = time.monotonic
    _books: dict[str, _Book] = field(default_factory=dict)
    _swept: float = 0.0

    @contextmanager
    def within(self, key: Key, works: bool) -> Iterator[None]:
        """Count a request for as long as it is open.

        Args:
            key: whose it is.
            works: whether it has models work.

        Raises:
            LimitError: the key is over a limit of its own; nothing is counted then.

        """
        book = self._books.setdefault(key.id, _Book())
        self._check_open(key, book, works)
        if key.rate is not None:
            self._take(key.rate, book)
        book.working += works
        book.aside += not works
        try:
            yield
        finally:
            book.working -= works
            book.aside -= not works
            self._sweep()

    def _check_open(self, key: Key, book: _Book, works: bool) -> None:
        if key.concurrency is None:
            return
        if works and book.working + self.unattended(key.id) >= key.concurrency:
            told = f"This API key may have {key.concurrency} at once"
            raise LimitError(f"{told}; send the next when one has ended.", _WAIT_S)
        if not works and book.aside >= key.concurrency + ASIDE:
            raise LimitError("This API key has too many requests open; close some.", _WAIT_S)

    def _take(self, rate: Rate, book: _Book) -> None:
        book.fill(rate, self.clock())
        if book.left < 1:
            wait = (1 - book.left) * rate.seconds / rate.count
            told = f"This API key may be used {rate.count:,} times in {rate.seconds:g} seconds"
            raise LimitError(f"{told}; try again in {math.ceil(wait)} s.", wait)
        book.left -= 1

    def _sweep(self) -> None:
        """Close books that rest, once a minute."""
        now = self.clock()
        if now - self._swept < 60:
            return
        self._swept = now
        for name, book in list(self._books.items()):
            if book.rate is not None:
                book.fill(book.rate, now)
            if book.rests:
                del self._books[name]
