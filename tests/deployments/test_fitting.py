"""What a runner says of a model without its weights is what it says of the whole model."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deployments.checking import is_small
from deployments.errors import ExpertError, UncheckedError
from deployments.fitting import fit
from deployments.weights import support
from model_catalog.card import ModelCard
from tests.experts.models import FURTHER, GROUPS
from tests.support.expert_models import Published, published
from tests.support.tiny import Builder, audio, captions, diffusion, films, scenes, speech, text, tiny, vision

HF, DIFFUSERS = "transformers", "diffusers"
BASES: Mapping[Builder, Builder] = {
    diffusion.xl_controlnet: diffusion.stable_xl,
    diffusion.xl_union: diffusion.stable_xl,
}
"""The models that a ControlNet steers, where it is not the usual one."""


def small(builder: Builder, folder: Path) -> Path:
    """What a check fetches of a tiny model."""
    model = tiny(builder)
    for name in support(path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()):
        if is_small(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(model / name, folder / name)
    return folder


def fitted(tmp_path: Path, builder: Builder, library: str, *tasks: str, **fields: Any) -> bool:
    """Whether a tiny model fits the runner of its tasks, and whether that wants words."""
    model = published(builder, library, *tasks, **fields)
    parts = {role: small(made, tmp_path / role) for role, made in model.parts}
    return fit(model.card, small(builder, tmp_path / "model"), parts)


PROVEN = [model for group in GROUPS.values() for model in group if model.card.library != "sklearn"]


@pytest.mark.parametrize("model", PROVEN, ids=lambda model: model.card.id)
def test_models_that_are_served_fit(tmp_path: Path, model: Published) -> None:
    parts = {role: small(made, tmp_path / role) for role, made in model.parts}
    fit(model.card, small(model.builder, tmp_path / "model"), parts)
    assert not list(tmp_path.rglob("*.safetensors"))


def _further() -> list[Any]:
    """Each of the further models with its task, its library and its parts."""
    made = []
    for task, builders in FURTHER.items():
        for builder in builders:
            if builder.__module__.endswith("tabular") or builder is diffusion.flux_union:
                continue
            library = DIFFUSERS if builder.__module__.endswith(("diffusion", "films")) else HF
            parts: dict[str, Builder] = {}
            if task.endswith("-text-to-image") or builder is films.motion:
                parts = {"base": BASES.get(builder, diffusion.stable)}
            elif builder is speech.speecht5:
                parts = {"vocoder": speech.vocoder}
            made.append(pytest.param(builder, library, task, parts, id=f"{task}-{builder.__name__}"))
    return made


@pytest.mark.soak
@pytest.mark.parametrize(("builder", "library", "task", "parts"), _further())
def test_further_models_fit(
    tmp_path: Path, builder: Builder, library: str, task: str, parts: dict[str, Builder]
) -> None:
    fitted(tmp_path, builder, library, task, parts=parts)


@pytest.mark.parametrize(
    ("builder", "task", "why"),
    [
        (captions.blip_answers, "image-to-text", r"do not fit BlipForConditionalGeneration .*text_encoder"),
        (captions.blip, "visual-question-answering", r"do not fit BlipForQuestionAnswering \(missing"),
        (text.t5, "text-generation", "cannot do text-generation; give its card the tasks"),
        (text.encoder, "text-classification", r"\(missing: classifier\.bias, classifier\.weight\)"),
        (
            text.classifier,
            "token-classification",
            "A BertForSequenceClassification cannot do token-classification",
        ),
        (text.classifier, "zero-shot-classification", "has no label 'entailment'"),
        (text.filler, "text-generation", "writes no texts"),
        (text.chat, "summarization", "cannot do summarization"),
        (vision.classifier, "object-detection", "cannot do object-detection"),
        (audio.whisper, "audio-classification", r"\(missing: classifier\.bias"),
        (scenes.segformer_ade, "depth-estimation", "cannot do depth-estimation"),
        (speech.musicgen, "text-to-speech", "cannot read aloud with a musicgen"),
    ],
)
def test_models_under_another_task_do_not_fit(tmp_path: Path, builder: Builder, task: str, why: str) -> None:
    with pytest.raises(ExpertError, match=why) as caught:
        fitted(tmp_path, builder, HF, task)
    assert not isinstance(caught.value, UncheckedError)


@pytest.mark.parametrize(
    ("builder", "task", "why"),
    [
        (diffusion.editor, "text-to-image", "cannot do text-to-image"),
        (diffusion.inpainter, "text-to-image", "takes 9 channels"),
        (diffusion.stable, "text-to-video", "cannot do text-to-video"),
        (text.classifier, "text-to-image", r"no usable model_index\.json"),
        (diffusion.controlnet, "canny-text-to-image", "name that one in its card as parts"),
    ],
)
def test_pipelines_under_another_task_do_not_fit(
    tmp_path: Path, builder: Builder, task: str, why: str
) -> None:
    with pytest.raises(ExpertError, match=why):
        fitted(tmp_path, builder, DIFFUSERS, task)


def test_a_card_may_let_weights_differ(tmp_path: Path) -> None:
    assert fitted(tmp_path, text.encoder, HF, "text-classification", spare_weights=("classifier.*",))


def test_words_are_wanted_by_those_who_read(tmp_path: Path) -> None:
    assert fitted(tmp_path / "a", text.classifier, HF, "text-classification")
    assert fitted(tmp_path / "b", captions.blip, HF, "image-to-text")
    assert not fitted(tmp_path / "c", vision.classifier, HF, "image-classification")


def test_classes_that_are_not_known_are_let_be(tmp_path: Path) -> None:
    folder = small(text.classifier, tmp_path)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertOfOld"]}), "utf-8")
    card = ModelCard(id="lab/m", tasks=("text-classification",), library=HF)
    assert fit(card, folder, {})


def test_a_configuration_that_breaks_its_class(tmp_path: Path) -> None:
    folder = small(text.classifier, tmp_path)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": 7}), "utf-8")
    card = ModelCard(id="lab/m", tasks=("text-classification",), library=HF)
    with pytest.raises(ExpertError, match="7"):
        fit(card, folder, {})


def test_models_without_networks_are_let_be(tmp_path: Path) -> None:
    assert not fit(ModelCard(id="lab/m", tasks=("canny-control",), runner="canny"), tmp_path, {})
    card = ModelCard(id="lab/m", tasks=("tabular-classification",), library="sklearn")
    assert not fit(card, tmp_path, {})
