"""Cards of models served elsewhere."""

from pathlib import Path

import pytest

from deployments import fleet
from deployments.placing import AT_ONCE, asks_llm, elsewhere, movable, runs_elsewhere, servable
from model_catalog.card import ModelCard

CARD = ModelCard(
    id="acme/painter",
    tasks=("inpainting", "text-to-image"),
    library="diffusers",
    parts={"vae": "acme/vae"},
    defaults={"steps": "4"},
    requires=("torch_of_another_world",),
    gpu=0.5,
    cpus=2,
    resources={"a100": 1},
    batch_size=2,
    batch_wait_s=0.1,
    description="Paints.",
)


def test_a_model_elsewhere_takes_nothing_here() -> None:
    card = elsewhere(CARD)
    assert (card.gpu, card.cpus, card.resources, card.requires, card.parts) == (0, 0, {}, (), {})
    assert (card.batch_size, card.batch_wait_s) == (AT_ONCE, 0)
    assert fleet.obstacle(CARD.model_copy(update={"gpu": 0.0})) is not None
    assert fleet.obstacle(card) is None, "its runner is here"
    assert (card.id, card.description, card.defaults) == (CARD.id, CARD.description, CARD.defaults)
    assert (runs_elsewhere(card), runs_elsewhere(CARD)) == (True, False)
    assert ModelCard.model_validate(card.model_dump()) == card


def test_an_llm_has_an_endpoint_of_its_own() -> None:
    card = ModelCard(id="llm/tiny", tasks=("summarization",), runner="llm")
    assert (asks_llm(card), asks_llm(CARD)) == (True, False)
    assert (movable(card), servable(card), runs_elsewhere(card)) == (False, False, False)


def test_only_what_a_service_runs_is_offered() -> None:
    assert elsewhere(CARD).tasks == ("text-to-image",)
    control = CARD.model_copy(update={"tasks": ("canny-text-to-image",)})
    assert elsewhere(control).tasks == ("canny-text-to-image",), "loading says that none does"
    assert (servable(CARD), servable(control)) == (True, False)


def test_an_endpoint_has_each_model_under_its_id() -> None:
    card = elsewhere(CARD, "https://models.example.org/")
    assert card.defaults == {"steps": "4", "endpoint": "https://models.example.org/models/acme/painter"}
    assert CARD.defaults == {"steps": "4"}


@pytest.mark.parametrize("own", [{"endpoint": "https://own.example.org"}, {"provider": "together"}])
def test_a_cards_own_service_wins(own: dict[str, str]) -> None:
    card = CARD.model_copy(update={"defaults": own})
    assert elsewhere(card, "https://models.example.org").defaults == own


@pytest.mark.parametrize(
    "update",
    [{"id": "embedded/x"}, {"path": Path("/models/x")}, {"runner": "my.package:Runner"}],
)
def test_what_is_here_alone_stays(update: dict[str, object]) -> None:
    card = CARD.model_copy(update=update)
    assert not movable(card)
    assert not servable(card)
    assert movable(CARD)
