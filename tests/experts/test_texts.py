"""Text tasks on models of the hub, through the fleet and the controller."""

from collections.abc import Iterator

import pytest

from tests.support.expert_models import Desk, published, serving
from tests.support.hub import FakeHub
from tests.support.tiny import text

MODELS = (published(text.classifier, "transformers", "text-classification"),)


@pytest.fixture(scope="module")
def desk(hub: FakeHub, product: str) -> Iterator[Desk]:
    """Where the models are called from."""
    with serving(hub, MODELS) as made:
        yield made


async def test_text_classification(desk: Desk) -> None:
    found = (await desk.ask("text-classification", text="I love this movie")).one()
    assert {row["label"] for row in found.data} == {"NEGATIVE", "POSITIVE"}
    assert sum(row["score"] for row in found.data) == pytest.approx(1, abs=1e-3)
