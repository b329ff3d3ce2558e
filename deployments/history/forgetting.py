"""What is removed: at somebody's wish, or when its time is over; and what ended without an end."""

from sqlalchemy import Connection, delete, select, update

from deployments.history.records import INTERRUPTED, RUNNING
from deployments.history.tables import Conversation, Run

SOME = 500
"""How many runs or conversations are removed at once, so that nobody waits long for the database."""


def run(connection: Connection, name: str) -> bool:
    """Remove a run with all that hangs on it; whether it was there."""
    return bool(connection.execute(delete(Run).where(Run.id == name)).rowcount)


def conversation(connection: Connection, name: str) -> bool:
    """Remove a conversation with its messages and runs; whether it was there."""
    return bool(connection.execute(delete(Conversation).where(Conversation.id == name)).rowcount)


def expired(connection: Connection, before: float) -> int:
    """Remove some of what has rested since before a time; how much, 0 where there is nothing more.

    Runs of a conversation go with it, and not one by one.
    """
    old = select(Run.id).where(Run.created < before, Run.conversation.is_(None)).limit(SOME)
    resting = select(Conversation.id).where(Conversation.touched < before).limit(SOME)
    runs = list(connection.scalars(old))
    talks = list(connection.scalars(resting))
    if runs:
        connection.execute(delete(Run).where(Run.id.in_(runs)))
    if talks:
        connection.execute(delete(Conversation).where(Conversation.id.in_(talks)))
    return len(runs) + len(talks)


def interrupted(connection: Connection, instance: str, now: float) -> list[str]:
    """Mark the runs of every ingress but this one that have no end; their ids."""
    lost = list(connection.scalars(select(Run.id).where(Run.state == RUNNING, Run.instance != instance)))
    for at in range(0, len(lost), SOME):
        some = Run.id.in_(lost[at : at + SOME])
        still = update(Run).where(some, Run.state == RUNNING)
        connection.execute(still.values(state=INTERRUPTED, ended=now))
    return lost
