"""Experts over ``Odd``, and what tests of processes need."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deployments import forking, zygote
from deployments.expert import Expert
from tests.support.cluster import card

BOUND_S = 20.0


def odd(**more: Any) -> Expert:
    """An expert over ``Odd``."""
    changes = {"runner": "tests.deployments.odd:Odd", **more}
    return Expert(card("m", "image-to-text", "Echo").model_copy(update=changes))


def until(path: Path) -> None:
    """Wait for a file, with a bound."""
    end = time.monotonic() + BOUND_S
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.002)


@contextmanager
def light(folder: Path) -> Iterator[None]:
    """A zygote that imports nothing big, for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forking, "MODULES", ("numpy", "pydantic.main"))
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        yield
        zygote.stop()
