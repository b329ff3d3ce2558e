"""Records become rows. What is written a second time changes nothing, so that a group may be sent again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from deployments.history.base import Base
from deployments.history.records import (
    DONE,
    RUNNING,
    Begun,
    Ended,
    Made,
    Record,
    Step,
    Talk,
    Tasked,
    Turn,
    run_of,
)
from deployments.history.tables import Artifact, Conversation, Event, Message, Run, Task

_MANY = 500
"""The most rows, or ids, of one statement."""


def write(connection: Connection, records: Sequence[Record]) -> None:
    """Write a group of records, in a transaction of the caller's.

    Those of runs that are not there are left out: a run may have been forgotten meanwhile.

    Raises:
        SQLAlchemyError: the database does not take them.

    """
    for begun in [record for record in records if isinstance(record, Begun)]:
        _begin(connection, begun)
    there = _there(connection, {run_of(record) for record in records})
    known = [record for record in records if run_of(record) in there]
    _insert(connection, Event, [_row(record) for record in known if isinstance(record, Step)])
    for row in _tasks([record for record in known if isinstance(record, Tasked)]):
        _task(connection, row)
    _insert(connection, Artifact, [_row(record) for record in known if isinstance(record, Made)])
    for ended in [record for record in known if isinstance(record, Ended)]:
        _end(connection, ended)


def _there(connection: Connection, runs: Iterable[str]) -> set[str]:
    """Which of these runs have a row."""
    found: set[str] = set()
    for some in chunks(list(runs)):
        found.update(connection.scalars(select(Run.id).where(Run.id.in_(some))))
    return found


def _begin(connection: Connection, begun: Begun) -> None:
    if begun.key is not None:  # whoever wrote this has seen that the key is free
        taken = (Run.owner == begun.owner, Run.key == begun.key, Run.id != begun.id)
        connection.execute(update(Run).where(*taken).values(key=None))
    conversation = begun.conversation
    if conversation is not None and not exists(connection, conversation):
        conversation = None
    row = _row(begun, "said", "files") | {"conversation": conversation, "state": RUNNING}
    _insert(connection, Run, [row])
    if conversation is not None:
        said = Turn(f"{begun.id}-q", "user", begun.said, begun.created, begun.files, begun.id)
        say(connection, conversation, [said])


def _tasks(records: Iterable[Tasked]) -> Iterable[dict[str, Any]]:
    """What is newly known of each task: one row for all that is told of it."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        told = _row(record)
        row = rows.setdefault((record.run, record.id), told)
        row |= {name: value for name, value in told.items() if value is not None}
    return rows.values()


def _task(connection: Connection, row: dict[str, Any]) -> None:
    """Write what is newly known of a task, and leave what was known before."""
    made = _statement(connection, Task).values(row)
    news = [name for name, value in row.items() if value is not None and name not in ("run", "id")]
    kept = made.on_conflict_do_update(
        index_elements=["run", "id"], set_={name: made.excluded[name] for name in news}
    )
    connection.execute(kept)


def _end(connection: Connection, ended: Ended) -> None:
    told = _row(ended, "run")
    connection.execute(update(Run).where(Run.id == ended.run).values(**told))
    conversation = connection.scalar(select(Run.conversation).where(Run.id == ended.run))
    if conversation is not None and ended.state == DONE and ended.answer:
        answer = Turn(f"{ended.run}-a", "assistant", ended.answer, ended.ended, (), ended.run)
        say(connection, conversation, [answer])


def converse(connection: Connection, talk: Talk, turns: Sequence[Turn]) -> None:
    """Make a conversation, with its first messages."""
    row = {"id": talk.id, "owner": talk.owner, "created": talk.created, "notes": dict(talk.notes)}
    _insert(connection, Conversation, [row | {"touched": talk.created}])
    say(connection, talk.id, turns)


def say(connection: Connection, conversation: str, turns: Sequence[Turn]) -> None:
    """Add messages to a conversation that is there, behind those that it has."""
    last = select(func.max(Message.place)).where(Message.conversation == conversation)
    place = connection.scalar(last)
    first = 0 if place is None else place + 1
    rows = [
        _row(turn) | {"conversation": conversation, "place": first + number, "files": list(turn.files)}
        for number, turn in enumerate(turns)
    ]
    _insert(connection, Message, rows)
    touched = max((turn.created for turn in turns), default=0.0)
    newer = (Conversation.id == conversation, Conversation.touched < touched)
    connection.execute(update(Conversation).where(*newer).values(touched=touched))


def exists(connection: Connection, conversation: str) -> bool:
    """Whether there is such a conversation."""
    return connection.scalar(select(Conversation.id).where(Conversation.id == conversation)) is not None


# Statements ------------------------------------------------------------------------------------------------


def chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Values in portions that one statement takes."""
    return (values[at : at + _MANY] for at in range(0, len(values), _MANY))


def _row(record: Any, *without: str) -> dict[str, Any]:
    names = (name for name in record.__slots__ if name not in without)
    return {name: _plain(getattr(record, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _insert(connection: Connection, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; those that are there stay as they are."""
    for some in chunks(rows):
        connection.execute(_statement(connection, table).on_conflict_do_nothing(), list(some))


def _statement(connection: Connection, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows conflicts, in the database's own words."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
