"""Which server a command talks to: a given one, the one that runs, or one of its own for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from controller.cli.client import Client
from controller.server import any_port, free, running, serving
from controller.settings import Settings


@contextmanager
def connected(settings: Settings, url: str | None, notes: Console) -> Iterator[Client]:
    """A client of the server at ``url``, of the one started by ``up``, or of one started for this command.

    Args:
        settings: what a server of its own is started with; a port of its own where the usual one is taken.
        url: a server's address, as given by the person.
        notes: where to say that a server is being started.

    Raises:
        HuggingGPTError: no server answers, and none can be started.

    """
    found = running()
    if url is not None or found is not None:
        with Client(url or (found.url if found else "")) as client:
            yield client
        return
    if not free(settings.host, settings.port):
        settings = settings.model_copy(update={"port": any_port(settings.host)})
    notes.print("[dim]No server runs; starting one for this command (hugginggpt up keeps one running) …[/]")
    with serving(settings, dashboard=False) as server, Client(server.url) as client:
        yield client
