"""Rows become records again."""

from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select

from deployments.history.records import DONE, Entry, Step, Talk, Turn
from deployments.history.tables import Artifact, Conversation, Event, Message, Run

_ENTRY = tuple(getattr(Run, name) for name in Entry.__slots__)
_TURN = tuple(getattr(Message, name) for name in Turn.__slots__)
_TALK = tuple(getattr(Conversation, name) for name in Talk.__slots__)

STEPS = 500
"""The most steps of one reading."""

STEPS_BYTES = 4 << 20
"""How many bytes of them, but for the last one."""


def entry(connection: Connection, run: str) -> Entry | None:
    """A run, where it is there."""
    row = connection.execute(select(*_ENTRY).where(Run.id == run)).one_or_none()
    return None if row is None else Entry(*row)


def keyed(connection: Connection, owner: str, key: str) -> Entry | None:
    """The run that a client began under a key of its own, where it is there."""
    mine = and_(Run.owner == owner, Run.key == key)
    row = connection.execute(select(*_ENTRY).where(mine)).one_or_none()
    return None if row is None else Entry(*row)


def entries(connection: Connection, owner: str | None, limit: int, before: str | None) -> list[Entry]:
    """The runs that began last, the latest first.

    Args:
        connection: to the database.
        owner: whose; None for everybody's.
        limit: the most runs.
        before: the id of the run that they began before; those of one that is not there are all.

    """
    query = select(*_ENTRY).order_by(Run.created.desc(), Run.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(Run.owner == owner)
    if before is not None:
        since = connection.scalar(select(Run.created).where(Run.id == before))
        if since is not None:
            query = query.where(or_(Run.created < since, and_(Run.created == since, Run.id < before)))
    return [Entry(*row) for row in connection.execute(query)]


def steps(connection: Connection, run: str, after: int) -> list[Step]:
    """The next steps of a run behind number ``after``, as many as are read at once; none behind the last."""
    query = select(Event.run, Event.number, Event.type, Event.data)
    query = query.where(Event.run == run, Event.number > after).order_by(Event.number).limit(STEPS)
    found: list[Step] = []
    room = STEPS_BYTES
    for row in connection.execute(query):
        found.append(Step(*row))
        room -= len(found[-1].data)
        if room < 0:
            break
    return found


def made(connection: Connection, run: str) -> list[str]:
    """The paths of the files that a run made."""
    return list(connection.scalars(select(Artifact.path).where(Artifact.run == run).order_by(Artifact.path)))


def made_in(connection: Connection, conversation: str) -> list[str]:
    """The paths of the files that the runs of a conversation made."""
    query = select(Artifact.path).join(Run, Run.id == Artifact.run).where(Run.conversation == conversation)
    return list(connection.scalars(query.order_by(Artifact.path)))


def talk(connection: Connection, conversation: str) -> Talk | None:
    """A conversation, where it is there."""
    row = connection.execute(select(*_TALK).where(Conversation.id == conversation)).one_or_none()
    return None if row is None else Talk(*row)


def talks(connection: Connection, owner: str | None, limit: int, after: str | None) -> list[Talk]:
    """Conversations, those that were begun last first; behind that of id ``after`` where it is given."""
    query = select(*_TALK).order_by(Conversation.created.desc(), Conversation.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(Conversation.owner == owner)
    if after is not None:
        since = connection.scalar(select(Conversation.created).where(Conversation.id == after))
        if since is not None:
            older = and_(Conversation.created == since, Conversation.id < after)
            query = query.where(or_(Conversation.created < since, older))
    return [Talk(*row) for row in connection.execute(query)]


def turns(connection: Connection, conversation: str, limit: int, whole: bool) -> list[Turn]:
    """The latest messages of a conversation, in their order.

    Args:
        connection: to the database.
        conversation: its id.
        limit: the most messages.
        whole: whether what was asked without an answer is among them: what failed is no part of the talk.

    """
    query = select(*_TURN).where(Message.conversation == conversation)
    if not whole:
        query = query.outerjoin(Run, Run.id == Message.run)
        query = query.where(or_(Message.run.is_(None), Run.state == DONE))
    rows = connection.execute(query.order_by(Message.place.desc(), Message.id.desc()).limit(limit)).all()
    return [_turn(row) for row in reversed(rows)]


def _turn(row: Row[Any]) -> Turn:
    found = dict(zip(Turn.__slots__, row, strict=True))
    return Turn(**found | {"files": tuple(found["files"])})
