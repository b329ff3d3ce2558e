"""A sync against a hub: what it asks, what it makes of it, and how it goes on after an end."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_catalog.card import Figure, ModelCard
from model_catalog.errors import CatalogError, HubError
from model_catalog.sync import FRESH, JOURNAL, Journal, Synced, Wish, sync
from tests.model_catalog.hubs import asking, bare, listed, served
from tests.support.hub import FakeHub

__all__ = ["bare", "served"]

DAY = "2026-11-22"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Judges:
    """Knows a few models that cannot be loaded; keeps whom it was asked of."""

    def __init__(self, **obstacles: str) -> None:
        self.obstacles = {f"lab/{name}": why for name, why in obstacles.items()}
        self.asked: list[str] = []

    def runs(self, card: ModelCard) -> bool:
        """All but those of a library."""
        return card.library != "odd"

    def obstacle(self, card: ModelCard) -> str | None:
        """Why."""
        self.asked.append(card.id)
        return self.obstacles.get(card.id)


def card(name: str, *tasks: str, downloads: int = 1, **more: Any) -> ModelCard:
    figure = Figure(value=downloads, date="2026-08")
    return ModelCard(id=f"lab/{name}", tasks=tasks or ("fill-mask",), downloads=figure, **more)


def run(
    folder: Path,
    known: list[ModelCard],
    *tasks: str,
    limit: int = 0,
    judge: Judges | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    **more: Any,
) -> Synced:
    hub = asking()
    journal = Journal(folder / JOURNAL, hub.address, NOW)
    wish = Wish(tasks or ("fill-mask",), limit, day=DAY, **more)
    try:
        return sync(hub, known, wish, journal, judge or Judges(), progress)
    finally:
        journal.close()


def test_known_cards_are_read_anew(served: FakeHub, bare: Path, tmp_path: Path) -> None:
    commit = listed(served, bare, "lab/a", "fill-mask", 50, tags=["license:mit"])
    listed(served, bare, "lab/b", "translation", 60)
    done = run(tmp_path, [card("a"), card("b", "translation"), card("gone")])
    renewed, gone = done.cards
    assert (renewed.id, renewed.license) == ("lab/a", "mit")
    assert renewed.downloads == Figure(value=50, date=DAY, source="hub")
    assert renewed.history == (Figure(value=1, date="2026-08"),)
    assert renewed.revision is None
    assert (gone.id, gone.gone, gone.usual_downloads) == ("lab/gone", DAY, 1)
    assert sorted(served.asked()) == ["/api/models/lab/a", "/api/models/lab/gone"]
    (moved,) = run(tmp_path, [card("a")], move=True).cards
    assert moved.revision == commit


def test_a_model_that_moved_keeps_its_card(served: FakeHub, bare: Path, tmp_path: Path) -> None:
    listed(served, bare, "lab/old", "fill-mask", 50, id="lab/new")
    done = run(tmp_path, [card("old")], limit=2)
    assert [each.id for each in done.cards] == ["lab/old"]
    assert done.moved == {"lab/old": "lab/new"}


def test_a_hub_without_most_models_is_the_wrong_one(served: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="has 0 of 10 models; look at HF_ENDPOINT"):
        run(tmp_path, [card(f"m{n}") for n in range(10)])
    assert not (tmp_path / JOURNAL).exists()
    assert len(run(tmp_path, [card(f"m{n}") for n in range(9)]).cards) == 9


def test_new_models_are_the_first_that_can_be_served(served: FakeHub, bare: Path, tmp_path: Path) -> None:
    for name, downloads, more in (
        ("most", 90, {"tags": ["custom_code"]}),
        ("known", 80, {}),
        ("odd", 75, {}),
        ("broken", 70, {}),
        ("new", 60, {"safetensors": {"parameters": {"F32": 2000}, "total": 2000}}),
        ("second", 55, {}),
        ("late", 50, {}),
    ):
        listed(served, bare, f"lab/{name}", "fill-mask", downloads, **more)
    judge = Judges(broken="its weights do not fit")
    done = run(tmp_path, [card("known"), card("odd", library="odd")], limit=3, judge=judge)
    assert [each.id for each in done.cards] == ["lab/known", "lab/odd", "lab/new", "lab/second"]
    assert done.left_out == {"lab/most": "it is tagged custom_code", "lab/broken": "its weights do not fit"}
    assert judge.asked == ["lab/broken", "lab/new", "lab/second"]
    assert done.cards[2].params == 2000
    assert served.asked() == ["/api/models"]  # the listing tells of known ones too


def test_cards_of_ones_own_are_left_alone(served: FakeHub, bare: Path, tmp_path: Path) -> None:
    for name, downloads in (("known", 3), ("written", 2), ("new", 1)):
        listed(served, bare, f"lab/{name}", "fill-mask", downloads)
    own = frozenset({"lab/known", "lab/written"})
    assert run(tmp_path, [card("known")], limit=2, own=own).cards == ()
    assert [each.id for each in run(tmp_path, [card("known")], limit=3, own=own).cards] == ["lab/new"]


def test_tasks_that_the_hub_does_not_have_are_not_listed(served: FakeHub, tmp_path: Path) -> None:
    done = run(tmp_path, [], "canny-control", "conversational", limit=3)
    assert done.cards == ()
    assert not served.requests


def test_an_interrupted_sync_goes_on(served: FakeHub, bare: Path, tmp_path: Path) -> None:
    names = [f"m{n:02}" for n in range(30)]
    for name in names:
        listed(served, bare, f"lab/{name}", "fill-mask", 9)
    listed(served, bare, "lab/top", "fill-mask", 99)
    known = [card(name) for name in names]

    def cut(stage: str, done: int, total: int) -> None:
        if stage == "reading" and done >= 5:
            served.failing = 500

    with pytest.raises(HubError, match="500"):
        run(tmp_path, known, limit=1, progress=cut)
    served.failing = None
    kept = Journal(tmp_path / JOURNAL, served.url, NOW)
    kept.close()
    read = {path for path in served.asked() if path.startswith("/api/models/")}
    assert kept.resumed >= 5
    served.forget()
    judge = Judges()
    done = run(tmp_path, known, limit=1, judge=judge)
    assert [each.id for each in done.cards] == [*(f"lab/{name}" for name in names), "lab/top"]
    assert all(each.gone is None for each in done.cards)
    assert "/api/models" not in served.asked()
    assert len(served.asked()) <= len(read) + len(names) - kept.resumed
    served.forget()
    assert run(tmp_path, known, limit=1, judge=judge) == done
    assert not served.requests
    assert judge.asked == ["lab/top"]


def test_progress_is_told(served: FakeHub, bare: Path, tmp_path: Path) -> None:
    listed(served, bare, "lab/a", "fill-mask", 50)
    told: list[tuple[str, int, int]] = []
    run(tmp_path, [card("a"), card("b")], limit=1, progress=lambda *step: told.append(step))
    for stage, total in (("listing", 1), ("reading", 2), ("checking", 1)):
        steps = [step for step in told if step[0] == stage]
        assert steps[-1] == (stage, total, total)
        assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


# The journal ------------------------------------------------------------------------------------------


def test_a_journal_keeps_answers(tmp_path: Path) -> None:
    path = tmp_path / "deep" / JOURNAL
    journal = Journal(path, "hub", NOW)
    assert journal.get("a", lambda: 1) == 1
    assert journal.get("a", lambda: 2) == 1
    assert journal.get("none", lambda: None) is None
    journal.close()
    with path.open("a", encoding="utf-8") as file:
        file.write('{"asked": "torn", "to')
    again = Journal(path, "hub", NOW + FRESH / 2)
    assert again.resumed == 2
    assert again.get("none", lambda: 3) is None
    assert again.get("torn", lambda: 4) == 4
    again.close()
    third = Journal(path, "hub", NOW + FRESH / 2)
    assert third.resumed == 3
    third.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    ("endpoint", "later"), [("other", timedelta()), ("hub", FRESH), ("hub", timedelta(seconds=-1))]
)
def test_answers_of_another_hub_or_day_are_left(tmp_path: Path, endpoint: str, later: timedelta) -> None:
    journal = Journal(tmp_path / JOURNAL, "hub", NOW)
    journal.get("a", lambda: 1)
    journal.close()
    anew = Journal(tmp_path / JOURNAL, endpoint, NOW + later)
    assert anew.resumed == 0
    anew.close()


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", json.dumps({"endpoint": "hub", "begun": 3})])
def test_a_file_that_is_no_journal_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text, encoding="utf-8")
    journal = Journal(tmp_path / JOURNAL, "hub", NOW)
    assert journal.resumed == 0
    journal.close()


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match=r"cannot be written: .*; set data_dir"):
        Journal(tmp_path / "file" / JOURNAL, "hub")
