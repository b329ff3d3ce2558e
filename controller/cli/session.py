"""Which server a command talks to: a given one, the one that runs, or one of its own for a while."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from controller.cli.client import Client
from controller.planner import Reply
from controller.request import Attachment, Message, Request
from controller.server import any_port, free, running, serving
from controller.settings import Settings
from deployments.errors import MediaError
from deployments.media import media_type, modality_of
from model_catalog.tasks import Modality


@contextmanager
def connected(
    settings: Settings,
    url: str | None,
    notes: Console,
    request: str | None = None,
    files: Sequence[Path] = (),
) -> Iterator[Client]:
    """A client of the server at ``url``, of the one started by ``up``, or of one started for this command.

    Args:
        settings: what a server of its own is started with; a port of its own where the usual one is taken.
        url: a server's address, as given by the person.
        notes: where to say that a server is being started.
        request: the one request that a server of its own will get: it starts the experts for that alone.
        files: the files that come with it.

    Raises:
        HuggingGPTError: no server answers, and none can be started.

    """
    found = running()
    if url is not None or found is not None:
        with Client(url or (found.url if found else "")) as client:
            yield client
        return
    host = "127.0.0.1" if settings.exposed else settings.host
    settings = settings.model_copy(update={"host": host, "keys": "auto"})  # for this command alone
    if not free(settings.host, settings.port):
        settings = settings.model_copy(update={"port": any_port(settings.host)})
    if request is not None:
        settings = settings.model_copy(update={"experts": _needed(settings, request, files)})
        if "://" not in request:  # nothing to fetch, and nobody to start for it
            settings = settings.model_copy(update={"links": "off"})
    notes.print("[dim]No server runs; starting one for this command (hugginggpt up keeps one running) …[/]")
    with serving(settings, dashboard=False) as server, Client(server.url) as client:
        yield client


def _needed(settings: Settings, request: str, files: Sequence[Path]) -> tuple[str, ...]:
    """The models that can serve the tasks of a request; empty, which means all, where nobody can foresee."""
    from controller.app import catalog, chosen
    from controller.endpoints import endpoint
    from controller.plan import Plan
    from controller.rules.planner import EmbeddedPlanner

    if endpoint(settings, "planner") is not None:
        return ()
    attachments = tuple(Attachment(path=f"/files/{file.name}", modality=_modality(file)) for file in files)
    asked = Request(messages=(Message(role="user", content=request),), attachments=attachments)

    async def tasks() -> set[str]:
        steps = [step async for step in EmbeddedPlanner().plan(asked, lambda task: (), Plan())]
        return {str(step["task"]) for step in steps if not isinstance(step, Reply)}

    planned = asyncio.run(tasks())
    return tuple(card.id for card in chosen(settings, catalog(settings)) if planned.intersection(card.tasks))


def _modality(file: Path) -> Modality:
    """What a file holds, as far as its first bytes tell; the server looks closer."""
    with file.open("rb") as stream:
        kind = media_type(stream.read(4096), file.name)
    try:
        return modality_of(kind)
    except MediaError:
        return Modality.DATA
