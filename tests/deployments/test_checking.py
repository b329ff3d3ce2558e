"""Whether a card's model could be loaded, told by what a hub has of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.checking import Checker, Verdict, gather_all, runner_name
from model_catalog.card import NO_RUNNER, ModelCard
from model_catalog.errors import HubError
from tests.model_catalog.hubs import asking, served
from tests.support.hub import FakeHub
from tests.support.tiny import captions, diffusion, text, tiny

__all__ = ["served"]

HF = "transformers"


@pytest.fixture
def hub(served: FakeHub) -> FakeHub:
    """A running hub that this process asks."""
    return served


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A classifier of one's own, to be spoiled."""
    return shutil.copytree(tiny(text.classifier), tmp_path / "model")


def card(*tasks: str, **fields: Any) -> ModelCard:
    return ModelCard(tasks=tasks or ("text-classification",), **{"id": "lab/m", "library": HF, **fields})


def checked(model: ModelCard, token: str | None = None) -> Verdict:
    return Checker(asking(token=token)).check(model)


def configured(folder: Path, **changes: Any) -> Path:
    """Change a model's configuration."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    return folder


def test_a_model_that_fits(hub: FakeHub, own: Path) -> None:
    commit = hub.add("lab/m", own)
    assert checked(card()) == Verdict("lab/m", "ok", "", commit)
    fetched = {path.rpartition("/")[2] for path in hub.asked(part="/resolve/")}
    assert "config.json" in fetched
    assert not {"model.safetensors", "tokenizer.json", "vocab.txt"} & fetched


def test_the_revision_of_the_card_is_looked_at(hub: FakeHub, own: Path, tmp_path: Path) -> None:
    good = hub.add("lab/m", own)
    bad = hub.add("lab/m", configured(shutil.copytree(own, tmp_path / "bad"), architectures=["BertModel"]))
    assert checked(card(revision=good)).status == "ok"
    verdict = checked(card())
    assert (verdict.status, verdict.commit) == ("cannot", bad)
    assert "missing: classifier.bias" in verdict.why
    assert checked(card(revision="v9")).why == "lab/m has no such revision at the Hub; give one that exists."


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"auto_map": {"AutoModel": "own.Model"}}, "needs remote code (auto_map in config.json)"),
        ({"trust_remote_code": True}, "asks for remote code"),
        ({"_attn_implementation_internal": "x/y"}, "is internal to the library"),
        ({"model_type": "no-such-type"}, "no-such-type"),
    ],
)
def test_configurations_that_are_refused(hub: FakeHub, own: Path, changes: dict[str, Any], why: str) -> None:
    hub.add("lab/m", configured(own, **changes))
    verdict = checked(card())
    assert verdict.status == "cannot"
    assert why in verdict.why


def test_a_question_answerer_is_no_captioner(hub: FakeHub) -> None:
    hub.add("lab/m", tiny(captions.blip_answers))
    assert checked(card("visual-question-answering")).status == "ok"
    verdict = checked(card("image-to-text"))
    assert verdict.status == "cannot"
    assert "do not fit BlipForConditionalGeneration" in verdict.why


def test_pickles_can_be_converted(hub: FakeHub, own: Path) -> None:
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    hub.add("lab/m", own)
    verdict = checked(card())
    assert (verdict.status, verdict.why) == (
        "ok",
        "Its pickles are converted to safetensors when it is downloaded.",
    )


def test_weights_for_other_libraries_alone(hub: FakeHub, own: Path) -> None:
    (own / "model.safetensors").rename(own / "model.onnx")
    hub.add("lab/m", own)
    verdict = checked(card())
    assert verdict.status == "cannot"
    assert verdict.why.startswith(
        "lab/m: The model has no weights for it that can be loaded (only model.onnx)"
    )


def test_a_model_without_a_tokenizer(hub: FakeHub, own: Path) -> None:
    for path in own.glob("*"):
        if "token" in path.name or path.name.startswith(("vocab", "special")):
            path.unlink()
    hub.add("lab/m", own)
    verdict = checked(card())
    assert verdict.status == "cannot"
    assert "has no tokenizer" in verdict.why


def test_gated_models_cannot_be_looked_at(hub: FakeHub, own: Path) -> None:
    hub.add("lab/m", own, gated="auto")
    verdict = checked(card())
    assert verdict.status == "unchecked"
    assert "accept its terms" in verdict.why
    assert checked(card(), hub.token).status == "ok"


def test_models_that_are_not_there(hub: FakeHub) -> None:
    verdict = checked(card(id="lab/none"))
    assert verdict.status == "cannot"
    assert "no model lab/none" in verdict.why


def test_parts_are_looked_at_too(hub: FakeHub) -> None:
    hub.add("lab/m", tiny(diffusion.controlnet))
    control = card("canny-text-to-image", library="diffusers")
    assert "name that one in its card as parts" in checked(control).why
    with_base = control.model_copy(update={"parts": {"base": "lab/base"}})
    assert "no model lab/base" in checked(with_base).why
    hub.add("lab/base", tiny(diffusion.stable))
    assert checked(with_base).status == "ok"
    hub.add("lab/base", tiny(text.classifier))
    assert "model_index.json" in checked(with_base).why


def test_folders_are_looked_at_where_they_are(hub: FakeHub, own: Path) -> None:
    assert checked(card(path=own)) == Verdict("lab/m", "ok")
    assert checked(card(path=configured(own, architectures=["BertModel"]))).status == "cannot"
    assert "There is no folder" in checked(card(path=own / "none")).why
    assert not hub.requests


def test_cards_that_need_no_look(hub: FakeHub) -> None:
    assert checked(card("canny-control", id="embedded/canny", runner="canny")).status == "ok"
    assert checked(card(runner="remote")).why == "It is served elsewhere."
    assert checked(card(library=None)).why.startswith(
        "Its card names no library; give it one of transformers"
    )
    verdict = checked(card(library="ultralytics"))
    assert (verdict.status, verdict.why.lower()) == ("cannot", f"{NO_RUNNER}.")
    needs = checked(card(requires=("no_such_module",)))
    assert (needs.status, "no_such_module: pip install" in needs.why) == ("unchecked", True)
    assert not hub.requests
    assert runner_name(card()) == "text-classification"
    assert runner_name(card(library="ultralytics")) is None


def test_a_judge_of_syncs(hub: FakeHub, own: Path) -> None:
    hub.add("lab/m", own)
    judge = Checker(asking())
    assert judge.runs(card())
    assert not judge.runs(card(library="odd"))
    assert judge.obstacle(card()) is None
    assert "cannot do object-detection" in (judge.obstacle(card("object-detection")) or "")


def test_many_are_asked_for_in_order(hub: FakeHub, own: Path) -> None:
    hub.add("lab/m", own)
    checker = Checker(asking())
    cards = [card(), card(id="lab/none"), card(library="odd"), card()]
    found = gather_all(checker, cards)
    assert [isinstance(each, Verdict) for each in found] == [False, True, True, False]
    hub.failing = 503
    with pytest.raises(HubError, match="503"):
        gather_all(checker, cards)
