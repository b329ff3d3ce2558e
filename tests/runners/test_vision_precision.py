"""Runners of pictures and films in half precision, as on a GPU."""

from typing import Any

import numpy as np
import pytest
import torch

from deployments.media import Video
from deployments.runners.neural import NeuralRunner
from tests.support.neural import ask, opened
from tests.support.tiny import Builder, scenes, vision
from tests.support.tiny.vision import photo

CASES = [
    ("image-classification", vision.classifier, "image-classification"),
    ("zero-shot-image-classification", vision.clip, "zero-shot-image-classification"),
    ("zero-shot-image-classification", vision.siglip, "zero-shot-image-classification"),
    ("object-detection", vision.yolos, "object-detection"),
    ("object-detection", vision.detr, "object-detection"),
    ("object-detection", vision.rt_detr, "object-detection"),
    ("zero-shot-object-detection", vision.owl, "zero-shot-object-detection"),
    ("zero-shot-object-detection", vision.owl2, "zero-shot-object-detection"),
    ("zero-shot-object-detection", vision.grounding, "zero-shot-object-detection"),
    ("image-segmentation", scenes.segformer, "image-segmentation"),
    ("image-segmentation", scenes.upernet, "image-segmentation"),
    ("image-segmentation", scenes.mask2former, "image-segmentation"),
    ("image-segmentation", scenes.maskformer, "image-segmentation"),
    ("image-segmentation", scenes.detr_panoptic, "image-segmentation"),
    ("mask-generation", scenes.sam, "mask-generation"),
    ("depth-estimation", scenes.dpt, "depth-estimation"),
    ("depth-estimation", scenes.glpn, "depth-estimation"),
    ("depth-estimation", scenes.depth_anything, "depth-estimation"),
    ("depth-estimation", scenes.zoedepth, "depth-estimation"),
    ("super-resolution", scenes.swin2sr, "image-to-image"),
    ("video-classification", vision.videomae, "video-classification"),
    ("video-classification", vision.timesformer, "video-classification"),
]

WHOLE = ("depth-estimation", "super-resolution")


@pytest.mark.parametrize(("runner", "builder", "task"), CASES)
def test_a_model_runs_in_half_precision(
    runner: str, builder: Builder, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NeuralRunner, "_dtype", lambda _: torch.bfloat16)
    made: Any = opened(runner, builder, task, defaults={"points": "4"}, dtype="bfloat16")
    assert made.model.dtype is torch.bfloat16
    film = Video(np.stack([photo(n, 40, 60).pixels for n in range(5)]), 8.0)
    result = ask(made, task, image=photo(), video=film, labels="cat, dog")
    assert result.image is not None or result.data


@pytest.mark.parametrize(("runner", "builder", "task"), [case for case in CASES if case[0] in WHOLE])
def test_where_half_precision_shows_only_a_card_can_ask_for_it(
    runner: str, builder: Builder, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NeuralRunner, "_dtype", lambda _: torch.bfloat16)
    made: Any = opened(runner, builder, task)
    assert made.model.dtype is torch.float32
