"""Storages of every kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest

from tests.support.buckets import BUCKET, Store, emptied, s3


@pytest.fixture(scope="package")
def service() -> Iterator[Any]:
    with s3() as client:
        yield client


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """Where files are stored: an empty storage of each kind."""
    if request.param == "s3":
        emptied(request.getfixturevalue("service"))
        yield f"s3://{BUCKET}/deep/er"
    elif request.param == "memory":
        yield f"memory://{tmp_path.name}"
        files = fsspec.filesystem("memory")
        if files.exists(f"/{tmp_path.name}"):
            files.rm(f"/{tmp_path.name}", recursive=True)
    else:
        yield None


@pytest.fixture
def store(place: str | None, tmp_path: Path) -> Store:
    return Store(tmp_path, place)
