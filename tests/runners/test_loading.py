"""Models are loaded whole, or refused with what is wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from deployments.errors import ExpertError
from deployments.runners.loading import load_model
from tests.support.tiny import text, tiny

CLASSIFIER = transformers.AutoModelForSequenceClassification


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of one's own, to be spoiled."""
    return shutil.copytree(tiny(text.classifier), tmp_path / "model")


def _change(folder: Path, **weights: Any) -> None:
    """Put weights in (dots are written as two underscores), or leave out those that are None."""
    file = folder / "model.safetensors"
    held = load_file(file)
    for name, value in weights.items():
        key = name.replace("__", ".")
        if value is None:
            del held[key]
        else:
            held[key] = value
    save_file(held, file, {"format": "pt"})


def _load(folder: Path, auto: Any = CLASSIFIER, **options: Any) -> Any:
    return load_model(auto, folder, dtype=torch.float32, task="text-classification", **options)


def test_a_whole_model_is_loaded_for_use(folder: Path) -> None:
    model = _load(folder)
    assert not model.training
    assert model.dtype is torch.float32
    assert load_model(CLASSIFIER, folder, dtype=torch.bfloat16).dtype is torch.bfloat16


def test_missing_weights_are_named(folder: Path) -> None:
    _change(folder, classifier__weight=None)
    with pytest.raises(ExpertError, match=r"BertForSequenceClassification \(missing: classifier\.weight\)"):
        _load(folder)
    assert _load(folder, spare=["classifier.*"]) is not None


def test_left_over_weights_are_named_and_the_rest_counted(folder: Path) -> None:
    _change(folder, **{f"odd__{number}": torch.ones(1) for number in range(7)})
    with pytest.raises(ExpertError, match=r"unexpected: odd\.0, odd\.1, .*odd\.4 and 2 more"):
        _load(folder)
    assert _load(folder, spare=["odd.*"]) is not None


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    _change(folder, classifier__weight=torch.ones(3, 32), classifier__bias=torch.ones(3))
    with pytest.raises(ExpertError, match=r"mismatched: classifier\.bias, classifier\.weight"):
        _load(folder)


def test_buffers_and_heads_of_pretraining_are_let_be(folder: Path) -> None:
    _change(
        folder,
        bert__embeddings__position_ids=torch.arange(128)[None],
        cls__seq_relationship__weight=torch.ones(2, 32),
    )
    assert _load(folder) is not None


def test_a_kind_of_model_that_the_task_has_no_class_for() -> None:
    with pytest.raises(
        ExpertError, match="kind T5ForConditionalGeneration cannot do text-classification; give"
    ):
        _load(tiny(text.t5), transformers.AutoModelForCausalLM)


def test_a_configuration_that_cannot_be_read(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ExpertError, match="configuration cannot be read"):
        _load(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "from-the-future"}), encoding="utf-8")
    with pytest.raises(ExpertError, match="configuration cannot be read"):
        _load(folder)


def test_weights_that_are_no_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weights": torch.ones(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ExpertError, match="cannot be loaded"):
        _load(folder)
