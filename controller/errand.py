"""Errands: what one request at a door asks of its runs beside its words.

The door's middleware sets it; what runs for the request reads it. One request may begin many runs, as one
with a hundred texts for an expert does: they are one errand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Errand:
    """One request at a door.

    Attributes:
        id: tells it from others; empty where no door has named it, so that each run is an errand of its own.
        seconds: how long its client waits for an answer at most; None where it does not say.

    """

    id: str = ""
    seconds: float | None = None

    def within(self, seconds: float) -> float:
        """How long a run may take that may take ``seconds``."""
        return seconds if self.seconds is None else min(seconds, self.seconds)


_NAMELESS = Errand()
_ERRAND: ContextVar[Errand] = ContextVar("errand", default=_NAMELESS)


def errand() -> Errand:
    """The request for which this runs."""
    return _ERRAND.get()


def undertake(what: Errand) -> None:
    """Let all that follows in this context run for a request."""
    _ERRAND.set(what)


@contextmanager
def undertaking(what: Errand) -> Iterator[None]:
    """Let what runs here run for a request."""
    token = _ERRAND.set(what)
    try:
        yield
    finally:
        _ERRAND.reset(token)
