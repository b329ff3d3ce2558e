"""What a pull would bring, told by a fake Hub; and a download that goes on where it was broken off."""

import json
import os
import threading
from pathlib import Path

import pytest

from deployments import holdings, resuming, store
from deployments.checkpoint import obtain
from deployments.errors import ExpertError
from deployments.survey import Coming, survey
from model_catalog.card import ModelCard
from tests.deployments.hubs import RIGHT, hub, repository
from tests.support.hub import FakeHub

__all__ = ["hub"]

LARGE = resuming.LEAST + (1 << 20)


def _size(folder: Path, *names: str) -> int:
    return sum((folder / name).stat().st_size for name in names)


def test_all_repositories_are_asked_about_at_once_and_nothing_large_is_fetched(
    hub: FakeHub, tmp_path: Path
) -> None:
    plain = repository(tmp_path / "plain", {"README.md": b"x", "model.onnx": b"y" * 500})
    pipeline = repository(
        tmp_path / "pipeline",
        {
            "model_index.json": {"_class_name": "P", "unet": ["diffusers", "U"]},
            "config.json": None,
            "model.safetensors": b"all of it once more",
            "unet/config.json": {},
            "unet/diffusion_pytorch_model.safetensors": b"u" * 300,
            "other/config.json": {},
        },
    )
    commits = [
        hub.add("tiny/plain", plain, cardData={"license": "mit"}),
        hub.add("tiny/pipeline", pipeline),
        hub.add("tiny/gated", repository(tmp_path / "gated"), gated="auto"),
    ]
    hub.add("tiny/bare", repository(tmp_path / "bare", {"model.safetensors": None}))
    names = ["tiny/plain", "tiny/pipeline", "tiny/gated", "tiny/bare", "tiny/none"]
    found = survey([(name, None) for name in names])
    assert [one.model for one in found] == names
    size = _size(plain, "config.json", "model.safetensors")
    assert found[0] == Coming("tiny/plain", commits[0], 2, size, size, "mit", False)
    pieces = ("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors")
    size = _size(pipeline, *pieces)
    index = _size(pipeline, "model_index.json")
    assert found[1] == Coming("tiny/pipeline", commits[1], 3, size, size - index)
    assert found[2].gated
    assert "is gated; accept its terms" in (found[2].error or "")
    assert "no weights" in (found[3].error or "")
    assert "There is no model tiny/none" in (found[4].error or "")
    assert {Path(path).name for path in hub.asked("GET", "/resolve/")} == {"model_index.json"}

    (allowed,) = survey([("tiny/gated", None)], RIGHT)
    assert (allowed.gated, allowed.error, allowed.commit) == (True, None, commits[2])


def test_what_is_here_need_not_come_and_the_pinned_commit_is_told(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("tiny/m", repository(tmp_path / "m"))
    obtain("tiny/m")
    hub.add("tiny/m", repository(tmp_path / "newer", {"model.safetensors": b"newer"}))
    (found,) = survey([("tiny/m", None)])
    assert (found.commit, found.missing, found.error) == (commit, 0, None)
    assert found.size > 0
    assert holdings.here(ModelCard(id="tiny/m", tasks=("summarization",)))


def test_without_a_network_each_model_has_its_reason(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.stop()
    (found,) = survey([("tiny/m", None)])
    assert "cannot be reached; check the network" in (found.error or "")
    monkeypatch.setattr("deployments.checkpoint._TOLD_OFFLINE", "1")
    (found,) = survey([("tiny/m", None)])
    assert found.error is not None
    assert found.error.startswith(
        "tiny/m is not on this node. HF_HUB_OFFLINE forbids to fetch it; unset that"
    )
    assert survey([]) == []


def test_a_download_that_was_broken_off_goes_on_where_it_stopped(hub: FakeHub, tmp_path: Path) -> None:
    weights = os.urandom(LARGE)
    hub.add("tiny/large", repository(tmp_path / "large", {"model.safetensors": weights}))
    hub.cuts["model.safetensors"] = 12 << 20

    def fail_once_cut() -> None:
        while "model.safetensors" in hub.cuts:
            threading.Event().wait(0.01)
        hub.failing_files = 500

    breaker = threading.Thread(target=fail_once_cut)
    breaker.start()
    with pytest.raises(ExpertError, match=r"answers with an error \(500\)"):
        obtain("tiny/large")
    breaker.join()
    hub.failing_files = None
    (half,) = (store.hub_folder("tiny/large") / "blobs").glob(f"*{resuming.MARK}")
    came = half.stat().st_size
    assert 0 < came <= 12 << 20
    (told,) = survey([("tiny/large", None)])
    assert told.missing == LARGE - came

    hub.forget()
    said: list[str] = []
    found = obtain("tiny/large", say=said.append)
    ranges = [
        asked.range for asked in hub.requests if asked.path.endswith(".safetensors") and asked.method == "GET"
    ]
    assert ranges == [f"bytes={came}-"], "only the rest, and once"
    assert (found.folder / "model.safetensors").read_bytes() == weights
    assert not half.exists()
    assert any("goes on at 10 MB" in line for line in said)


def test_a_half_of_something_else_is_not_taken(hub: FakeHub, tmp_path: Path) -> None:
    weights = os.urandom(LARGE)
    hub.add("tiny/large", repository(tmp_path / "large", {"model.safetensors": weights}))
    (asked,) = [
        item for name, item in next(iter(hub.repos["tiny/large"].commits.values())).items() if "model" in name
    ]
    half = resuming.half(store.hub_folder("tiny/large") / "blobs", asked.sha256 or "")
    half.parent.mkdir(parents=True)
    half.write_bytes(bytes(1 << 20))
    found = obtain("tiny/large")
    assert (found.folder / "model.safetensors").read_bytes() == weights
    assert not half.exists()
    assert json.loads(store.manifest_file("tiny/large", found.commit or "").read_text(encoding="utf-8"))[
        "listed"
    ]
