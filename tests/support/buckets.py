"""A real S3 service on this machine (moto), and a store in each kind of storage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import fsspec  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from deployments.artifacts import Artifacts
from deployments.storage import Keeping

BUCKET = "files"

HOUR = 3600.0

SIMPLE = pytest.mark.parametrize("place", ["folder", "memory"], indirect=True)
"""For tests whose point is not the storage, since moto's takes its time."""

_PUBLIC = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3() -> Iterator[Any]:
    """A service with one empty bucket, where this process's environment leads to; gives boto3's client."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in {**_PUBLIC, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
                environment.setenv(name, value)
            client = boto3.client("s3")
            client.create_bucket(Bucket=BUCKET)
            yield client
            client.close()
    finally:
        server.stop()


def emptied(client: Any) -> None:
    """Have nothing in the bucket any more."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=found["Key"])


def objects(place: str | None, home: Path) -> list[str]:
    """Every object of a storage, by its key; parts of uploads under way are none."""
    if place is None:
        return sorted(path.relative_to(home).as_posix() for path in home.glob("blobs/*/*"))
    files, base = fsspec.url_to_fs(place, use_listings_cache=False, skip_instance_cache=True)
    return sorted(path.partition(f"{base.strip('/')}/")[2] for path in files.find(base))


class Store(Artifacts):
    """A store that says what it holds."""

    def __init__(self, home: Path, place: str | None, life_s: float = 0.0, most: int = 1 << 40) -> None:
        super().__init__(str(home), keeping=Keeping(place, life_s, most))
        self.home, self.asked = home, place

    def objects(self) -> list[str]:
        """Every object of its storage."""
        return objects(self.asked, self.home)


async def upload(store: Artifacts, data: bytes, name: str = "", owner: str = "", **more: Any) -> str:
    """Upload a file; gives its path."""
    ticket = await store.begin()
    await store.append(ticket, data)
    return (await store.finish(ticket, name, owner, **more)).path


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let that time pass."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)
