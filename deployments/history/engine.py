"""The database: its address, connections to it, and its tables as this release needs them."""

import sqlite3
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from deployments.errors import HistoryError

FILE = "history.db"
"""The name of the SQLite file in the data folder."""

CONNECT_S = 5
"""How long a connection may take to be made, in seconds."""

BUSY_S = 30
"""How long SQLite waits for another process that writes, in seconds."""

_PAUSE_S = 0.02
_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x48474754  # of the migrations, in PostgreSQL: "HGGT"
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}


def address(database: SecretStr | None, folder: Path) -> SecretStr:
    """The URL of the database: that of the settings, or a SQLite file in the data folder."""
    if database is not None:
        return database
    return SecretStr(URL.create("sqlite", database=str(folder / FILE)).render_as_string())


def opened(database: SecretStr) -> Engine:
    """Connections to a database; nothing is connected yet.

    SQLite writes ahead (WAL) and to the disk at each commit, holds to foreign keys, and overwrites what is
    removed. A connection with the
    execution option ``writes`` takes SQLite's one lock of writers as it begins, and not in the midst.

    Args:
        database: its URL, such as ``sqlite:////folder/history.db`` or ``postgresql://user:password@host/name``.

    Raises:
        HistoryError: the URL cannot be used, its driver is not installed, or its file cannot be made.

    """
    try:
        url = make_url(database.get_secret_value())
        driver = _DRIVERS[url.drivername.partition("+")[0]]
    except (ArgumentError, KeyError):
        raise HistoryError(
            "The database of the settings cannot be used: give a URL such as "
            "postgresql://user:password@host/name, or sqlite:////folder/file.db."
        ) from None
    if driver == "sqlite":
        return _sqlite(url.set(drivername=driver))
    try:
        import_module("psycopg")
    except ImportError:
        raise HistoryError(
            "PostgreSQL needs a driver here: pip install 'hugginggpt-serve[postgresql]'."
        ) from None
    return create_engine(
        url.set(drivername=driver),
        pool_pre_ping=True,  # the server may have been restarted meanwhile
        connect_args={"connect_timeout": CONNECT_S},
    )


def _sqlite(url: URL) -> Engine:
    if url.database:
        file = Path(url.database)
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.touch(mode=0o600)  # requests, and the secret of addresses: this user's alone
        except OSError as error:
            raise HistoryError(f"The database file {file} cannot be made: {error.strerror}.") from None
    engine = create_engine(url, connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, record: Any) -> None:
    """Set a fresh connection to SQLite up; its transactions are begun by ``_begin`` and by nobody else."""
    connection.isolation_level = None
    _write_ahead(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have SQLite write ahead; for this it does not wait by itself where others open the same fresh file."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def upgrade(engine: Engine) -> None:
    """Bring the tables to what this release needs; one process at a time, all or nothing.

    Raises:
        HistoryError: the database cannot be reached, or was made by a later release.

    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise HistoryError(
            f"The tables of the database are not those of this release or an earlier one ({error}); use the "
            "release that made them, or another database."
        ) from None
    except (SQLAlchemyError, OSError) as error:
        raise HistoryError(f"The database cannot be used: {reason(error)}.") from None


def reason(error: BaseException) -> str:
    """Why a database failed, in one line, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, (NoSuchModuleError, ArgumentError)):
        return "its URL names no database that is known here"
    return " ".join(str(cause).split())[:300] or type(cause).__name__
