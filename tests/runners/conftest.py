"""Fixtures of the runners' tests."""

from collections.abc import Iterator

import pytest

from deployments.runners import neural


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models run on one thread each: more of them only wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neural, "THREADS", 1)
        yield
