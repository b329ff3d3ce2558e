"""The links deployment, with one web server of the tests as the only place on the web."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ray import serve

from deployments import fleet
from deployments.links.fetcher import Fetcher
from deployments.links.links import Links, links_app
from tests.support.sites import PUBLIC, is_public


class Linked(Links):
    """Fetches from ``site.example``, which is the tests' own server."""

    def __init__(self, most: int) -> None:
        async def resolve(host: str, port: int) -> Sequence[str]:
            return [PUBLIC] if host == "site.example" else []

        super().__init__(most, fetch=Fetcher(most, resolve=resolve, is_public=is_public).fetch)


@contextmanager
def linked(most: int = 1 << 20) -> Iterator[None]:
    """The product with such a deployment in place of its own, for a while."""
    deployment: Any = serve.deployment(Linked, name="links", ray_actor_options={"num_cpus": 0})
    _run(deployment.bind(most))
    try:
        yield
    finally:
        _run(links_app(1 << 20))


def _run(app: Any) -> None:
    assert not fleet.run([serve.RunTarget(app, name=fleet.LINKS, route_prefix=None)])
