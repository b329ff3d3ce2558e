"""The difference of two catalogs."""

import json
from typing import Any

from model_catalog.card import Figure, ModelCard
from model_catalog.catalog import Catalog
from model_catalog.changes import FIRST, Change, Changes, Reranked, changes


def card(name: str, downloads: int | None = None, **more: Any) -> ModelCard:
    figure = None if downloads is None else Figure(value=downloads, date="2026-11-22")
    return ModelCard.model_validate(
        {"id": f"lab/{name}", "tasks": ["summarization"], "downloads": figure, **more}
    )


def test_nothing_changes() -> None:
    same = Catalog([card("a", 1), card("b", 2)])
    told = changes(same, same)
    assert told == Changes()
    assert not told


def test_every_kind_of_change() -> None:
    old = [
        card("a", 9, license="mit"),
        card("b", 5),
        card("c", 4, gone="2026-10-01"),
        card("d", 3, providers=("one",)),
    ]
    new = [
        card("a", 2, license="apache-2.0", revision="f" * 40),
        card("b", 5, gated=True, gone="2026-11-22"),
        card("c", 4),
        card("d", 3),
        card("e", 7, tasks=["translation"]),
    ]
    told = changes(Catalog(old), Catalog(new))
    assert [each.id for each in told.added] == ["lab/e"]
    assert (told.gone, told.back) == (("lab/b",), ("lab/c",))
    assert told.licenses == (Change("lab/a", "mit", "apache-2.0"),)
    assert told.gates == (Change("lab/b", "open", "gated"),)
    assert told.revisions == (Change("lab/a", "main", "ffffffffffff"),)
    assert told.providers == (Change("lab/d", "one", "none"),)
    assert told.figures == 1
    assert told.ranks == (
        Reranked(
            "summarization",
            ("lab/a", "lab/b", "lab/d", "lab/c"),
            ("lab/c", "lab/d", "lab/a", "lab/b"),
        ),
        Reranked("translation", (), ("lab/e",)),
    )
    assert told
    assert json.loads(json.dumps(told.as_json()))["added"] == [
        {"id": "lab/e", "tasks": ["translation"], "downloads": 7}
    ]


def test_places_further_behind_are_not_told() -> None:
    old = [card(f"m{n}", 100 - n) for n in range(FIRST + 2)]
    new = [*old[:-2], card(f"m{FIRST}", 1), old[-1]]
    told = changes(Catalog(old), Catalog(new))
    assert told.ranks == ()
    assert told.figures == 1
