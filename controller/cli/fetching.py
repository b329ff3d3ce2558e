"""How a pull fetches models one after the other, and shows how far it is."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from rich.console import Console

from controller.cli.view import literal
from controller.sizes import size
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

if TYPE_CHECKING:
    from deployments.survey import Coming

Say = Callable[[str], None]
"""Takes a line of the process that fetches."""

_OFTEN_S = 0.2


def fetch(
    cards: Sequence[ModelCard],
    coming: "dict[str, Coming]",
    token: SecretStr | None,
    out: Console,
) -> tuple[list[ModelCard], dict[str, str]]:
    """Fetch models one after the other; one that fails does not stop the next.

    Args:
        cards: the models.
        coming: what the Hub tells of their repositories, by name.
        token: the operator's for the Hub.
        out: where to show how far it is.

    Returns:
        Those that are here now, and why others are not, by id.

    """
    from deployments import checkpoint, holdings

    pulled: list[ModelCard] = []
    failed: dict[str, str] = {}
    through: set[str] = set()
    for number, card in enumerate(cards, 1):
        repositories = holdings.repositories(card)
        waiting = [source for source, _ in repositories if source not in through]
        left = sum(coming[source].missing for source in waiting)
        try:
            with progress(f"{number}/{len(cards)} {card.id}", left, waiting, out) as say:
                for source, revision in repositories:
                    checkpoint.obtain(source, revision, token, say)
                    through.add(source)
        except HuggingGPTError as error:
            failed[card.id] = error.message
        else:
            pulled.append(card)
    return pulled, failed


@contextmanager
def progress(title: str, left: int, models: Sequence[str], out: Console) -> Iterator[Say]:
    """Show a download while the block runs: as a bar on a terminal, else by the lines of the process.

    Args:
        title: what is fetched.
        left: bytes that are to come.
        models: the repositories whose files in the Hub's cache grow by that.
        out: where to show it.

    """
    if out.is_terminal:
        with _bar(title, left, models, out) as say:
            yield say
        return
    out.print(
        literal(f"{title}: {size(left)} to fetch" if left else f"{title}: here already"), soft_wrap=True
    )
    yield lambda line: out.print(literal(f"  {line}"), soft_wrap=True)


@contextmanager
def _bar(title: str, left: int, models: Sequence[str], out: Console) -> Iterator[Say]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from deployments import store

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    folders = [store.hub_folder(model) / "blobs" for model in models]
    before = sum(map(_bytes, folders))
    done = threading.Event()
    with Progress(*columns, console=out) as bar:
        task = bar.add_task(title, total=left)

        def follow() -> None:
            while not done.wait(_OFTEN_S):
                came = sum(map(_bytes, folders)) - before
                bar.update(task, completed=min(left, max(0, came)))

        def say(line: str) -> None:
            if ": converting " in line:  # it takes as long as a download, and nothing comes
                bar.update(task, description=f"{title} (converting)")

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield say
            bar.update(task, description=title, completed=left)
        finally:
            done.set()
            follower.join()


def _bytes(folder: Path) -> int:
    """Bytes in a folder; its files come and go."""
    total = 0
    for path in folder.glob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total
