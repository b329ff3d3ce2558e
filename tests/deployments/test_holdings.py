"""What lies on this node: listed, measured, found by card, and removed without touching what is others'."""

import json
import os
from pathlib import Path

import pytest

from deployments import holdings, store
from deployments.errors import ExpertError
from model_catalog.card import ModelCard
from tests.support.held import cached, pulled

ONE, TWO = "1" * 40, "2" * 40


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def card(model: str = "a/b", **facts: object) -> ModelCard:
    return ModelCard.model_validate({"id": model, "tasks": ["summarization"]} | facts)


def test_nothing_is_here_at_first() -> None:
    assert holdings.held() == []
    assert not holdings.here(card())
    assert not holdings.begun("a/b")
    with pytest.raises(ExpertError, match="a/b is not on this machine"):
        holdings.remove("a/b")


def test_what_was_pulled_is_listed_with_its_size() -> None:
    pulled("b/second", config=b"{}", weights=b"w" * 1000)
    pulled("a/first", weights=b"v" * 10)
    first, second = holdings.held()
    assert (first.model, first.commit, second.model) == ("a/first", ONE, "b/second")
    manifest = store.manifest_file("b/second", ONE).stat()
    assert second.size == 1002 + manifest.st_size
    assert second.pulled == manifest.st_mtime
    assert holdings.here(card("a/first"))
    assert holdings.here(card("a/first", revision=ONE))
    assert not holdings.here(card("a/first", revision=TWO))


def test_a_model_that_lacks_a_file_or_has_another_is_not_here() -> None:
    pulled("a/b", weights=b"w" * 1000)
    (store.folder("a/b", ONE) / "weights").resolve().write_bytes(b"w")
    assert not holdings.here(card())
    (store.folder("a/b", ONE) / "weights").resolve().unlink()
    assert not holdings.here(card())
    assert holdings.held() == []
    assert holdings.begun("a/b"), "so that it can be removed"


def test_a_card_is_here_once_all_its_parts_are(tmp_path: Path) -> None:
    pulled("a/b", weights=b"w")
    whole = card(parts={"base": f"c/base@{TWO}", "own": str(tmp_path)})
    assert not holdings.here(whole)
    pulled("c/base", TWO, weights=b"b")
    assert holdings.here(whole)
    assert holdings.repositories(whole) == [("a/b", None), ("c/base", TWO)]


def test_a_folder_of_ones_own_needs_nothing_of_the_hub(tmp_path: Path) -> None:
    assert holdings.here(card(path=str(tmp_path)))
    assert not holdings.here(card(path=str(tmp_path / "absent")))
    assert holdings.repositories(card(path=str(tmp_path))) == []


def test_a_model_is_removed_with_all_that_is_there_for_it_alone() -> None:
    pulled("a/b", weights=b"w" * 1000)
    pulled("a/c", weights=b"w" * 500)
    half = store.hub_folder("a/b") / "blobs" / "xyz.incomplete"
    half.write_bytes(b"h" * 70)
    size = holdings.held()[0].size
    assert holdings.remove("a/b") == size, "the half of a file was counted as its own"
    assert [one.model for one in holdings.held()] == ["a/c"]
    assert not store.hub_folder("a/b").exists()
    assert not store.shelf("a/b").exists()
    assert store.pinned("a/b", "main") is None
    assert store.pinned("a/c", "main") == ONE


def test_commits_that_others_fetched_stay_with_their_files() -> None:
    pulled("a/b", shared=b"s" * 100, own=b"o" * 50)
    theirs = cached("a/b", TWO, shared=b"s" * 100)
    (store.hub_folder("a/b") / "refs" / "v2").write_text(TWO, encoding="utf-8")
    freed = holdings.remove("a/b")
    assert 50 <= freed < 100 + 50 + 400, "of the shared file nothing is free"
    assert (theirs / "shared").read_bytes() == b"s" * 100
    refs = store.hub_folder("a/b") / "refs"
    assert [path.name for path in refs.iterdir()] == ["v2"]
    assert len(list((store.hub_folder("a/b") / "blobs").iterdir())) == 1


def test_a_file_that_has_a_name_elsewhere_frees_nothing(tmp_path: Path) -> None:
    pulled("a/b", weights=b"w" * 1000)
    os.link((store.folder("a/b", ONE) / "weights").resolve(), tmp_path / "kept")
    assert holdings.remove("a/b") < 1000
    assert (tmp_path / "kept").stat().st_size == 1000


def test_links_that_lead_out_of_the_cache_are_not_followed(tmp_path: Path) -> None:
    pulled("a/b", weights=b"w")
    (tmp_path / "precious").write_bytes(b"p")
    (store.hub_folder("a/b") / "snapshots" / ONE / "other").symlink_to(tmp_path / "precious")
    holdings.remove("a/b")
    assert (tmp_path / "precious").exists()


def test_what_was_begun_and_never_whole_is_removed_too() -> None:
    store.pin("a/b", "main", ONE)
    cached("a/b", ONE, config=b"{}")
    (store.shelf("a/b") / f".{ONE}.77").mkdir(parents=True)
    assert holdings.held() == []
    assert holdings.remove("a/b") == 2
    assert not store.hub_folder("a/b").exists()


def test_a_pin_of_another_model_with_a_longer_name_stays() -> None:
    pulled("a/b", weights=b"w")
    store.pin("a/b-large", "main", TWO)
    holdings.remove("a/b")
    assert store.pinned("a/b-large", "main") == TWO


def test_the_hubs_cache_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    pulled("a/b", weights=b"w" * 10)
    assert (tmp_path / "cache" / "models--a--b").is_dir()
    assert holdings.held()[0].size > 10
    assert json.loads(store.pin_file("a/b", "main").read_text(encoding="utf-8"))["commit"] == ONE
