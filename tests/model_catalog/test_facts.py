"""What the Hub tells, on cards."""

from typing import Any

import pytest

from model_catalog.card import Figure, ModelCard
from model_catalog.facts import KEPT, LISTED, TOLD, found, lost, refreshed, tasks_of, unfit
from model_catalog.hub import Told
from model_catalog.tasks import TASKS

DAY = "2026-11-22"
CARD = ModelCard(
    id="lab/m",
    tasks=("summarization",),
    description="Shortens.",
    license="mit",
    params=100,
    safetensors=False,
    parts={"base": "lab/base"},
    runner="own",
)


def told(**more: Any) -> Told:
    return Told.model_validate({"id": "lab/m", **more})


def figure(date: str, value: int) -> Figure:
    return Figure(value=value, date=date, source="hub")


def test_figures_are_dated() -> None:
    card = refreshed(CARD, told(downloads=5, downloads_all=50, likes=2, storage=9), DAY)
    assert (card.downloads, card.downloads_all, card.likes) == (
        figure(DAY, 5),
        figure(DAY, 50),
        figure(DAY, 2),
    )
    assert card.repo_bytes == 9
    assert card.history == ()


def test_only_what_the_hub_tells_changes() -> None:
    card = refreshed(
        CARD,
        told(
            downloads=1,
            downloads_all=1,
            likes=1,
            storage=1,
            gated="auto",
            tags=("license:apache-2.0", "safetensors"),
            weights={"F32": 7, "BF16": 3},
            providers=("one",),
            library="diffusers",
            task="translation",
            commit="a" * 40,
        ),
        DAY,
    )
    changed = {name for name in ModelCard.model_fields if getattr(card, name) != getattr(CARD, name)}
    assert changed == set(TOLD) - {"history", "gone", "revision"}
    assert card.license == "apache-2.0"
    assert card.gated
    assert card.safetensors
    assert card.params == 10
    assert list(card.weights.items()) == [("BF16", 3), ("F32", 7)]


def test_what_the_hub_does_not_tell_stays() -> None:
    before = refreshed(CARD, told(downloads=5, likes=2, weights={"F16": 8}), "2026-10-01")
    assert refreshed(before, told(), DAY) == before


@pytest.mark.parametrize("tag", ["license:other", "license:unknown", "x"])
def test_a_known_licence_is_better_than_none(tag: str) -> None:
    assert refreshed(CARD, told(tags=(tag,)), DAY).license == "mit"


def test_history_has_one_figure_a_month() -> None:
    card = CARD
    days = ["2026-08-22", "2026-09-01", "2026-09-30", "2026-11-02", "2026-11-21", DAY]
    for number, day in enumerate(days, 1):
        card = refreshed(card, told(downloads=number), day)
    assert card.downloads == figure(DAY, 6)
    assert card.history == (figure("2026-08-22", 1), figure("2026-09-30", 3))
    assert card.usual_downloads == 3


def test_history_is_not_kept_for_ever() -> None:
    card = CARD
    for number in range(2 * KEPT):
        card = refreshed(card, told(downloads=number + 1), f"{2026 + number // 12}-{number % 12 + 1:02}-05")
    assert len(card.history) == KEPT
    assert card.history[-1].value == 2 * KEPT - 1


def test_a_first_count_of_0_tells_nothing() -> None:
    assert refreshed(CARD, told(downloads=0), DAY).downloads is None
    counted = refreshed(CARD, told(downloads=5), "2026-10-01")
    assert refreshed(counted, told(downloads=0), DAY).downloads == figure(DAY, 0)


def test_commits_move_only_when_asked() -> None:
    pinned = CARD.model_copy(update={"revision": "no_timm"})
    assert refreshed(pinned, told(commit="b" * 40), DAY).revision == "no_timm"
    assert refreshed(pinned, told(commit="b" * 40), DAY, move=True).revision == "no_timm"  # somebody's choice
    for revision in (None, "a" * 40):
        card = CARD.model_copy(update={"revision": revision})
        assert refreshed(card, told(commit="b" * 40), DAY).revision == revision
        assert refreshed(card, told(commit="b" * 40), DAY, move=True).revision == "b" * 40


def test_gone_and_back() -> None:
    gone = lost(refreshed(CARD, told(downloads=5, providers=("one",)), DAY), DAY)
    assert (gone.gone, gone.providers) == (DAY, ())
    assert gone.downloads == figure(DAY, 5)
    assert lost(gone, "2026-12-01") == gone
    assert refreshed(gone, told(downloads=6), "2026-12-01").gone is None


def test_a_new_card() -> None:
    card = found(
        told(
            id="lab/new",
            task="text-classification",
            library="transformers",
            downloads=5,
            weights={"F32": 66_955_010},
            commit="c" * 40,
            tags=("license:mit",),
        ),
        DAY,
    )
    assert card.id == "lab/new"
    assert card.tasks == ("text-classification",)
    assert card.library == "transformers"
    assert card.revision == "c" * 40
    assert card.description.endswith(" (67M parameters).")
    assert card.batch_size == 32
    assert (card.license, card.downloads) == ("mit", figure(DAY, 5))


@pytest.mark.parametrize(
    ("task", "tags", "tasks"),
    [
        ("text-generation", (), ("text-generation",)),
        (
            "text-generation",
            ("conversational",),
            ("text2text-generation", "conversational", "text-generation"),
        ),
        ("depth-estimation", (), ("depth-estimation", "depth-control", "normal-control")),
        ("text-ranking", (), ()),
        (None, (), ()),
    ],
)
def test_tasks_behind_the_hubs(task: str | None, tags: tuple[str, ...], tasks: tuple[str, ...]) -> None:
    filed = told(task=task, tags=tags)
    assert set(tasks_of(filed)) == set(tasks)
    if not tasks:
        with pytest.raises(ValueError, match="the Hub files it under"):
            found(filed, DAY)
    assert found(filed, DAY, ("inpainting",)).tasks == ("inpainting",)


def test_names_of_old_are_no_cards() -> None:
    with pytest.raises(ValueError, match="id"):
        found(told(id="gpt2", task="text-generation"), DAY)


@pytest.mark.parametrize(
    ("model", "tags", "yields"),
    [
        ("lab/m", ("image-captioning",), "caption"),
        ("lab/m", ("trocr",), "ocr"),
        ("lab/Small-OCR", (), "ocr"),
        ("lab/m", (), None),
    ],
)
def test_readers_and_captioners(model: str, tags: tuple[str, ...], yields: str | None) -> None:
    assert found(told(id=model, task="image-to-text", tags=tags), DAY).yields == yields
    assert found(told(id=model, task="fill-mask", tags=tags), DAY).yields is None


@pytest.mark.parametrize("tag", ["custom_code", "GPTQ", "4-bit", "lora"])
def test_models_that_no_runner_loads(tag: str) -> None:
    assert unfit(told(tags=("x", tag))) == f"it is tagged {tag.lower()}"


def test_other_models_are_looked_at() -> None:
    assert unfit(told(tags=("x",))) is None
    assert unfit(told(disabled=True)) == "the Hub has disabled it"


def test_tasks_of_the_hub() -> None:
    assert "fill-mask" in LISTED
    assert "text-to-image" in LISTED
    assert not {"canny-control", "canny-text-to-image", "conversational", "inpainting"} & set(LISTED)
    assert set(LISTED) < set(TASKS)
