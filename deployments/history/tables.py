"""The tables of the history; those of keys are in ``keys``.

Times are seconds since the epoch. An owner is the id of an API key, empty for the operator of a server
without keys. A run's events are the whole truth about it; its other columns, its tasks and its artifacts are
what is asked for often, taken from them.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from deployments.history.base import Base, Json, Name, Words

_ID = Name(64)
_OWNER = String(64)


class Conversation(Base):
    """A conversation: what it is called by is its id, what its client notes of it its ``notes``."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    owner: Mapped[str] = mapped_column(_OWNER, index=True)
    created: Mapped[float] = mapped_column(Float)
    touched: Mapped[float] = mapped_column(Float, index=True)
    notes: Mapped[dict[str, str]] = mapped_column(Json)


class Run(Base):
    """A run: who asked for what, where it is, and how it ended.

    Attributes:
        instance: the ingress that runs it.
        door: which of the doors it came by.
        words: how its request begins.
        request: the whole request, so that it can be repeated.
        repeats: the run that it repeats.
        key: the client's own name for it; ``digest`` tells what was asked under it.
        error: the code of what it failed with.

    """

    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "owner", "created"),
        Index(None, "owner", "key", unique=True),
        Index(None, "state", "instance"),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    owner: Mapped[str] = mapped_column(_OWNER)
    instance: Mapped[str] = mapped_column(_ID)
    door: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    background: Mapped[bool] = mapped_column(Boolean)
    words: Mapped[str] = mapped_column(Words)
    request: Mapped[dict[str, Any]] = mapped_column(Json)
    conversation: Mapped[str | None] = mapped_column(
        _ID, ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    repeats: Mapped[str | None] = mapped_column(_ID)
    key: Mapped[str | None] = mapped_column(Words)
    digest: Mapped[str | None] = mapped_column(String(64))
    created: Mapped[float] = mapped_column(Float, index=True)
    ended: Mapped[float | None] = mapped_column(Float)
    plan: Mapped[list[Any] | None] = mapped_column(Json)
    answer: Mapped[str | None] = mapped_column(Words)
    error: Mapped[str | None] = mapped_column(String(64))


class Message(Base):
    """One turn of a conversation: said in a run, or given by the client."""

    __tablename__ = "messages"
    __table_args__ = (Index(None, "conversation", "place"),)

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    conversation: Mapped[str] = mapped_column(_ID, ForeignKey("conversations.id", ondelete="CASCADE"))
    run: Mapped[str | None] = mapped_column(_ID, ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    place: Mapped[int] = mapped_column(Integer)
    role: Mapped[str] = mapped_column(String(16))
    content: Mapped[str] = mapped_column(Words)
    files: Mapped[list[str]] = mapped_column(Json)
    created: Mapped[float] = mapped_column(Float)


class Event(Base):
    """One step of a run, as it was told: its number in the run, its type, and its JSON."""

    __tablename__ = "events"

    run: Mapped[str] = mapped_column(_ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[str] = mapped_column(Words)


class Task(Base):
    """One task of a run: its wire form in the plan, the choice of its model, and its outcome."""

    __tablename__ = "tasks"

    run: Mapped[str] = mapped_column(_ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    task: Mapped[str] = mapped_column(String(64), index=True)
    status: Mapped[str | None] = mapped_column(String(16))
    model: Mapped[str | None] = mapped_column(String(255))
    wire: Mapped[dict[str, Any] | None] = mapped_column(Json)
    choice: Mapped[dict[str, Any] | None] = mapped_column(Json)
    outcome: Mapped[dict[str, Any] | None] = mapped_column(Json)


class Artifact(Base):
    """A file that a task of a run made, by its path."""

    __tablename__ = "artifacts"

    run: Mapped[str] = mapped_column(_ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(String(255), primary_key=True)
    task: Mapped[int] = mapped_column(Integer)
    media_type: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
