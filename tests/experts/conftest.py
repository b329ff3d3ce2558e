"""One group of models at a time, for all tests of experts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.experts.desks import Desks
from tests.support.hub import FakeHub


@pytest.fixture(scope="session")
def product(cluster: None, home: Path, http_port: int) -> str:
    """The product with one embedded expert, beside which others are deployed; its URL."""
    from controller.app import install
    from controller.settings import Settings

    install(Settings(port=http_port, data_dir=home / "artifacts", experts=("embedded/canny",)))
    return f"http://127.0.0.1:{http_port}"


@pytest.fixture(scope="session")
def desks(hub: FakeHub, product: str) -> Iterator[Desks]:
    """What serves the models, group by group."""
    made = Desks(hub)
    yield made
    made.close()
