"""Histories for tests: records that belong together, a database looked into, and a history under control."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, select

from deployments.errors import HistoryError
from deployments.history.base import Base
from deployments.history.history import History
from deployments.history.records import Begun, Ended, Made, Record, Step, Tasked

BEGAN = 1_700_000_000.0
"""When the runs of tests begin."""


@asynccontextmanager
async def opened(database: SecretStr, days: float = 0.0) -> AsyncIterator[History]:
    """A history over a database; closed at the end."""
    history = await asyncio.to_thread(History, database, days)
    try:
        yield history
    finally:
        await asyncio.to_thread(history.close)


def begun(run: str = "run-1", **more: Any) -> Begun:
    """A run that begins."""
    given = {"owner": "", "instance": "ingress-1", "door": "runs", "words": "hello", "request": {"host": ""}}
    return Begun(**{"id": run, "created": BEGAN, **given, **more})


def told(run: str = "run-1", state: str = "done", count: int = 3) -> list[Record]:
    """Everything of a run: its beginning, steps, one task with a file, and its end."""
    return [
        begun(run),
        *(Step(run, number, "answer.delta", f'{{"text":"{number}"}}') for number in range(count)),
        Tasked(run, 0, "fill-mask", wire={"task": "fill-mask", "id": 0}),
        Tasked(run, 0, "fill-mask", status="done", model="test/a", outcome={"text": "hi"}),
        Made(run, f"/images/{run}.png", 0, "image/png", 7),
        Ended(run, state, BEGAN + 1, [{"task": "fill-mask"}], "All done."),
    ]


def rows(history: History) -> dict[str, int]:
    """How many rows each table has; those of keys aside."""
    with history._engine.connect() as connection:
        tables = [table for table in Base.metadata.sorted_tables if table.name not in ("keys", "secrets")]
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables
        }


@dataclass
class Held:
    """A history whose writing a test holds up, lets fail, or lets through.

    Attributes:
        groups: the groups that were written.
        asked: how often it was asked to write.
        away: whether it fails.
        open: set while it answers at all.
        refused: runs of which it takes nothing.

    """

    groups: list[list[Record]] = field(default_factory=list)
    asked: int = 0
    away: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)
    refused: frozenset[str] = frozenset()
    interrupted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def records(self) -> list[Record]:
        """All that was written, in its order."""
        return [record for group in self.groups for record in group]

    async def write(self, records: Sequence[Record]) -> frozenset[str]:
        """See ``History``."""
        self.asked += 1
        await self.open.wait()
        if self.away:
            raise HistoryError("away")
        self.groups.append(list(records))
        return self.refused

    async def interrupt(self, instance: str) -> list[str]:
        """See ``History``."""
        if self.away:
            raise HistoryError("away")
        self.interrupted.append(instance)
        return []


def ago(days: float) -> float:
    """A time so many days before now."""
    return time.time() - days * 86_400
