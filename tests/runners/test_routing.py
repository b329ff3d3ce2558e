"""Which runner serves a card."""

import pytest

from deployments.runners.registry import available, extra_of, resolve
from deployments.runners.routing import ROUTES, runner_of
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS


@pytest.mark.parametrize("name", sorted({runner for routes in ROUTES.values() for runner in routes.values()}))
def test_every_route_leads_to_a_runner(name: str) -> None:
    assert available(name)
    assert resolve(name).__doc__


@pytest.mark.parametrize(
    ("library", "tasks", "runner"),
    [
        ("transformers", ("summarization",), "summarization"),
        ("transformers", ("text2text-generation", "conversational", "text-generation"), "text-generation"),
        ("transformers", ("image-to-text", "image-text-to-text"), "image-text-to-text"),
        ("transformers", ("depth-estimation", "depth-control"), "depth-estimation"),
        ("transformers", ("image-to-image",), "super-resolution"),
        ("diffusers", ("image-to-image",), "diffusion"),
        ("diffusers", ("canny-text-to-image",), "controlnet"),
        ("sentence-transformers", ("sentence-similarity",), "embedding"),
        ("sklearn", ("tabular-classification",), "tabular-classification"),
        ("controlnet_aux", ("openpose-control",), "annotator"),
        ("coqui", ("text-to-speech",), None),
        (None, ("text-to-speech",), None),
        ("sklearn", ("text-to-speech",), None),
    ],
)  # fmt: skip
def test_the_library_and_the_tasks_tell(
    library: str | None, tasks: tuple[str, ...], runner: str | None
) -> None:
    assert runner_of(ModelCard(id="a/b", tasks=tasks, library=library)) == runner


def test_what_a_card_says_itself_comes_first() -> None:
    card = ModelCard(id="a/b", tasks=("summarization",), library="transformers", runner="my.own:Runner")
    assert runner_of(card) == "my.own:Runner"


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_model_in_the_catalog_that_this_release_runs(task: str) -> None:
    assert [card.id for card in Catalog.shipped().cards_for(task) if runner_of(card) is not None]


def test_runners_of_the_hubs_models_take_a_checkpoint_and_the_token_for_it() -> None:
    runners = {runner for routes in ROUTES.values() for runner in routes.values()}
    assert [name for name in sorted(runners) if not resolve(name).checkpoint] == []
    assert not resolve("rapidocr").checkpoint
    assert resolve("annotator").requires == ("controlnet_aux", "torchvision")


def test_the_extra_that_brings_a_module() -> None:
    assert [extra_of(name) for name in ("skops", "controlnet_aux", "rapidocr")] == [
        "models", "annotators", "embedded",
    ]  # fmt: skip
