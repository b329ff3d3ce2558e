"""The selector: filter, rank, take K, and why."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from controller import selector as module
from controller.errors import NoExpertError
from controller.plan import Task
from controller.selector import LOOK_S, TOP_K, Fleet, Selector
from deployments.llm.card import llm_card
from deployments.llm.endpoint import Endpoint
from model_catalog.card import NO_RUNNER, Figure, ModelCard
from model_catalog.catalog import Catalog
from tests.support.cluster import card
from tests.support.fakes import BEGIN, after, now, turns, virtual
from tests.support.logs import recorded

CARDS = [card(f"m{n}", "image-to-text", "Echo", downloads=n) for n in range(6)]
OCR = card("ocr", "image-to-text", "Echo", downloads=99).model_copy(update={"yields": "ocr"})


def _selector(cards: list[ModelCard], running: set[str] | None = None, k: int = TOP_K) -> Selector:
    made = Selector(Catalog(cards), k)
    names = running if running is not None else {item.id.partition("/")[2] for item in cards}
    made.fleet = Fleet(frozenset(f"test/{name}" for name in names))
    return made


def _task(**more: str) -> Task:
    return Task("image-to-text", 0, {"image": "/images/x.png"}, **more)  # type: ignore[arg-type]


def _ids(cards: tuple[ModelCard, ...]) -> list[str]:
    return [item.id.partition("/")[2] for item in cards]


def test_a_model_served_elsewhere_is_said_to_be() -> None:
    (away,) = [item.model_copy(update={"runner": "remote"}) for item in CARDS[:1]]
    assert _selector([away]).select(_task()).reason.endswith("here; it is served elsewhere")


def test_the_language_model_is_said_to_be_one() -> None:
    llm = ModelCard(id="llm/tiny", tasks=("summarization",), runner="llm")
    simple = ModelCard(id="embedded/simple", tasks=("summarization",))
    big = ModelCard(id="acme/big", tasks=("summarization",), downloads=Figure(value=1, date="2026"))
    made = Selector(Catalog([simple, big, llm]))
    made.fleet = Fleet(frozenset({simple.id, llm.id}))
    selection = made.select(Task("summarization", 0, {"text": "x"}))
    assert selection.candidates == (llm, simple)
    assert selection.reason.startswith("the language model itself, since no model for this task")
    made.fleet = Fleet(frozenset({simple.id, llm.id, big.id}))
    assert made.select(Task("summarization", 0, {"text": "x"})).reason.startswith("most downloads")


def test_the_first_by_downloads_is_taken_of_what_runs() -> None:
    selection = _selector(CARDS, {"m0", "m2", "m3", "m4"}).select(_task())
    assert _ids(selection.candidates) == ["m4", "m3", "m2"], "K are taken of those that run"
    assert selection.reason == "most downloads among the models that can run here"
    choice = selection.choice(selection.candidates[0])
    assert (choice.model, choice.reason) == ("test/m4", selection.reason)
    assert choice.candidates == ("test/m4", "test/m3", "test/m2")
    assert selection.choice(selection.candidates[1], "because").reason == "because"


def test_a_model_named_in_the_plan_is_taken_first() -> None:
    selection = _selector(CARDS).select(_task(model="test/m4"))
    assert _ids(selection.candidates) == ["m4", "m5", "m3"]
    assert selection.reason == "named in the plan"


def test_the_llm_itself_is_a_candidate_beside_the_first() -> None:
    texts = [card(f"t{n}", "summarization", "Echo", downloads=n + 1) for n in range(4)]
    llm = llm_card(Endpoint(model="gpt-test", api_key=SecretStr("sk-test")))
    selector = Selector(Catalog([*texts, llm]), 3)
    selector.fleet = Fleet(frozenset(item.id for item in (*texts, llm)))
    assert [item.id for item in selector.offers("summarization")] == ["test/t3", "test/t2", "test/t1", llm.id]
    selector.fleet = Fleet(frozenset(item.id for item in texts))
    assert len(selector.offers("summarization")) == 3


def test_a_planners_own_reason_is_told() -> None:
    selection = _selector(CARDS).select(_task(model="test/m4", reason="It describes in more detail."))
    assert selection.reason == "It describes in more detail."


@pytest.mark.parametrize(
    ("cold", "first"),
    [(set(), "m5"), ({"test/m5"}, "m4"), ({"test/m5", "test/m4"}, "m5"), ({"test/m4"}, "m5")],
)
def test_a_loaded_model_goes_before_a_cold_one_on_a_near_tie(cold: set[str], first: str) -> None:
    selector = _selector(CARDS)
    selector.fleet = Fleet(selector.fleet.running, cold=dict.fromkeys(cold, 5.0))
    selection = selector.select(_task())
    assert _ids(selection.candidates)[0] == first
    assert sorted(_ids(selection.candidates)) == ["m3", "m4", "m5"], "the others stand by"
    assert ("it is loaded, and has nearly the downloads of test/m5" in selection.reason) == (first == "m4")


@pytest.mark.parametrize("named", ["test/m0", "test/other", "", "m5"])
def test_a_model_that_is_no_candidate_is_not_taken(named: str) -> None:
    selection = _selector(CARDS).select(_task(model=named))
    assert _ids(selection.candidates) == ["m5", "m4", "m3"]
    assert selection.reason.startswith("most downloads")


def test_the_only_one_says_so() -> None:
    assert _selector(CARDS, {"m1"}).select(_task()).reason == "the only model that can run this task here"
    assert _selector(CARDS, k=1).select(_task()).reason == "the only model that can run this task here"


def test_a_model_of_another_job_says_why_it_is_taken() -> None:
    selection = _selector([*CARDS, OCR], {"ocr"}).select(_task())
    assert selection.reason.endswith("; it does ocr, since no model for caption runs here")
    assert ";" not in _selector([*CARDS, OCR], {"ocr"}).select(_task(want="ocr")).reason
    assert ";" not in _selector([*CARDS, OCR]).select(_task()).reason


def test_where_no_release_could_run_it_deploying_is_no_advice() -> None:
    selector = _selector(CARDS)
    selector.fleet = Fleet(obstacles={item.id: NO_RUNNER for item in CARDS})
    with pytest.raises(NoExpertError, match="Leave that part out, or add a model with a runner of your own"):
        selector.select(_task())
    selector.fleet = Fleet(obstacles={item.id: NO_RUNNER for item in CARDS[1:]})
    with pytest.raises(NoExpertError, match="hugginggpt deploy"):
        selector.select(_task())


def test_a_wanted_job_leaves_only_those_that_do_it() -> None:
    both = _selector([*CARDS, OCR])
    assert _ids(both.select(_task(want="ocr")).candidates) == ["ocr"]
    assert _ids(both.offers("image-to-text", "ocr")) == ["ocr"]
    assert _ids(both.offers("image-to-text")) == ["m5", "m4", "m3"], "what reads comes behind what describes"
    assert both.offers("text-to-video") == ()


@pytest.mark.parametrize(
    ("cards", "want", "words"),
    [
        ([], None, "The catalog has no model for image-to-text; leave that part out"),
        (CARDS, "ocr", "The catalog has no model for image-to-text (ocr);"),
        (CARDS[:1], None, "The catalog's only model for image-to-text, test/m0, does not run here: "
                          "it is not deployed. Deploy one"),
        (CARDS, None, "None of the catalog's 6 models for image-to-text run here. "
                      "The first by downloads is test/m5: its deployment is UNHEALTHY."),
    ],
)  # fmt: skip
def test_what_no_model_can_run_says_why_and_what_to_do(
    cards: list[ModelCard], want: str | None, words: str
) -> None:
    selector = _selector(cards)
    selector.fleet = Fleet(obstacles={"test/m5": "its deployment is UNHEALTHY"})
    with pytest.raises(NoExpertError) as caught:
        selector.select(_task(**({"want": want} if want else {})))
    assert caught.value.message.startswith(words)
    assert "leave that part out" in caught.value.message
    assert caught.value.status == 503


@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 5)), max_size=12),
    st.sets(st.integers(0, 11)),
    st.integers(1, 5),
)
def test_candidates_are_the_best_of_what_runs(
    figures: list[tuple[int, int | None]], running: set[int], k: int
) -> None:
    cards = [
        card(f"m{n}", "translation", "Echo").model_copy(
            update={"downloads": None if down is None else Figure(value=down, date="2026")}
        )
        for n, (_, down) in enumerate(figures)
    ]
    offers = _selector(cards, {f"m{n}" for n in running}, k).offers("translation")
    runs = sorted((item for n, item in enumerate(cards) if n in running), key=lambda item: item.rank)
    assert list(offers) == runs[:k]


# Looking again -------------------------------------------------------------------------------------------


@virtual
async def test_many_askers_make_one_look_and_not_another_soon_after() -> None:
    made = _selector(CARDS)
    await made.look_again()
    looks: list[float] = []

    async def look() -> None:
        looks.append(now())
        await after(5)

    made.look = look
    await asyncio.gather(*(made.look_again() for _ in range(5)))
    await made.look_again()
    assert looks == [BEGIN]
    await after(LOOK_S)
    await made.look_again()
    assert looks == [BEGIN, BEGIN + 5 + LOOK_S]


@virtual
async def test_a_look_that_fails_is_logged_and_hurts_nobody() -> None:
    made = _selector(CARDS)

    async def look() -> None:
        raise RuntimeError("Serve is away")

    made.look = look
    with recorded(module.logger, logging.WARNING) as records:
        await made.look_again()
        await turns()
    assert [record.getMessage() for record in records] == ["what runs could not be asked"]
    assert made.select(_task()).candidates


@virtual
async def test_an_asker_that_is_cancelled_leaves_the_look_to_the_others() -> None:
    made = _selector(CARDS)
    looked: list[float] = []

    async def look() -> None:
        await after(5)
        looked.append(now())

    made.look = look
    first, second = (asyncio.create_task(made.look_again()) for _ in range(2))
    await turns()
    first.cancel()
    await second
    assert looked == [BEGIN + 5]
