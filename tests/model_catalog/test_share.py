"""Shares: what a model needs, line by line, and the fraction of a GPU that it is."""

import pytest
from ray.util import accelerators

from model_catalog import gpus
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.errors import UnsizedError
from model_catalog.gpus import GB, GIB, gpu_bytes, parsed
from model_catalog.guess import hidden_size
from model_catalog.share import (
    CONTEXT_BYTES,
    LEAST_MARGIN,
    Facts,
    Measured,
    account,
    fraction,
    fraction_of,
    ram,
    sized,
)

MIB = 1 << 20
FACTS = Facts(weights={"F32": 100 * MIB}, activations=40 * MIB, cache=1024, tokens=512, traced="traced")


def card(**fields: object) -> ModelCard:
    given = {"id": "lab/model", "tasks": ["summarization"], "library": "transformers", **fields}
    return ModelCard.model_validate(given)


@pytest.mark.parametrize(("need", "share"), [(1, 0.01), (24, 0.24), (23.1, 0.24), (99.5, 1.0), (100, 1.0)])
def test_shares_are_rounded_up_to_hundredths(need: float, share: float) -> None:
    assert fraction(int(need * GB), 100 * GB) == share


@pytest.mark.parametrize(("need", "count"), [(81, 2), (140, 2), (145, 3), (400, 6)])
def test_what_needs_more_takes_whole_gpus(need: int, count: int) -> None:
    found = fraction(need * GB, 80 * GB)
    assert found == count
    assert (need * GB - CONTEXT_BYTES) / count + CONTEXT_BYTES <= 80 * GB


def test_a_gpu_without_room_for_cuda_is_refused() -> None:
    with pytest.raises(UnsizedError, match="no room for CUDA"):
        fraction(2 * GB, CONTEXT_BYTES)


def test_an_account_adds_up() -> None:
    found = account(card(batch_size=4), FACTS)
    assert found.weights == 200 * MIB, "half precision on a GPU"
    assert (found.activations, found.cache) == (40 * MIB, 4 * 512 * 1024)
    assert (found.context, found.margin) == (CONTEXT_BYTES, LEAST_MARGIN)
    assert found.total == (200 + 40 + 2 + 512 + 64) * MIB
    assert found.source == "safetensors headers; traced"


def test_the_cards_type_counts() -> None:
    assert account(card(dtype="float32"), FACTS).weights == 400 * MIB
    assert account(card(dtype="bfloat16"), FACTS).weights == 200 * MIB


def test_some_weights_stay_whole() -> None:
    facts = FACTS.model_copy(update={"whole": 10 * MIB})
    assert account(card(), facts).weights == 220 * MIB
    assert account(card(dtype="float32"), facts).weights == 400 * MIB


def test_quantized_weights_stay_as_they_are() -> None:
    facts = FACTS.model_copy(update={"weights": {"I8": 30 * MIB, "F8_E4M3": 5 * MIB, "BF16": MIB}})
    assert account(card(), facts).weights == 37 * MIB


def test_a_cards_own_figures_serve_until_headers_are_read() -> None:
    by_type = account(card(weights={"F32": 100 * MIB}, params=1, repo_bytes=1))
    by_count = account(card(params=100 * MIB, repo_bytes=1))
    by_size = account(card(repo_bytes=200 * MIB))
    assert by_type.weights == by_count.weights == by_size.weights == 200 * MIB
    assert by_type.source.startswith("the Hub's count of weights by type;")
    assert by_count.source.startswith("the card's count of parameters;")
    assert "may hold more than is loaded" in by_size.source
    assert "guessed" in by_count.source
    parted = account(card(params=1, parts={"base": "lab/base"}))
    assert "parts not counted" in parted.source


def test_what_nothing_tells_of_has_no_share() -> None:
    for ask in (account, ram):
        with pytest.raises(UnsizedError, match="give its card params"):
            ask(card())


def test_a_measured_peak_replaces_the_estimate() -> None:
    found = account(card(batch_size=4), FACTS, 300 * MIB)
    assert (found.weights, found.activations, found.cache) == (200 * MIB, 100 * MIB, 2 * MIB)
    assert found.source == "measured by a replica"
    # A model of which nothing was known is known once it has run.
    assert account(card(), None, 300 * MIB).total == (300 + 512 + 64) * MIB


def test_a_larger_call_grows_the_share() -> None:
    item = card(batch_size=4)
    first = Measured(model=item.id, batch_size=4, loaded=300 * MIB, peak=301 * MIB)
    usual = account(item, FACTS, first)
    assert usual == account(item, FACTS, 300 * MIB), "within what the cache has room for"
    later = first.joined(Measured(model=item.id, batch_size=4, loaded=290 * MIB, peak=500 * MIB))
    assert (later.loaded, later.peak) == (300 * MIB, 500 * MIB)
    assert later.joined(None) == later
    assert account(item, FACTS, later).total == (500 + 512 + 64) * MIB


def test_a_measurement_is_of_one_card() -> None:
    item = card(batch_size=4, revision="v1")
    found = Measured(model=item.id, revision="v1", batch_size=4, loaded=1)
    assert found.fits(item)
    assert not found.fits(card(batch_size=8, revision="v1"))
    assert not found.fits(card(batch_size=4, revision="v2"))


def test_what_the_card_says_comes_first() -> None:
    assert fraction_of(card(gpu=0.3, params=10**12), 24 * GB) == 0.3
    assert fraction_of(card(gpu=0), 24 * GB) == 0
    assert fraction_of(card(library="sklearn"), 24 * GB) == 0
    assert fraction_of(card(id="embedded/canny"), 24 * GB) == 0
    assert fraction_of(card(batch_size=4), 24 * GB, facts=FACTS) == 0.04
    assert fraction_of(card(), 24 * GB, measured=11 * GB) == 0.53
    assert sized(card())


def test_ram_counts_full_precision_and_the_process() -> None:
    found = ram(card(batch_size=4), FACTS)
    assert found > 400 * MIB + 2 * 42 * MIB + 600 * MIB
    assert found < 1400 * MIB


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ("24GB", 24 * GB),
        ("24", 24 * GB),
        ("24 gib", 24 * GIB),
        ("24564MiB", 24564 * MIB),
        ("1.5TB", 1500 * GB),
        ("", None),
        ("much", None),
        ("0GB", None),
        ("-1", None),
    ],
)
def test_sizes_in_words(size: str, told: int | None) -> None:
    assert parsed(size) == told


def test_a_nodes_label_comes_before_its_type() -> None:
    assert gpu_bytes("L4", {}) == 24 * GB
    assert gpu_bytes("A100", {"gpu-memory": "80GB"}) == 80 * GB
    assert gpu_bytes(None, {"ray.io/accelerator-type": "T4"}) == 15 * GB
    assert gpu_bytes(None, {}) is None
    assert gpu_bytes("abacus", {"gpu-memory": "plenty"}) is None


def test_the_gpus_that_ray_names_are_known() -> None:
    named = {value for name, value in vars(accelerators).items() if name.isupper()}
    graphic = {name for name in named if name[0] in "AKLPTVH" and name[1:2].isdigit()}
    assert len(graphic) >= 9
    assert graphic <= gpus.MEMORY.keys() | {"AMD-Radeon-R9-200-HD-7900"}


@pytest.mark.parametrize(("params", "width"), [(110e6, 768), (335e6, 1024), (1.2e9, 2048), (8e9, 4096)])
def test_a_transformers_width_is_guessed_from_its_size(params: float, width: int) -> None:
    assert 0.6 * width < hidden_size(int(params)) < 1.6 * width


def test_the_shipped_catalog_has_shares() -> None:
    parts = {}
    for item in Catalog.shipped():
        if sized(item) and (item.weights or item.params or item.repo_bytes):
            parts[item.id] = fraction_of(item, 24 * GB)
    assert len(parts) > 150
    assert parts["openai/whisper-large-v3"] < 1
    assert all(part > 0 for part in parts.values())
