"""One Ray cluster for a whole test session, and experts deployed on it for a test."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ray
from ray import serve
from ray.util.state import list_actors

from deployments import fleet
from model_catalog.card import Figure, ModelCard


def card(
    name: str,
    task: str,
    runner: str,
    *,
    downloads: int = 1,
    description: str = "",
    batch_size: int = 1,
) -> ModelCard:
    """A test expert's card; ``runner`` is a class of ``tests.support.runners``."""
    return ModelCard(
        id=f"test/{name}",
        tasks=(task,),
        runner=f"tests.support.runners:{runner}",
        downloads=Figure(value=downloads, date="2026-01"),
        description=description,
        batch_size=batch_size,
    )


EXTRA = (
    card("echo-depth", "depth-estimation", "Echo"),
    card("echo-segments", "image-segmentation", "Echo"),
)
"""Cards in the catalog of the session's product."""


def write_cards(cards: Sequence[ModelCard], path: Path) -> Path:
    """Write a catalog file; returns its path."""
    path.write_text("".join(item.model_dump_json() + "\n" for item in cards), encoding="utf-8")
    return path


@contextmanager
def deployed(cards: Sequence[ModelCard]) -> Iterator[None]:
    """The experts, for a while."""
    fleet.deploy(cards)
    try:
        yield
    finally:
        for item in cards:
            serve.delete(fleet.app_name(item))
        fleet.announce()


def replicas(application: str) -> list[int]:
    """The processes of the replicas whose application's name begins so, on the session's cluster."""
    dashboard = ray._private.worker._global_node.webui_url  # other clusters may run on this machine
    actors = list_actors(address=f"http://{dashboard}", filters=[("state", "=", "ALIVE")], limit=1000)
    return [actor.pid for actor in actors if actor.class_name.startswith(f"ServeReplica:{application}")]
