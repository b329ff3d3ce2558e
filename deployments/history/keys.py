"""API keys in the database: made, listed, renewed, revoked; of their secrets it has the hashes alone.

The one secret that is kept as it is signs addresses of files. So whoever reads the database can read stored
files, and nobody's key.
"""

import secrets
import time
from collections.abc import Iterable

from sqlalchemy import Connection, Float, Integer, RowMapping, String, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from deployments.errors import NotFoundError
from deployments.history.base import Base, Json, Words
from deployments.history.ring import Key, Rate, Ring, fresh_id, fresh_token

_ADDRESSES = "addresses"


class ApiKey(Base):
    """A key; the columns are the attributes of ``ring.Key``."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Words)
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(Json)
    rate_count: Mapped[int | None] = mapped_column(Integer)
    rate_s: Mapped[float | None] = mapped_column(Float)
    concurrency: Mapped[int | None] = mapped_column(Integer)
    created: Mapped[float] = mapped_column(Float)
    expires: Mapped[float | None] = mapped_column(Float)
    revoked: Mapped[float | None] = mapped_column(Float)


class Secret(Base):
    """A secret of the server's own, in hex."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[str] = mapped_column(String(128))
    created: Mapped[float] = mapped_column(Float)


def create(
    connection: Connection,
    name: str,
    scopes: Iterable[str],
    rate: Rate | None = None,
    concurrency: int | None = None,
    expires: float | None = None,
) -> tuple[Key, str]:
    """Make a key; gives it with its token, which nobody can read again.

    Args:
        connection: to the database, in a transaction of the caller's.
        name: what it is called; other keys may be called so too.
        scopes: what it may be used for.
        rate: how often it may be used.
        concurrency: how much it may have done at once.
        expires: when it ends, in seconds since the epoch.

    """
    number = fresh_id()
    token, digest = fresh_token(number)
    key = Key(number, name, digest, frozenset(scopes), rate, concurrency, time.time(), expires)
    row = {
        "id": key.id,
        "name": key.name,
        "digest": key.digest,
        "scopes": sorted(key.scopes),
        "rate_count": rate.count if rate else None,
        "rate_s": rate.seconds if rate else None,
        "concurrency": concurrency,
        "created": key.created,
        "expires": expires,
    }
    connection.execute(insert(ApiKey).values(row))
    return key, token


def listed(connection: Connection) -> list[Key]:
    """All keys, those that were revoked among them, the oldest first."""
    rows = connection.execute(select(ApiKey.__table__).order_by(ApiKey.created, ApiKey.id))
    return [_key(row) for row in rows.mappings()]


def renew(connection: Connection, number: str) -> tuple[Key, str]:
    """Give a key a new secret, whose token is told; the one before ends, what belongs to the key stays.

    Raises:
        NotFoundError: there is no such key, or it was revoked.

    """
    key = _found(connection, number)
    token, digest = fresh_token(number)
    connection.execute(update(ApiKey).where(ApiKey.id == number).values(digest=digest))
    return key, token


def revoke(connection: Connection, number: str) -> Key:
    """End a key for ever.

    Raises:
        NotFoundError: there is no such key, or it was revoked before.

    """
    key = _found(connection, number)
    connection.execute(update(ApiKey).where(ApiKey.id == number).values(revoked=time.time()))
    return key


def ring(connection: Connection) -> Ring:
    """What servers need: the keys that were not revoked, and the secret of addresses."""
    rows = connection.execute(select(ApiKey.__table__).where(ApiKey.revoked.is_(None))).mappings()
    keys = {key.id: key for key in map(_key, rows)}
    value = connection.scalars(select(Secret.value).where(Secret.name == _ADDRESSES)).one()
    return Ring(keys, bytes.fromhex(value))


def end_addresses(connection: Connection) -> None:
    """Take a new secret for addresses of files, so that every signed one ends."""
    new = {"value": secrets.token_hex(32), "created": time.time()}
    connection.execute(update(Secret).where(Secret.name == _ADDRESSES).values(new))


def _found(connection: Connection, number: str) -> Key:
    asked = select(ApiKey.__table__).where(ApiKey.id == number, ApiKey.revoked.is_(None))
    row = connection.execute(asked).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no key {number[:80]!r}; hugginggpt keys list shows them.")
    return _key(row)


def _key(row: RowMapping) -> Key:
    counted, seconds = row["rate_count"], row["rate_s"]
    return Key(
        id=row["id"],
        name=row["name"],
        digest=row["digest"],
        scopes=frozenset(row["scopes"]),
        rate=None if counted is None or seconds is None else Rate(counted, seconds),
        concurrency=row["concurrency"],
        created=row["created"],
        expires=row["expires"],
        revoked=row["revoked"],
    )
