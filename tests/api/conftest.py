"""An HTTP client of the whole product."""

from collections.abc import Iterator

import httpx2
import pytest


@pytest.fixture(scope="session")
def http(product: str) -> Iterator[httpx2.Client]:
    """A client of the session's endpoint."""
    with httpx2.Client(base_url=product, timeout=60) as client:
        yield client
