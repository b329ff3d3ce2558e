"""Five modalities in one run, many drawings at once, and models of the wrong kind, on a cluster."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from deployments import fleet
from tests.experts.cases import SMALL
from tests.experts.desks import Desks
from tests.experts.media import same
from tests.experts.models import GROUPS
from tests.support.expert_models import Desk, published, serving
from tests.support.hub import FakeHub
from tests.support.tiny import captions, scenes, speech, text

PROMPT = "a red house on a hill in paris"
FURTHER = (
    published(captions.blip, "transformers", "image-to-text", id="tiny/captioner"),
    published(text.t5, "transformers", "translation", id="tiny/translator"),
    published(speech.vits, "transformers", "text-to-speech", id="tiny/speaker"),
    published(scenes.dpt, "transformers", "depth-estimation", id="tiny/measurer"),
)
"""What goes with the models that draw."""

CARDS = [model.card for model in (*GROUPS["drawing"], *FURTHER)]


@pytest.fixture(scope="module")
def desk(hub: FakeHub, desks: Desks) -> Iterator[Desk]:
    desks.of("drawing")
    with serving(hub, FURTHER):
        yield Desk(CARDS)


async def test_five_modalities_in_one_run(desk: Desk) -> None:
    quick = {"steps": "2", "seed": "1"}
    ran = await desk.run(
        {"task": "text-to-image", "id": 0, "args": {"text": PROMPT, **quick}},
        {"task": "image-to-text", "id": 1, "args": {"image": "<GENERATED>-0"}},
        {
            "task": "translation",
            "id": 2,
            "args": {"text": "the house: <GENERATED>-1", "target_language": "French"},
        },
        {"task": "text-to-speech", "id": 3, "args": {"text": "hello <GENERATED>-2", "seed": "1"}},
        {"task": "depth-estimation", "id": 4, "args": {"image": "<GENERATED>-0"}},
        {
            "task": "depth-text-to-image",
            "id": 5,
            "args": {"text": PROMPT, "image": "<GENERATED>-4", **quick},
        },
        {
            "task": "image-to-video",
            "id": 6,
            "args": {"image": "<GENERATED>-5", "frames": "2", **SMALL, **quick},
        },
    )
    for task in range(7):
        ran.one(task)
    drawn = ran.image(0).pixels
    assert ran.one(1).text
    assert ran.one(2).text
    assert ran.audio(3).samples.size
    assert ran.image(4).pixels.shape[:2] == drawn.shape[:2]
    assert not same(ran.image(5), ran.image(0))
    assert len(ran.video(6).frames) == 2
    for task in (3, 6):  # what nothing else was made of
        assert ran.one(task).artifacts[0].path in ran.answer


async def test_a_server_that_ran_before_knows_the_experts_and_uses_them(desk: Desk, product: str) -> None:
    async with httpx2.AsyncClient(base_url=product, timeout=60) as http:
        listed = (await http.get("/v1/experts")).json()
        assert {card.id for card in CARDS} <= {row["model"] for row in listed["data"]}
        wish = {"messages": [{"role": "user", "content": "Draw a red house"}]}
        run = (await http.post("/v1/runs", json=wish)).raise_for_status().json()["run"]
    (outcome,) = run["outcomes"]
    assert (outcome["status"], outcome["choice"]["model"]) == ("done", "tiny/diffusion-stable")


def _wishes() -> list[dict[str, Any]]:
    """Thirty-two drawings of mixed steps, seeds, sizes and guidance."""
    return [
        {
            "text": f"{PROMPT} {number}",
            "seed": str(number % 5),
            "steps": str(2 + number % 3),
            "guidance": ("1", "7.5")[number % 2],
            "width": ("64", "96")[number % 4 // 2],
        }
        for number in range(32)
    ]


async def test_thirty_two_mixed_drawings_at_once_are_as_one_by_one(desk: Desk) -> None:
    wishes = _wishes()
    together = await desk.run(
        *({"task": "text-to-image", "id": n, "args": wish} for n, wish in enumerate(wishes))
    )
    alone = [(await desk.ask("text-to-image", **wish)).image() for wish in wishes]
    wrong = [n for n, picture in enumerate(alone) if not same(together.image(n), picture)]
    assert wrong == []
    assert not same(alone[0], alone[1]), "they differ from each other"


def test_models_of_the_wrong_kind_are_refused_when_they_are_deployed(hub: FakeHub, product: str) -> None:
    pairs = (
        published(text.t5, "transformers", "text-generation", id="tiny/wrong-t5"),
        published(text.encoder, "transformers", "text-classification", id="tiny/wrong-bert"),
        published(captions.blip_answers, "transformers", "image-to-text", id="tiny/wrong-blip"),
    )
    for pair in pairs:
        pair.publish(hub)
    cards = [pair.card for pair in pairs]
    try:
        failed = fleet.run(fleet.targets(cards))
    finally:
        for card in cards:
            fleet.undeploy(card)
    t5, bert, blip = (failed[fleet.app_name(card)] for card in cards)
    assert "T5ForConditionalGeneration cannot do text-generation" in t5
    assert "missing: classifier.bias, classifier.weight" in bert
    assert "BlipForConditionalGeneration" in blip
    assert "unexpected: " in blip
