"""Pins, manifests, and what counts as whole."""

import json
import os
from pathlib import Path

import pytest

from deployments import store
from deployments.errors import ExpertError

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))


def _checkpoint(converted: bool = False) -> Path:
    folder = store.shelf("tiny/m") / COMMIT
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    store.declare(
        store.Manifest(
            "tiny/m",
            COMMIT,
            {"model.safetensors": 7},
            {"model.safetensors": store.digest(folder / "model.safetensors")},
            {"model.safetensors": {"file": "pytorch_model.bin", "sha256": "0"}} if converted else {},
        )
    )
    return folder


def test_where_the_home_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store.home() == tmp_path
    monkeypatch.setenv("HF_HOME", "$XDG_STATE_HOME/hf")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert store.home() == Path("/state/hf")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert store.home() == Path("/caches/huggingface")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert store.home() == Path("/home/user/.cache/huggingface")


def test_what_was_converted_is_read_again_only_where_it_was_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _checkpoint(converted=True)
    weights = folder / "model.safetensors"
    read: list[Path] = []
    digest = store.digest

    def watched(path: Path) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(store, "digest", watched)
    assert store.whole("tiny/m", COMMIT) == folder
    assert store.whole("tiny/m", COMMIT) == folder
    assert read == [weights, weights], "it was made a moment ago, and may still change within the same tick"
    monkeypatch.setattr(store, "_SETTLED_NS", -1)
    assert store.whole("tiny/m", COMMIT) == folder
    assert store.whole("tiny/m", COMMIT) == folder
    assert read == [weights] * 3
    before = weights.stat()
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.whole("tiny/m", COMMIT) is None, "a time that was set by hand hides nothing"
    weights.write_bytes(b"weights")
    folder.with_suffix(".checked").write_text("{", encoding="utf-8")
    assert store.whole("tiny/m", COMMIT) == folder


def test_a_revision_stays_pinned_to_its_first_commit() -> None:
    assert store.pinned("tiny/m", "refs/pr/1") is None
    store.pin("tiny/m", "refs/pr/1", COMMIT)
    store.pin("tiny/m", "refs/pr/1", "b" * 40)
    assert store.pinned("tiny/m", "refs/pr/1") == COMMIT
    assert store.pinned("tiny/m", "main") is None
    assert store.pinned("tiny/m", "c" * 40) == "c" * 40


@pytest.mark.parametrize("content", ["", "[]", "{", '{"commit": 1}', '{"commit": "../../x"}'])
def test_a_damaged_pin_is_none(content: str) -> None:
    store.pin("tiny/m", "main", COMMIT)
    store.pin_file("tiny/m", "main").write_text(content, encoding="utf-8")
    assert store.pinned("tiny/m", "main") is None
    store.pin("tiny/m", "main", COMMIT)
    assert store.pinned("tiny/m", "main") == COMMIT


@pytest.mark.parametrize("commit", ["../../victim", "None", "", "a" * 39, "A" * 40, "a" * 40 + "\n"])
def test_what_is_no_commit_never_becomes_a_path(commit: str) -> None:
    for call in (store.folder, store.manifest_file, store.whole):
        with pytest.raises(ExpertError, match="is no commit of tiny/m"):
            call("tiny/m", commit)
    with pytest.raises(ExpertError, match="is no commit"):
        store.pin("tiny/m", "main", commit)
    assert store.pinned("tiny/m", "main") is None


@pytest.mark.parametrize("model", ["..", "", "../x", "a/b/c", "/etc", "a/.."])
def test_what_is_no_name_of_a_model_never_becomes_a_path(model: str) -> None:
    with pytest.raises(ExpertError, match="no name of a model; it is to be owner/name"):
        store.shelf(model)
    with pytest.raises(ExpertError, match="no name of a model"):
        store.pinned(model, "main")


def test_what_was_made_without_a_list_of_files_counts_offline_alone() -> None:
    folder = _checkpoint()
    store.declare(store.Manifest("tiny/m", COMMIT, {"model.safetensors": 7}, listed=False))
    assert store.whole("tiny/m", COMMIT) is None
    assert store.whole("tiny/m", COMMIT, unlisted=True) == folder


def test_a_checkpoint_is_whole_with_its_manifest_alone() -> None:
    folder = _checkpoint()
    assert store.whole("tiny/m", COMMIT) == folder
    assert store.whole("tiny/m", "b" * 40) is None
    store.manifest_file("tiny/m", COMMIT).unlink()
    assert store.whole("tiny/m", COMMIT) is None


def test_a_file_that_is_cut_or_gone_makes_it_not_whole() -> None:
    path = _checkpoint() / "model.safetensors"
    path.write_bytes(b"weight")
    assert store.whole("tiny/m", COMMIT) is None
    path.unlink()
    assert store.whole("tiny/m", COMMIT) is None


def test_a_converted_file_is_checked_by_its_hash() -> None:
    folder = _checkpoint(converted=True)
    assert store.whole("tiny/m", COMMIT) == folder
    (folder / "model.safetensors").write_bytes(b"wEights")
    assert store.whole("tiny/m", COMMIT) is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    store.write(path, {"a": 1})
    with pytest.raises(TypeError):
        store.write(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
