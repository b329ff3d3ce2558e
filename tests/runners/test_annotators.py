"""Control maps by ControlNet's annotators.

The package controlnet_aux needs torchvision, which does not go with the build of torch that the tests run on.
A stand-in of the same interface shows what is asked of it; the package itself is not run here.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from deployments.errors import ExpertError, StoppedError
from deployments.result import Input
from deployments.runners.annotators import Annotator
from tests.support.neural import ask, ask_all, model_card
from tests.support.tiny.vision import photo

FILES = {
    "hed-control": ["ControlNetHED.pth"],
    "mlsd-control": ["mlsd_large_512_fp32.pth"],
    "openpose-control": ["body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"],
    "normal-control": ["scannet.pt"],
}
CLASSES = ("HEDdetector", "MLSDdetector", "OpenposeDetector", "NormalBaeDetector")


class Detector:
    """What a detector of controlnet_aux 0.0.10 looks like from outside, and how it asks for its weights."""

    files: list[str]
    loaded: list[dict[str, Any]]
    device = ""
    asked: dict[str, Any]

    @classmethod
    def from_pretrained(cls, folder: str, local_files_only: bool = False) -> "Detector":
        made = cls()
        assert local_files_only
        made.loaded = [torch.load(str(Path(folder) / name), map_location="cpu") for name in cls.files]
        return made

    def to(self, device: str) -> "Detector":
        self.device = device
        return self

    def __call__(self, picture: Any, **asked: Any) -> Any:
        self.asked = asked
        # The real ones answer with sides that are multiples of 64.
        return Pillow.new(
            "L", (768, 512), {"HEDdetector": 40, "MLSDdetector": 80}.get(type(self).__name__, 0)
        )


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("controlnet_aux")
    for name, files in zip(CLASSES, FILES.values(), strict=True):
        setattr(module, name, type(name, (Detector,), {"files": files}))
    monkeypatch.setitem(sys.modules, "controlnet_aux", module)
    return module


def folder_of(tmp_path: Path, *tasks: str) -> Path:
    """A folder with the weights for some tasks, each telling its own name."""
    for task in tasks:
        for name in FILES[task]:
            save_file({name: torch.ones(1)}, tmp_path / Path(name).with_suffix(".safetensors"))
    return tmp_path


def annotator(folder: Path, *tasks: str) -> Any:
    runner = Annotator()
    runner.load(model_card("annotator", folder, *tasks), "cpu")
    return runner


@pytest.mark.parametrize("task", FILES)
def test_a_map_has_the_pictures_size(task: str, package: ModuleType, tmp_path: Path) -> None:
    runner = annotator(folder_of(tmp_path, task), task)
    runner.warm_up()
    result = ask(runner, task, image=photo(0, 60, 90))
    assert result.image is not None
    assert result.image.pixels.shape == (60, 90, 3)
    made = runner._annotators[task]
    assert made.device == "cpu"
    assert made.asked["output_type"] == "pil"


def test_each_task_has_its_own_annotator(package: ModuleType, tmp_path: Path) -> None:
    tasks = tuple(FILES)
    runner = annotator(folder_of(tmp_path, *tasks), *tasks)
    assert tuple(type(made).__name__ for made in runner._annotators.values()) == CLASSES
    for task, grey in (("hed-control", 40), ("mlsd-control", 80)):
        (result, *_) = ask_all(runner, task, [{"image": photo()}] * 3)
        assert result.image is not None
        assert np.unique(result.image.pixels).tolist() == [grey]


def test_weights_come_from_safetensors_and_never_from_pickles(package: ModuleType, tmp_path: Path) -> None:
    usual = torch.load
    tasks = tuple(FILES)
    for names in FILES.values():
        for name in names:
            (tmp_path / name).write_bytes(b"a pickle")
    runner = annotator(folder_of(tmp_path, *tasks), *tasks)
    for task, names in FILES.items():
        loaded = runner._annotators[task].loaded
        if task == "normal-control":
            loaded = [state["model"] for state in loaded]
        assert [list(tensors) for tensors in loaded] == [[name] for name in names]
    assert torch.load is usual


def test_missing_weights_are_told(package: ModuleType, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "openpose-control")
    for name in ("hand_pose_model", "facenet"):
        (folder / f"{name}.safetensors").unlink()
    with pytest.raises(ExpertError, match=r"lacks hand_pose_model\.safetensors, facenet\.safetensors"):
        annotator(folder, "openpose-control")


def test_a_package_that_fails_is_told(package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("conv1_1")

    monkeypatch.setattr(package.HEDdetector, "from_pretrained", fail)
    with pytest.raises(ExpertError, match="cannot be loaded for hed-control: 'conv1_1'"):
        annotator(folder_of(tmp_path, "hed-control"), "hed-control")


def test_other_maps_have_no_annotator(package: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match="no annotator for seg-control"):
        annotator(folder_of(tmp_path, "hed-control"), "seg-control")


def test_without_the_package_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "controlnet_aux", None)
    with pytest.raises(ExpertError, match="needs controlnet_aux and torchvision"):
        annotator(folder_of(tmp_path, "hed-control"), "hed-control")


def test_a_call_that_nobody_waits_for_ends_between_the_pictures(package: ModuleType, tmp_path: Path) -> None:
    runner = annotator(folder_of(tmp_path, "hed-control"), "hed-control")
    runner.stopping.set()
    with pytest.raises(StoppedError):
        runner.run([Input("hed-control", {"image": photo()})])
