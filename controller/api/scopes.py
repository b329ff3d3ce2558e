"""What a key must be good for, by route: one table; what it does not name needs the scope ``admin``."""

import re
from dataclasses import dataclass

from controller.identity import Scope
from controller.signing import FILE

_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Which scope some routes need.

    Attributes:
        methods: of HTTP.
        path: matches whole paths.
        scope: what the key must be good for; None where any key will do.
        works: whether it has models work, so that it counts as something done at once.

    """

    methods: frozenset[str]
    path: re.Pattern[str]
    scope: Scope | None
    works: bool = False


def _rule(methods: str, path: str, scope: Scope | None, works: bool = False) -> Rule:
    return Rule(frozenset(methods.split()), re.compile(path), scope, works)


RULES = (
    _rule("GET HEAD", r"/|/openapi\.json", None),
    _rule("GET HEAD", r"/v1/models(?:/.+)?", None),
    _rule("GET HEAD", r"/v1/experts|/running|/status/.+", Scope.RUN),
    _rule("POST", r"/(?:tasks|results|hugginggpt)", Scope.RUN, works=True),
    _rule("POST", r"/v1/runs(?:/[^/]+/repeat)?", Scope.RUN, works=True),
    _rule("GET HEAD DELETE", r"/v1/runs(?:/[^/]+(?:/events)?)?", Scope.RUN),
    _rule("GET HEAD POST DELETE", r"/v1/conversations(?:/[^/]+(?:/items)?)?", Scope.RUN),
    _rule("POST", r"/v1/(?:chat/completions|responses|embeddings)", Scope.RUN, works=True),
    _rule("POST", r"/v1/(?:images/(?:generations|edits)|audio/[a-z]+)", Scope.RUN, works=True),
    _rule("POST", r"/(?:models|pipeline)/.+", Scope.RUN, works=True),
    _rule("GET HEAD", r"/(?:models|pipeline)/.+", Scope.RUN),
    _rule("POST", r"/mcp", Scope.RUN, works=True),
    _rule("GET DELETE", r"/mcp", Scope.RUN),
    _rule("GET HEAD POST", r"/v1/files", Scope.FILES),
    _rule("GET HEAD DELETE", r"/v1/files/[^/]+(?:/content)?", Scope.FILES),
    Rule(_READS, FILE, Scope.FILES),
)
"""The table; the first row that fits counts."""

OPEN = frozenset({"/healthz", "/readyz"})
"""Paths that need no key."""

_UNKNOWN = Rule(frozenset(), re.compile(""), Scope.ADMIN)


def rule(method: str, path: str) -> Rule:
    """The row of a request; a slash at the end of its path changes nothing."""
    path = path.rstrip("/") or "/"
    return next((row for row in RULES if method in row.methods and row.path.fullmatch(path)), _UNKNOWN)


def free(method: str, path: str) -> bool:
    """Whether a request needs no key."""
    return method in _READS and path in OPEN
