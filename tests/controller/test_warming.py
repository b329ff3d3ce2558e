"""What is woken while an LLM plans."""

import pytest

from controller.planner import Reply
from controller.request import Message, Request
from controller.selector import Fleet, Selector
from controller.settings import Settings
from controller.warming import Warmer
from model_catalog.catalog import Catalog
from tests.support.cluster import card
from tests.support.fakes import FakeCluster, answers
from tests.support.stage import Stage

TRANSLATES = card("translates", "translation", "Echo", downloads=9)
TRANSLATES_TOO = card("translates-too", "translation", "Echo", downloads=5)
SPEAKS = card("speaks", "text-to-speech", "Echo")
DRAWS = card("draws", "text-to-image", "Echo")
CARDS = (TRANSLATES, TRANSLATES_TOO, SPEAKS, DRAWS)
WORDS = "Translate 'good morning' into French, then read it aloud"


def woken(words: str, cold: set[str], most: int = 4) -> list[str]:
    selector, cluster = Selector(Catalog(CARDS)), FakeCluster(answers)
    ids = {f"test/{name}" for name in cold}
    selector.fleet = Fleet(frozenset(item.id for item in CARDS), cold=dict.fromkeys(ids, 5.0))
    Warmer(selector, cluster, most).warm(Request(messages=(Message(role="user", content=words),)))
    return [model.partition("/")[2] for model in cluster.woken]


@pytest.mark.parametrize(
    ("cold", "most", "expected"),
    [
        ({"translates", "speaks", "draws"}, 4, ["translates", "speaks"]),
        ({"translates", "speaks", "draws"}, 1, ["translates"]),
        ({"translates", "speaks", "draws"}, 0, []),
        ({"translates-too", "speaks"}, 4, ["speaks"]),
        (set(), 4, []),
    ],
)
def test_the_first_candidates_that_are_cold_are_woken(cold: set[str], most: int, expected: list[str]) -> None:
    assert woken(WORDS, cold, most) == expected


def test_neither_talk_nor_a_very_long_request_wakes_anything() -> None:
    everything = {"translates", "speaks", "draws"}
    assert woken("Hello there!", everything) == []
    assert woken(f"{WORDS} {'and so on ' * 2000}", everything) == []


@pytest.mark.parametrize(("streamed", "expected"), [(True, ["test/c"]), (False, [])])
async def test_a_run_wakes_them_before_a_planner_that_takes_its_time(
    streamed: bool, expected: list[str]
) -> None:
    stage = Stage([Reply("Hello!")], streamed, settings=Settings(warm_ahead=2))
    fleet = stage.controller.selector.fleet
    stage.controller.selector.fleet = Fleet(fleet.running, cold={"test/c": 5.0})
    request = Request(messages=(Message(role="user", content=WORDS),))
    async for _ in stage.controller.run(request):
        pass
    assert stage.cluster.woken == expected
