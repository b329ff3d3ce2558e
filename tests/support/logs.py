"""What a logger is told, as a test sees it: Ray keeps its loggers' records from everyone else."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def recorded(logger: logging.Logger, level: int = logging.ERROR) -> Iterator[list[logging.LogRecord]]:
    """The records of that level and above, as they come."""
    keeper = _Keeper()
    keeper.setLevel(level)
    logger.addHandler(keeper)
    try:
        yield keeper.records
    finally:
        logger.removeHandler(keeper)
