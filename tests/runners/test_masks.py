"""Masks of every thing in a picture."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from deployments.errors import ExpertError, StoppedError
from deployments.result import Input
from deployments.runners import segmentation
from deployments.runners.drawing import decoded
from deployments.runners.masks import _good, _grid, _Masks
from deployments.runners.pictures import seen
from tests.support.neural import alike, ask, ask_all, model_card, opened, shared
from tests.support.tiny import scenes, tiny, vision
from tests.support.tiny.vision import mixed, photo

TASK = "mask-generation"
FEW = {"defaults": {"points": "6"}}


def maker(**fields: Any) -> Any:
    return opened(TASK, scenes.sam, TASK, **FEW, **fields)


@pytest.fixture(scope="module")
def runner() -> Any:
    return maker()


def test_masks_have_the_pictures_size_and_agree_with_their_boxes(runner: Any) -> None:
    result = ask(runner, TASK, image=photo())
    assert result.data
    for entry in result.data:
        mask = decoded(entry["mask"])
        assert mask.shape == (60, 90)
        assert entry["area"] == pytest.approx(mask.mean(), abs=1e-4)
        rows, columns = np.nonzero(mask)
        box = entry["box"]
        assert (box["xmin"], box["xmax"]) == (columns.min(), columns.max() + 1)
        assert (box["ymin"], box["ymax"]) == (rows.min(), rows.max() + 1)
    scores = [entry["score"] for entry in result.data]
    assert scores == sorted(scores, reverse=True)
    assert (result.text or "").startswith(f"{len(result.data)} thing")
    assert result.image is not None
    assert result.image.pixels.shape == (60, 90, 3)
    assert np.any(result.image.pixels != photo().pixels)


def test_the_mask_is_one_of_them(runner: Any) -> None:
    result = ask(runner, TASK, image=photo())
    assert result.mask is not None
    masks = [decoded(entry["mask"]) for entry in result.data]
    assert any(np.array_equal(result.mask.pixels == 255, mask) for mask in masks)


def test_masks_of_a_large_picture_are_kept_small(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "_FINE", 10_000)
    side, count = 2000, 60
    logits = torch.full((count, 32, 32), -9.0)
    for n in range(count):
        logits[n, 2 + n // 8 : 20, 3 + n % 8 : 20] = 9
    scores = np.linspace(1, 0.9, count, dtype=np.float32)
    image = photo(0, side, side)
    tracemalloc.start()
    try:
        result = runner._drawn(seen(Input(TASK, {"image": image})), _Masks(logits, scores, scores))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(result.data) == count
    assert peak < count * side * side / 2
    assert result.mask.pixels.shape == (side, side)
    largest = max(result.data, key=lambda entry: entry["area"])
    assert np.array_equal(result.mask.pixels == 255, decoded(largest["mask"]))
    painted = np.any(result.image.pixels != image.pixels, axis=2)
    assert np.array_equal(painted[::50, ::50], decoded(largest["mask"])[::50, ::50])


def test_eight_pictures_at_once_are_as_eight_alone(runner: Any) -> None:
    several = [{"image": image} for image in mixed()]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone], 0.01)


def test_without_a_good_mask_nothing_is_found() -> None:
    runner = maker()
    with torch.no_grad():
        runner.model.mask_decoder.iou_prediction_head.proj_out.bias.fill_(0.1)
    result = ask(runner, TASK, image=photo())
    assert (result.data, result.text) == ([], "nothing found")
    assert np.array_equal(result.image.pixels, photo().pixels)  # type: ignore[union-attr]
    assert not result.mask.pixels.any()  # type: ignore[union-attr]


def test_a_call_that_nobody_waits_for_ends_between_the_points() -> None:
    runner = maker()
    runner.card = model_card(TASK, tiny(scenes.sam), TASK, defaults={"points": "32"})
    calls = []

    def count(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            runner.stopping.set()

    runner.model.mask_decoder.register_forward_hook(count)
    with pytest.raises(StoppedError):
        runner.run([Input(TASK, {"image": photo()})])
    assert len(calls) == 2  # of 16


def test_the_picture_is_encoded_once() -> None:
    runner = maker()
    calls = []
    runner.model.vision_encoder.register_forward_hook(lambda *_: calls.append(1))
    ask_all(runner, TASK, [{"image": image} for image in mixed(4)])
    assert calls == [1]


def test_points_lie_evenly_in_the_part_of_the_square_that_the_picture_fills() -> None:
    points = _grid(4, (40, 80))
    assert points.shape == (16, 2)
    assert points[0].tolist() == [10, 5]
    assert points[-1].tolist() == [70, 35]


def test_only_sure_and_stable_masks_of_one_thing_are_kept() -> None:
    logits = torch.full((1, 5, 8, 8), -9.0)
    logits[0, 0, 2:6, 2:6] = 9  # good
    logits[0, 1, 2:6, 2:6] = 9  # the same, less sure
    logits[0, 2, 0:2, 0:2] = 9  # unsure
    logits[0, 3, 6:8, 6:8] = 0.5  # unstable: a threshold of 1 loses it
    logits[0, 4, :, :] = -9  # empty
    scores = torch.tensor([[0.99, 0.9, 0.5, 0.99, 0.99]])
    kept = _good(logits, scores, (1.0, 1.0))
    assert kept.boxes.tolist() == [[2, 2, 6, 6]]
    assert kept.scores.tolist() == pytest.approx([0.99])
    # What lies in the filled-up part of the square does not count.
    assert len(_good(logits, scores, (0.25, 1.0)).boxes) == 0


def test_sam_2_is_asked_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own image processor needs torchvision; a plain stand-in stretches the pictures here."""
    import transformers

    class Stretching:
        def __call__(self, images: list[Any], return_tensors: str) -> dict[str, Any]:
            pixels = np.stack([np.asarray(image.resize((64, 64)), np.float32) / 255 for image in images])
            return {"pixel_values": torch.from_numpy(pixels).permute(0, 3, 1, 2)}

    monkeypatch.setattr(
        transformers.AutoImageProcessor, "from_pretrained", classmethod(lambda *_, **__: Stretching())
    )
    runner = opened(TASK, scenes.sam2, TASK, **FEW)
    result = ask(runner, TASK, image=photo())
    assert result.data
    assert all(entry["mask"]["size"] == [60, 90] for entry in result.data)


def test_a_model_without_an_image_processor_is_refused() -> None:
    with pytest.raises(ExpertError, match="no usable AutoImageProcessor"):
        opened(TASK, scenes.sam2, TASK)


def test_a_model_for_another_task_is_refused() -> None:
    with pytest.raises(ExpertError, match="cannot do mask-generation"):
        shared(TASK, vision.classifier, TASK)
