"""Ranking, top-K, and operators' own cards."""

import pickle
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_catalog.card import Figure, ModelCard
from model_catalog.catalog import Catalog, read_cards
from model_catalog.errors import InvalidCardError, UnknownModelError, UnknownTaskError
from model_catalog.tasks import TASKS

TASK_NAMES = ("summarization", "image-to-text", "text-to-speech")
# Few values, so that ties are common.
figures = st.none() | st.builds(Figure, value=st.integers(0, 3), date=st.just("2026-08-22"))
cards_with_id = st.builds(
    ModelCard,
    id=st.builds("{}/{}".format, st.sampled_from(["embedded", "lab", "Team"]), st.sampled_from("abcdef")),
    tasks=st.lists(st.sampled_from(TASK_NAMES), min_size=1, max_size=3).map(tuple),
    yields=st.sampled_from([None, "caption", "ocr"]),
    downloads=figures,
    likes=figures,
)
many_cards = st.lists(cards_with_id, max_size=15, unique_by=lambda card: card.id)
task_names = st.sampled_from(TASK_NAMES)


def card(
    model_id: str, downloads: int | None = None, likes: int | None = None, **fields: object
) -> ModelCard:
    def figure(value: int | None) -> Figure | None:
        return None if value is None else Figure(value=value, date="2026-08-22")

    return ModelCard.model_validate(
        {
            "id": model_id,
            "tasks": ["summarization"],
            "downloads": figure(downloads),
            "likes": figure(likes),
            **fields,
        }
    )


def ids(cards: tuple[ModelCard, ...]) -> list[str]:
    return [card.id for card in cards]


def goes_before(one: ModelCard, other: ModelCard) -> bool:
    """The rule of ranking in its plainest form, for cards that do the same job."""
    if one.embedded != other.embedded:
        return other.embedded
    if (one.downloads is None) != (other.downloads is None):
        return other.downloads is None
    if one.downloads and other.downloads and one.downloads.value != other.downloads.value:
        return one.downloads.value > other.downloads.value
    one_likes, other_likes = (each.likes.value if each.likes else 0 for each in (one, other))
    return one_likes > other_likes if one_likes != other_likes else one.id < other.id


@given(many_cards, task_names)
def test_cards_for_holds_the_tasks_cards_once_each(cards: list[ModelCard], task: str) -> None:
    ranked = Catalog(cards).cards_for(task)
    assert sorted(ids(ranked)) == sorted(card.id for card in cards if task in card.tasks)


@given(many_cards, task_names, st.sampled_from(["caption", "ocr"]))
def test_cards_of_one_job_are_ranked(cards: list[ModelCard], task: str, want: str) -> None:
    catalog = Catalog(cards)
    ranked = catalog.cards_for(task, want)
    assert {card.id for card in ranked} == {
        card.id for card in catalog.cards_for(task) if card.yields == want
    }
    for number, one in enumerate(ranked):
        assert all(goes_before(one, other) for other in ranked[number + 1 :])


@given(many_cards, st.sampled_from(["summarization", "text-to-speech"]))
def test_without_jobs_what_a_card_yields_plays_no_part(cards: list[ModelCard], task: str) -> None:
    ranked = Catalog(cards).cards_for(task)
    for number, one in enumerate(ranked):
        assert all(goes_before(one, other) for other in ranked[number + 1 :])


@given(many_cards)
def test_captioners_come_first_and_ocr_last(cards: list[ModelCard]) -> None:
    catalog = Catalog(cards)
    ranked = catalog.cards_for("image-to-text")
    silent = tuple(card for card in ranked if card.yields is None)
    captioners = catalog.cards_for("image-to-text", "caption")
    readers = catalog.cards_for("image-to-text", "ocr")
    assert ranked == captioners + silent + readers


@given(many_cards, task_names, st.randoms())
def test_the_order_of_the_input_plays_no_part(cards: list[ModelCard], task: str, dice: random.Random) -> None:
    shuffled = list(cards)
    dice.shuffle(shuffled)
    assert Catalog(cards).cards_for(task) == Catalog(shuffled).cards_for(task)


@given(many_cards, task_names, st.integers(1, 20), st.frozensets(st.sampled_from("abcdef")))
def test_the_filter_comes_before_k(cards: list[ModelCard], task: str, k: int, up: frozenset[str]) -> None:
    def runnable(card: ModelCard) -> bool:
        return card.id[-1] in up

    catalog = Catalog(cards)
    expected = [card for card in catalog.cards_for(task) if runnable(card)][:k]
    assert list(catalog.top_k(task, k, runnable)) == expected


@given(many_cards, task_names, st.integers(1, 20))
def test_without_a_filter_every_card_is_runnable(cards: list[ModelCard], task: str, k: int) -> None:
    catalog = Catalog(cards)
    assert catalog.top_k(task, k) == catalog.cards_for(task)[:k]


def test_downloads_rank_and_likes_break_ties() -> None:
    catalog = Catalog(
        [
            card("lab/unknown", likes=9),
            card("lab/none", downloads=0),
            card("lab/liked", downloads=5, likes=2),
            card("lab/unliked", downloads=5),
            card("lab/most", downloads=7),
            card("lab/unknown-too"),
        ]
    )
    assert ids(catalog.cards_for("summarization")) == [
        "lab/most",
        "lab/liked",
        "lab/unliked",
        "lab/none",
        "lab/unknown",
        "lab/unknown-too",
    ]


def test_an_odd_month_does_not_reorder() -> None:
    months = [{"value": 100, "date": f"2026-0{month}"} for month in range(1, 5)]
    odd = card("lab/odd", 9000, history=months)
    assert ids(Catalog([odd, card("lab/steady", 150)]).cards_for("summarization")) == [
        "lab/steady",
        "lab/odd",
    ]


def test_pins_come_first_and_blocked_ones_never() -> None:
    catalog = Catalog(
        [
            card("lab/most", 9),
            card("lab/blocked", 99, blocked=True),
            card("lab/pinned", 1, pinned=True),
            card("embedded/pinned", pinned=True),
        ]
    )
    expected = ["lab/pinned", "embedded/pinned", "lab/most"]
    assert ids(catalog.cards_for("summarization")) == expected
    assert ids(catalog.top_k("summarization", 9)) == expected
    assert catalog.get("lab/blocked").blocked


def test_a_pin_is_the_first_of_its_job() -> None:
    tasks = ["image-to-text"]
    catalog = Catalog(
        [
            card("lab/reads", 1, tasks=tasks, yields="ocr"),
            card("lab/pinned", 0, tasks=tasks, yields="ocr", pinned=True),
            card("lab/describes", tasks=tasks, yields="caption"),
        ]
    )
    assert ids(catalog.cards_for("image-to-text")) == ["lab/describes", "lab/pinned", "lab/reads"]


def test_the_first_k_runnable_ones() -> None:
    catalog = Catalog(card(f"lab/{number}", downloads=number) for number in range(5))
    even = catalog.top_k("summarization", 2, lambda card: int(card.id[-1]) % 2 == 0)
    assert ids(even) == ["lab/4", "lab/2"]


def test_top_k_asks_no_further_than_k() -> None:
    asked = []

    def runnable(card: ModelCard) -> bool:
        asked.append(card.id)
        return True

    Catalog(card(f"lab/{number}", downloads=number) for number in range(5)).top_k(
        "summarization", 2, runnable
    )
    assert asked == ["lab/4", "lab/3"]


def test_top_k_of_a_job() -> None:
    catalog = Catalog(
        [
            card("lab/reads", 9, tasks=["image-to-text"], yields="ocr"),
            card("lab/describes", 1, tasks=["image-to-text"], yields="caption"),
        ]
    )
    assert ids(catalog.top_k("image-to-text", 1)) == ["lab/describes"]
    assert ids(catalog.top_k("image-to-text", 1, want="ocr")) == ["lab/reads"]
    assert catalog.top_k("image-to-text", 1, want="poem") == ()


@pytest.mark.parametrize("k", [0, -1])
def test_k_is_at_least_one(k: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {k}"):
        Catalog([]).top_k("summarization", k)


def test_unknown_task_types() -> None:
    with pytest.raises(UnknownTaskError, match="'smelling'"):
        Catalog([]).cards_for("smelling")
    with pytest.raises(UnknownTaskError, match="'smelling'"):
        Catalog([]).top_k("smelling", 1)


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_catalog_has_no_candidates(task: str) -> None:
    assert Catalog([]).top_k(task, 3) == ()


def test_cards_by_id() -> None:
    mine = card("lab/mine")
    catalog = Catalog([mine, card("lab/other")])
    assert catalog.get("lab/mine") is mine
    assert len(catalog) == 2
    assert [card.id for card in catalog] == ["lab/mine", "lab/other"]


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(UnknownModelError) as caught:
        Catalog([]).get("lab/gone")
    assert (caught.value.code, caught.value.status) == ("unknown_model", 404)
    assert "'lab/gone'" in caught.value.message


def test_a_later_card_replaces_an_earlier_one() -> None:
    catalog = Catalog([card("lab/a", downloads=1), card("lab/a", tasks=["translation"])])
    assert len(catalog) == 1
    assert catalog.cards_for("summarization") == ()
    assert ids(catalog.cards_for("translation")) == ["lab/a"]


def test_a_catalog_travels_between_processes() -> None:
    catalog = Catalog.shipped()
    copy = pickle.loads(pickle.dumps(catalog))
    assert list(copy) == list(catalog)
    assert copy.cards_for("image-to-text") == catalog.cards_for("image-to-text")


def test_an_operators_cards_are_laid_over_the_shipped_ones(tmp_path: Path) -> None:
    shipped = Catalog.shipped()
    known = shipped.cards_for("summarization")[0].id
    path = tmp_path / "cards.jsonl"
    path.write_text(
        "\ufeff"
        f'{{"id": "{known}", "tasks": ["translation"], "description": "line\u2028parted"}}\r\n'
        "\n"
        '{"id": "lab/new", "tasks": ["summarization"], "downloads": {"value": 9, "date": "2026-11-01"}}\n',
        encoding="utf-8",
    )
    catalog = Catalog.read(path)
    assert len(catalog) == len(shipped) + 1
    assert catalog.get(known).tasks == ("translation",)
    assert known not in ids(catalog.cards_for("summarization"))
    assert "lab/new" in ids(catalog.cards_for("summarization"))
    assert catalog.get("embedded/canny") == shipped.get("embedded/canny")


GOOD = '{"id": "lab/a", "tasks": ["summarization"]}'


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{not json", "this is not a JSON object; write one card a line"),
        ("[]", "this is not a JSON object; write one card a line"),
        ("3", "this is not a JSON object; write one card a line"),
        ('{"tasks": ["summarization"]}', "the field 'id' is missing"),
        ('{"id": "lab/a", "tasks": ["smelling"]}', "unknown task types: smelling"),
        ('{"id": "lab/a", "tasks": ["summarization"], "downlods": 3}', "a card has no field 'downlods'"),
        ('{"id": "a", "tasks": ["summarization"]}', "the field 'id' has a value that does not fit"),
        (
            '{"id": "lab/a", "tasks": ["summarization"], "likes": {"value": -1, "date": "2026"}}',
            "the field 'likes.value' has a value that does not fit",
        ),
        ('{"id": 3}', "the field 'id' has a value that does not fit; the field 'tasks' is missing"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "cards.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidCardError) as caught:
        Catalog.read(str(path))
    assert caught.value.message == f"{path}, line 3: {fault}."
    assert caught.value.code == "invalid_card"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "cards.bin"
    binary.write_bytes(b"\xff\xfe\xfa")
    for path in (tmp_path / "missing.jsonl", tmp_path, binary):
        with pytest.raises(InvalidCardError) as caught:
            read_cards(path)
        assert str(path) in caught.value.message


def test_the_catalog_needs_no_heavy_library() -> None:
    code = (
        "import sys; from model_catalog.catalog import Catalog; Catalog.shipped();"
        "print(*(name for name in ('ray', 'torch', 'numpy', 'transformers', 'deployments', 'controller')"
        " if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_shipped_catalog_is_there_at_once() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        Catalog.shipped()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1
