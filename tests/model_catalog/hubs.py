"""A hub of models without files, and a time that passes only where somebody sleeps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_catalog.hub import Hub
from tests.support.hub import FakeHub


class Time:
    """A clock that sleepers move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A running hub that this process asks."""
    from huggingface_hub import constants

    with FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield running


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The folder of a model with a configuration alone."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    return folder


def asking(time: Time | None = None, token: str | None = None, said: list[str] | None = None) -> Hub:
    """Somebody who asks the hub of the environment, and never really sleeps."""
    time = time or Time()
    return Hub(token, (said if said is not None else []).append, time.sleep, time.clock)


def listed(hub: FakeHub, folder: Path, name: str, task: str, downloads: int, **facts: Any) -> str:
    """Publish a model that listings show; returns its commit."""
    known = {"likes": downloads // 10, "downloadsAllTime": downloads * 9, "tags": ["license:mit"], **facts}
    return hub.add(name, folder, pipeline_tag=task, downloads=downloads, **known)
