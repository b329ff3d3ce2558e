"""The database of API keys, as commands of the operator open it, with or without a running server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from controller.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection


@contextmanager
def database(settings: Settings) -> "Iterator[Connection]":
    """A connection to the settings' database, in one transaction; its tables are those of this release.

    Raises:
        HistoryError: it cannot be reached, or was made by a later release.

    """
    from sqlalchemy.exc import SQLAlchemyError

    from deployments.errors import HistoryError
    from deployments.history import engine as engines

    engine = engines.opened(engines.address(settings.database, settings.data_dir))
    try:
        engines.upgrade(engine)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection
    except SQLAlchemyError as error:
        raise HistoryError(f"The database cannot be used: {engines.reason(error)}.") from None
    finally:
        engine.dispose()


def good_keys(settings: Settings) -> int:
    """How many keys are good now.

    Raises:
        HistoryError: the database cannot be used.

    """
    from deployments.history import keys

    with database(settings) as connection:
        now = time.time()
        return sum(key.good(now) for key in keys.ring(connection).keys.values())
