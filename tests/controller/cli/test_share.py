"""The command ``catalog share``, and what is found of models on a hub, without downloading them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.cli import catalog
from controller.errors import RequestError
from deployments.errors import ExpertError
from deployments.sizing import finding
from deployments.sizing.facts import facts
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError, UnsizedError
from model_catalog.share import CONTEXT_BYTES
from tests.deployments.hubs import hub, pickled
from tests.support.hub import FakeHub
from tests.support.tiny import text, tiny

__all__ = ["hub"]

ID = "lab/kind"
CARD = {"id": ID, "tasks": ["text-classification"], "library": "transformers", "batch_size": 4}
NUMBERS = 23_948  # weights of the tiny model


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's own catalog, named by the settings."""
    path = tmp_path / "cards.jsonl"
    path.write_text(json.dumps(CARD) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUGGINGGPT_CATALOG", str(path))
    monkeypatch.setenv("HUGGINGGPT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("HUGGINGFACE_ACCESS_TOKEN", raising=False)
    return path


def run(*words: str) -> Any:
    done = CliRunner().invoke(catalog.app, ["share", *words])
    if isinstance(done.exception, HuggingGPTError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_a_model_of_the_hub_is_accounted_for_without_its_weights(hub: FakeHub, cards: Path) -> None:
    hub.add(ID, tiny(text.classifier))
    told = json.loads(run(ID, "--gpu", "24GB", "--gpu", "T4", "--json").stdout)
    lines = told["account"]
    assert lines["weights"] == 2 * NUMBERS, "half precision"
    assert (lines["context"], lines["cache"]) == (CONTEXT_BYTES, 0)
    assert 0 < lines["activations"] < 1 << 20
    assert told["total"] == sum(lines.values())
    assert told["source"] == "headers of safetensors; activations by rehearsing a batch of 4"
    assert told["shares"] == {"24GB": 0.03, "T4": 0.05}
    assert not list(hub_files("*.safetensors")), "no weights were downloaded"

    hub.forget()
    shown = run(ID).stdout
    assert not hub.asked(), "what was found is kept"
    for words in ("activations at the largest batch (4)", "CUDA's context", "512 MiB", "of a GPU of 16GB"):
        assert words in shown


def hub_files(pattern: str) -> list[Path]:
    from deployments import store

    return [path for path in store.home().rglob(pattern) if path.is_file()]


def test_pickles_count_by_their_size(hub: FakeHub, tmp_path: Path) -> None:
    hub.add(ID, pickled(tiny(text.classifier), tmp_path / "pickled"))
    found = facts(ModelCard.model_validate(CARD))
    assert found.source == "the sizes of pickles"
    assert found.weights["F32"] == pytest.approx(NUMBERS, rel=0.1)


def test_a_folder_of_ones_own_and_its_parts() -> None:
    card = ModelCard.model_validate(
        {**CARD, "path": tiny(text.classifier), "parts": {"more": str(tiny(text.encoder))}}
    )
    alone, both = (_found(one) for one in (card.model_copy(update={"parts": {}}), card))
    assert alone["weights"] == {"F32": NUMBERS}
    assert both["weights"]["F32"] > 1.9 * NUMBERS


def _found(card: ModelCard) -> Any:
    asked = {"card": card.model_dump(mode="json"), "token": None, "offline": True}
    return finding.work(asked)["facts"]


def test_without_the_hub_the_card_serves_and_says_so(hub: FakeHub, cards: Path) -> None:
    with pytest.raises(ExpertError, match="no model lab/kind on the Hub"):
        facts(ModelCard.model_validate(CARD))
    with pytest.raises(UnsizedError, match="give its card params"):
        run(ID)
    cards.write_text(json.dumps({**CARD, "params": 110_000_000}) + "\n", encoding="utf-8")
    done = run(ID, "--json")
    assert json.loads(done.stdout)["account"]["weights"] == 220_000_000
    assert "Only the card is at hand" in done.stderr


def test_models_without_a_need_of_a_gpu(cards: Path) -> None:
    assert "runs without a GPU" in run("embedded/canny").stdout
    cards.write_text(json.dumps({**CARD, "gpu": 0.5}) + "\n", encoding="utf-8")
    assert "holds 0.5 of a GPU, as its card says" in run(ID).stdout
    assert json.loads(run(ID, "--json").stdout)["share"] == 0.5


def test_a_gpu_is_a_size_or_a_type(cards: Path) -> None:
    with pytest.raises(RequestError, match="'abacus' is neither a size such as 24GB"):
        run(ID, "--gpu", "abacus")
