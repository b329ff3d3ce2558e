"""What all tables of the database share: their root, and columns for words and JSON of any content."""

import json
from typing import Any

from sqlalchemy import Dialect, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
"""How indexes and constraints are named, so that migrations can name them on every database."""


class Base(DeclarativeBase):
    """The root of all tables."""

    metadata = MetaData(naming_convention=NAMES)


class Words(TypeDecorator[str]):
    """Words of people; what no database takes (NUL, halves of characters) becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean what is written."""
        return None if value is None else clean(value)


class Name(TypeDecorator[str]):
    """A name of at most some characters, cleaned alike, also where a stranger's is looked for."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean what is written, and what is looked for."""
        return None if value is None else clean(value)


class Json(TypeDecorator[Any]):
    """Any JSON value, as ASCII text: it comes back as it was on every database, NUL included."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write it; None is no value at all."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read it."""
        return None if value is None else json.loads(value)


def clean(words: str) -> str:
    """Words without what databases refuse."""
    return words.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
