"""One group of models at a time, for all tests of experts."""

from collections.abc import Iterator

import pytest

from tests.experts.desks import Desks
from tests.support.hub import FakeHub


@pytest.fixture(scope="session")
def desks(hub: FakeHub, product: str) -> Iterator[Desks]:
    """What serves the models, group by group."""
    made = Desks(hub)
    yield made
    made.close()
