"""A fake Hub with a home of its own, for the tests of downloads."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.hub import FakeHub

RIGHT = SecretStr("hf_right")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A running hub, which this process and its children use; their cache is empty."""
    with FakeHub() as running:
        for key, value in running.env(tmp_path / "home").items():
            monkeypatch.setenv(key, value)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield running


def repository(folder: Path, files: Mapping[str, Any] | None = None) -> Path:
    """A model's folder with a configuration, weights, and the given files; None leaves one out."""
    contents: dict[str, Any] = {"config.json": {"model_type": "bert"}, "model.safetensors": b"weights"}
    contents |= files or {}
    for name, content in contents.items():
        if content is None:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content).encode() if isinstance(content, dict) else content
        (folder / name).write_bytes(text)
    return folder


def pickled(source: Path, folder: Path, name: str = "pytorch_model.bin") -> Path:
    """A copy of a model's folder with its safetensors as a pickle."""
    import torch
    from safetensors.torch import load_file

    shutil.copytree(source, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / name)
    (folder / "model.safetensors").unlink()
    return folder
