"""Model cards."""

from typing import Any

import pytest
from pydantic import ValidationError

from model_catalog.card import Figure, ModelCard


def card(**fields: object) -> ModelCard:
    return ModelCard.model_validate({"id": "lab/model", "tasks": ["summarization"], **fields})


@pytest.mark.parametrize("model_id", ["lab/model", "a/b", "timm/net_100.in1k", "_x/_y"])
def test_ids_of_the_hub(model_id: str) -> None:
    assert card(id=model_id).id == model_id


@pytest.mark.parametrize(
    "model_id", ["model", "a/b/c", "/b", "a/", "a b/c", "../b", "a/..", "-a/b", "a/b\n", "a" * 199 + "/b"]
)
def test_other_ids_are_refused(model_id: str) -> None:
    with pytest.raises(ValidationError):
        card(id=model_id)


def test_unknown_task_types_are_named() -> None:
    with pytest.raises(ValidationError, match="unknown task types: smelling, tasting"):
        card(tasks=["smelling", "summarization", "tasting"])


@pytest.mark.parametrize(
    "fields", [{"tasks": []}, {"batch_size": 0}, {"gpu": -0.1}, {"max_queued": 0}, {"downlods": 1}]
)
def test_faulty_cards_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        card(**fields)


@pytest.mark.parametrize("date", ["2026-08-22", "2026-08", "2026"])
def test_figures_have_a_date(date: str) -> None:
    assert Figure(value=1, date=date).date == date


@pytest.mark.parametrize("date", ["", "yesterday", "2026-9-1", "2026-09..10", "22.08.2026"])
def test_other_dates_are_refused(date: str) -> None:
    with pytest.raises(ValidationError):
        Figure(value=1, date=date)


def test_cards_do_not_change() -> None:
    frozen: Any = card()
    with pytest.raises(ValidationError, match="frozen"):
        frozen.gpu = 1.0


def test_embedded_experts_are_told_by_their_owner() -> None:
    assert card(id="embedded/canny").embedded
    assert not card(id="embedded-lab/canny").embedded


def figures(*dated: tuple[str, int]) -> tuple[Figure, ...]:
    return tuple(Figure(value=value, date=date) for date, value in dated)


@pytest.mark.parametrize(
    ("values", "usual"),
    [
        ([7], 7),
        ([7, 9], 8),
        ([100, 110, 120, 130, 9000], 120),  # an odd month
        ([9000, 9000, 9000, 100, 110, 120, 130, 140], 120),  # only the newest five
        ([0, 0], 0),
    ],
)
def test_usual_downloads_are_the_median_of_the_newest_five(values: list[int], usual: int) -> None:
    dated = figures(*((f"2026-{month:02}", value) for month, value in enumerate(values, start=1)))
    for history in (dated[:-1], tuple(reversed(dated[:-1]))):
        assert card(downloads=dated[-1], history=history).usual_downloads == usual


def test_what_nobody_counted_has_no_usual_downloads() -> None:
    assert card().usual_downloads is None


def test_a_gone_model_comes_after_those_of_the_hub_and_before_embedded_ones() -> None:
    gone = card(id="lab/gone", downloads=figures(("2026", 9))[0], gone="2026-11-20")
    uncounted, embedded = card(id="lab/uncounted"), card(id="embedded/canny")
    assert sorted([embedded, gone, uncounted], key=lambda one: one.rank) == [uncounted, gone, embedded]
