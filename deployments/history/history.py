"""The history deployment: what is kept of requests and keys, in a database, behind one door.

One thread writes, so that writers never wait for each other's locks; a few read meanwhile.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from deployments.errors import HistoryError
from deployments.history import forgetting, keys, reading, writing
from deployments.history.engine import opened, reason, upgrade
from deployments.history.records import Entry, Record, Step, Talk, Turn, run_of
from deployments.history.ring import Ring

logger = logging.getLogger("ray.serve")

READERS = 4
"""How many threads read at once."""

SWEEP_S = 3600.0
"""How often what has outlived its time is removed, in seconds."""

DAY_S = 86_400.0
"""A day, in seconds."""

_T = TypeVar("_T")


class History:
    """The database of history and keys; a Serve deployment, and a plain class for tests."""

    def __init__(self, database: SecretStr, days: float = 0.0) -> None:
        """Open the database and bring its tables to this release.

        Args:
            database: its URL; see ``engine.opened``.
            days: after how many days a run, and a conversation that rests, is forgotten; 0 for never.

        Raises:
            HistoryError: it cannot be reached, or was made by a later release.

        """
        self._engine = opened(database)
        self._days = days
        self._stopping = threading.Event()
        self._sweeper: threading.Thread | None = None
        try:
            upgrade(self._engine)
        except BaseException:
            self._engine.dispose()
            raise
        self._writer = ThreadPoolExecutor(1, "history-writer")
        self._readers = ThreadPoolExecutor(READERS, "history-reader")
        if days:
            self._sweeper = threading.Thread(target=self._sweep_hourly, name="history-sweeper", daemon=True)
            self._sweeper.start()

    def close(self) -> None:
        """End its threads and close every connection; what is being written is written."""
        self._stopping.set()
        if self._sweeper is not None:
            self._sweeper.join()
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()

    # Writing -----------------------------------------------------------------------------------------------

    async def write(self, records: Sequence[Record]) -> frozenset[str]:
        """Write a group of records, in one transaction that is on the disk when this returns.

        Returns:
            The runs of which the database takes nothing, whatever is tried; all others are written.

        Raises:
            HistoryError: the database cannot be used now; the same group may be sent again.

        """
        return await self._in(self._writer, lambda: self._write(records))

    def _write(self, records: Sequence[Record]) -> frozenset[str]:
        try:
            self._wrote(lambda connection: writing.write(connection, records))
        except SQLAlchemyError as error:
            if passes(error):
                raise
            logger.warning("a group of records was refused (%s); each run goes alone", reason(error))
        else:
            return frozenset()
        refused = set()
        for run in dict.fromkeys(map(run_of, records)):
            own = [record for record in records if run_of(record) == run]
            try:
                self._wrote(lambda connection, own=own: writing.write(connection, own))  # type: ignore[misc]
            except SQLAlchemyError as error:
                if passes(error):
                    raise
                logger.error("run %s cannot be kept: %s", run, reason(error))
                refused.add(run)
        return frozenset(refused)

    async def converse(self, talk: Talk, turns: Sequence[Turn] = ()) -> None:
        """Make a conversation, with its first messages.

        Raises:
            HistoryError: the database cannot be used now.

        """
        await self._change(lambda connection: writing.converse(connection, talk, turns))

    async def interrupt(self, instance: str) -> list[str]:
        """Mark runs without an end that are those of other ingresses than this; their ids.

        Raises:
            HistoryError: the database cannot be used now.

        """
        return await self._change(lambda c: forgetting.interrupted(c, instance, time.time()))

    async def forget(self, run: str) -> bool:
        """Remove a run with all that is kept of it; whether it was there.

        Raises:
            HistoryError: the database cannot be used now.

        """
        return await self._change(lambda connection: forgetting.run(connection, run))

    async def forget_conversation(self, conversation: str) -> bool:
        """Remove a conversation with its messages and runs; whether it was there.

        Raises:
            HistoryError: the database cannot be used now.

        """
        return await self._change(lambda connection: forgetting.conversation(connection, conversation))

    async def sweep(self, before: float | None = None) -> int:
        """Remove what has outlived its time; how many runs and conversations.

        Args:
            before: what rests since before this time, in seconds since the epoch; by the days of the settings
                where it is None.

        Raises:
            HistoryError: the database cannot be used now.

        """
        limit = time.time() - self._days * DAY_S if before is None else before
        total = 0
        while count := await self._change(lambda connection: forgetting.expired(connection, limit)):
            total += count
        return total

    def _sweep_hourly(self) -> None:
        while True:
            before = time.time() - self._days * DAY_S
            try:
                while self._writer.submit(
                    self._wrote, lambda connection, b=before: forgetting.expired(connection, b)
                ).result():
                    pass
            except (SQLAlchemyError, RuntimeError) as error:  # it is tried again in an hour
                logger.warning("what is old could not be removed: %s", reason(error))
            if self._stopping.wait(SWEEP_S):
                return

    # Reading -----------------------------------------------------------------------------------------------

    async def entry(self, run: str) -> Entry | None:
        """A run, where it is kept.

        Raises:
            HistoryError: the database cannot be used now; so for all that read.

        """
        return await self._read(lambda connection: reading.entry(connection, run))

    async def keyed(self, owner: str, key: str) -> Entry | None:
        """The run that a client began under a key of its own, where it is kept."""
        return await self._read(lambda connection: reading.keyed(connection, owner, key))

    async def entries(self, owner: str | None, limit: int, before: str | None = None) -> list[Entry]:
        """The runs that began last, the latest first; everybody's where the owner is None."""
        return await self._read(lambda connection: reading.entries(connection, owner, limit, before))

    async def steps(self, run: str, after: int = -1) -> list[Step]:
        """The next steps of a run behind number ``after``, as many as are read at once."""
        return await self._read(lambda connection: reading.steps(connection, run, after))

    async def made(self, run: str) -> list[str]:
        """The paths of the files that a run made."""
        return await self._read(lambda connection: reading.made(connection, run))

    async def made_in(self, conversation: str) -> list[str]:
        """The paths of the files that the runs of a conversation made."""
        return await self._read(lambda connection: reading.made_in(connection, conversation))

    async def talk(self, conversation: str) -> Talk | None:
        """A conversation, where it is kept."""
        return await self._read(lambda connection: reading.talk(connection, conversation))

    async def talks(self, owner: str | None, limit: int, after: str | None = None) -> list[Talk]:
        """Conversations, the latest first; everybody's where the owner is None."""
        return await self._read(lambda connection: reading.talks(connection, owner, limit, after))

    async def turns(self, conversation: str, limit: int, whole: bool = True) -> list[Turn]:
        """The latest messages of a conversation, in their order; see ``reading.turns``."""
        return await self._read(lambda connection: reading.turns(connection, conversation, limit, whole))

    async def ring(self) -> Ring:
        """The API keys that were not revoked, and the secret that signs addresses of files."""
        return await self._read(keys.ring)

    # Threads -----------------------------------------------------------------------------------------------

    async def _change(self, work: Callable[[Connection], _T]) -> _T:
        return await self._in(self._writer, lambda: self._wrote(work))

    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        return await self._in(self._readers, lambda: self._looked(work))

    def _wrote(self, work: Callable[[Connection], _T]) -> _T:
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            return work(connection)

    def _looked(self, work: Callable[[Connection], _T]) -> _T:
        with self._engine.connect() as connection, connection.begin():
            return work(connection)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except SQLAlchemyError as error:
            raise HistoryError(
                f"The database that keeps the history cannot be used now ({reason(error)}); try again soon."
            ) from None


def passes(error: SQLAlchemyError) -> bool:
    """Whether what failed may succeed later: the database was away, full or locked, and the rows are good."""
    if isinstance(error, IntegrityError):
        return False
    return isinstance(error, OperationalError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
