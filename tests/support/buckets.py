"""A real S3 service on this machine (moto), and a store in each kind of storage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import fsspec  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

BUCKET = "files"

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
    before = dict(os.environ)
    os.environ |= {**_PUBLIC, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
        client.close()
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)


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
