"""Models on this node as a download leaves them, without one."""

import os
from pathlib import Path

from deployments import store


def cached(model: str, commit: str, **blobs: bytes) -> Path:
    """A snapshot in the Hub's cache; files of the same contents share a blob."""
    cache = store.hub_folder(model)
    snapshot = cache / "snapshots" / commit
    for place in (snapshot, cache / "blobs", cache / "refs"):
        place.mkdir(parents=True, exist_ok=True)
    for name, content in blobs.items():
        blob = cache / "blobs" / content.hex()[:40]
        blob.write_bytes(content)
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def pulled(model: str, commit: str = "1" * 40, **blobs: bytes) -> None:
    """A model, whole, at one commit."""
    snapshot = cached(model, commit, **blobs)
    folder = store.folder(model, commit)
    folder.mkdir(parents=True)
    for name in blobs:
        (folder / name).symlink_to(os.path.relpath((snapshot / name).resolve(), folder))
    store.declare(store.Manifest(model, commit, {name: len(content) for name, content in blobs.items()}))
    store.pin(model, "main", commit)
    (store.hub_folder(model) / "refs" / "main").write_text(commit, encoding="utf-8")
