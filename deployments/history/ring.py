"""API keys as servers hold them, and the tokens that clients send; no database is needed for either.

A token is ``hgp_<id>_<secret>``: the id finds the key, the secret proves it. The secret has 192 random bits,
so one round of SHA-256 is enough to keep it by: nobody can guess what would have to be guessed.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(r"hgp_([0-9a-f]{16})_([0-9a-f]{48})")
_NONE = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Key:
    """An API key.

    Attributes:
        id: what finds it; whatever is made with it belongs to this id.
        name: what its maker calls it.
        digest: SHA-256 of its secret, in hex.
        scopes: what it may be used for, in words of ``controller.identity``.
        rate: how often it may be used; None for as often as one likes.
        concurrency: how much it may have done at once; None for as much as one likes.
        created: when it was made, in seconds since the epoch, as all times here.
        expires: when it ends by itself; None for never.
        revoked: when it was revoked; None where it was not.

    """

    id: str
    name: str
    digest: str = field(repr=False)
    scopes: frozenset[str]
    rate: Rate | None = None
    concurrency: int | None = None
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    def good(self, now: float) -> bool:
        """Whether it may be used, as far as time and its maker go."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class Ring:
    """All keys that were not revoked, by id, and the secret that signs addresses of files."""

    keys: Mapping[str, Key]
    secret: bytes = field(repr=False)

    def proven(self, token: str, now: float) -> Key | None:
        """The key of a token; None where there is none, it has ended, or the secret is not its own.

        The comparison takes as long for an unknown id as for a known one.
        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        key = self.keys.get(match[1])
        same = hmac.compare_digest(digest(match[2]), key.digest if key else _NONE)
        return key if key is not None and same and key.good(now) else None


def fresh_id() -> str:
    """An id that no other key has."""
    return secrets.token_hex(8)


def fresh_token(key: str) -> tuple[str, str]:
    """A token for the key with that id, and the digest of its secret."""
    secret = secrets.token_hex(24)
    return f"hgp_{key}_{secret}", digest(secret)


def id_of(token: str) -> str | None:
    """The id that a token names, whoever made it; None where it is none."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def digest(secret: str) -> str:
    """SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
