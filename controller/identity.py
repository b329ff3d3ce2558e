"""Who asks: the caller of a request, known wherever its run goes.

The door's middleware sets it; what runs for the request reads it. On a server without keys everybody is the
operator, whose name is empty.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass
from enum import StrEnum

from controller.errand import errand, undertake


class Scope(StrEnum):
    """What a key may be used for."""

    RUN = "run"
    """Ask, run models, and follow one's own runs."""
    FILES = "files"
    """Upload, list, read and remove one's own files."""
    ADMIN = "admin"
    """Everything, of everybody: experts, keys, others' runs and files."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        owner: the id of the key; empty for the operator of a server without keys.
        scopes: what the key may be used for.

    """

    owner: str = ""
    scopes: frozenset[Scope] = frozenset(Scope)

    def may(self, scope: Scope) -> bool:
        """Whether the key may be used for that."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def sees(self, owner: str) -> bool:
        """Whether what belongs to ``owner`` is the caller's to see."""
        return owner == self.owner or Scope.ADMIN in self.scopes


OPERATOR = Caller()
"""Everybody on a server without keys, and the operator's own commands."""

NOBODY = Caller("-", frozenset())
"""Who asks a server with keys for what is everybody's, and told no key."""

_CALLER: ContextVar[Caller] = ContextVar("caller", default=OPERATOR)


def caller() -> Caller:
    """Who asks for what runs here."""
    return _CALLER.get()


def assume(who: Caller) -> None:
    """Let all that follows in this context run for a caller."""
    _CALLER.set(who)


@contextmanager
def calling(who: Caller) -> Iterator[None]:
    """Let what runs here run for a caller."""
    token = _CALLER.set(who)
    try:
        yield
    finally:
        _CALLER.reset(token)


def afresh() -> Context:
    """A context that keeps of this one who asks and how long that waits: Ray Serve's request is not in it.

    Work that is begun in an empty context would run for the operator.
    """
    context = Context()
    context.run(assume, caller())
    context.run(undertake, errand())
    return context
