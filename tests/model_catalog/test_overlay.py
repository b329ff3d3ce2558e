"""What lies over the shipped cards on one machine."""

import os
from pathlib import Path

import pytest

from model_catalog import overlay
from model_catalog.card import Figure, ModelCard
from model_catalog.catalog import Catalog
from model_catalog.errors import CatalogError, InvalidCardError
from model_catalog.facts import TOLD

SHIPPED = Catalog.shipped()
KNOWN = next(card for card in SHIPPED if card.parts)
FIGURE = Figure(value=123, date="2026-11-22", source="hub")
NEW = ModelCard(id="lab/new", tasks=("summarization",), downloads=FIGURE)


def test_without_files_it_is_the_shipped_catalog(tmp_path: Path) -> None:
    assert list(overlay.layered(tmp_path / "none")) == list(SHIPPED)


def test_of_a_shipped_card_only_the_hubs_fields_change(tmp_path: Path) -> None:
    stale = KNOWN.model_copy(
        update={
            "downloads": FIGURE,
            "weights": {"F16": 3},
            "gone": "2026-11-22",
            "parts": {},
            "tasks": ("x",),
        }
    )
    overlay.write_synced(tmp_path, [ModelCard.model_construct(**{**dict(stale), "tasks": KNOWN.tasks})])
    card = overlay.layered(tmp_path).get(KNOWN.id)
    assert (card.downloads, card.weights, card.gone) == (FIGURE, {"F16": 3}, "2026-11-22")
    assert card.parts == KNOWN.parts
    assert {name for name in ModelCard.model_fields if getattr(card, name) != getattr(KNOWN, name)} <= set(
        TOLD
    )


def test_a_release_may_choose_another_revision(tmp_path: Path) -> None:
    tagged = next(card for card in SHIPPED if card.revision)
    moved = [card.model_copy(update={"revision": "a" * 40}) for card in (KNOWN, tagged)]
    overlay.write_synced(tmp_path, moved)
    catalog = overlay.layered(tmp_path)
    assert catalog.get(KNOWN.id).revision == "a" * 40
    assert catalog.get(tagged.id).revision == tagged.revision


def test_layers_lie_in_order(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(f'{{"id": "{KNOWN.id}", "tasks": ["translation"]}}\n', encoding="utf-8")
    overlay.write_synced(tmp_path, [NEW, KNOWN.model_copy(update={"downloads": FIGURE})])
    overlay.choose(tmp_path, KNOWN.id, pinned=True)
    catalog = overlay.layered(tmp_path, own)
    assert catalog.get("lab/new") == NEW
    assert catalog.get(KNOWN.id).tasks == ("translation",)
    assert catalog.get(KNOWN.id).downloads is None
    assert catalog.cards_for("translation")[0].id == KNOWN.id
    assert len(catalog) == len(SHIPPED) + 1
    assert overlay.with_synced(tmp_path).get(KNOWN.id).downloads == FIGURE


def test_cards_are_added_and_replaced(tmp_path: Path) -> None:
    overlay.write_synced(tmp_path, [NEW])
    overlay.write_synced(tmp_path, [NEW.model_copy(update={"license": "mit"}), KNOWN])
    assert [card.id for card in overlay.synced(tmp_path)] == sorted([NEW.id, KNOWN.id], key=str.casefold)
    assert overlay.layered(tmp_path).get("lab/new").license == "mit"


def test_choices(tmp_path: Path) -> None:
    first, second = (card.id for card in SHIPPED.cards_for("summarization")[:2])
    overlay.choose(tmp_path, second, pinned=True)
    assert overlay.layered(tmp_path).cards_for("summarization")[0].id == second
    overlay.choose(tmp_path, second, blocked=True)  # which ends the pin
    assert overlay.read_choices(tmp_path) == overlay.Choices(blocked=frozenset({second}))
    assert second not in [card.id for card in overlay.layered(tmp_path).cards_for("summarization")]
    overlay.choose(tmp_path, second, pinned=True)
    overlay.choose(tmp_path, second, pinned=False)
    assert overlay.read_choices(tmp_path) == overlay.Choices()
    assert overlay.layered(tmp_path).cards_for("summarization")[0].id == first


def test_a_card_of_ones_own_may_be_pinned_by_itself(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(NEW.model_copy(update={"pinned": True}).model_dump_json() + "\n", encoding="utf-8")
    overlay.choose(tmp_path, "lab/other", pinned=True)
    assert overlay.layered(tmp_path, own).cards_for("summarization")[0].id == "lab/new"


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay.write_synced(tmp_path, [NEW])
    before = (tmp_path / overlay.CARDS).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CatalogError, match="No space left on device; what was there stays"):
        overlay.write_synced(tmp_path, [KNOWN])
    assert (tmp_path / overlay.CARDS).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {overlay.CARDS, ".catalog.lock"}


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / overlay.CARDS).write_text("{oops\n", encoding="utf-8")
    with pytest.raises(InvalidCardError, match=r"catalog\.jsonl, line 1"):
        overlay.layered(tmp_path)
    (tmp_path / overlay.CHOICES).write_text('{"pinned": 3}', encoding="utf-8")
    with pytest.raises(CatalogError, match=r"choices\.json of pins and blocks cannot be read; mend"):
        overlay.read_choices(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match=r"cannot be written: .*; set data_dir"):
        overlay.choose(tmp_path / "file", "lab/m", pinned=True)
