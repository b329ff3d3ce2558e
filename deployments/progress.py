"""How far a download is, told now and then."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

EVERY_S = 20
"""Seconds between two words."""


@contextmanager
def progress(model: str, folder: Path) -> Iterator[None]:
    """Tell on standard error how the files of ``folder`` grow, as long as the block runs."""
    done = threading.Event()
    before = _bytes(folder)

    def tell() -> None:
        while not done.wait(EVERY_S):
            sys.stderr.write(f"{model}: {(_bytes(folder) - before) / 1e6:.0f} MB so far\n")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with suppress(OSError):  # renamed when it was whole
            total += path.stat().st_size
    return total
