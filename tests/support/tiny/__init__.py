"""Builders of tiny models with random weights, each saved as a usual model folder; no network."""

import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

Builder = Callable[[Path], None]


@cache
def _root() -> Path:
    return Path(tempfile.mkdtemp(prefix="tiny-"))


@cache
def tiny(builder: Builder) -> Path:
    """The folder that ``builder`` fills, made once for a test session; its weights are always the same."""
    import torch

    name = f"{builder.__module__.rpartition('.')[2]}-{builder.__name__}"
    folder = _root() / name
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
        builder(folder)
    return folder
