"""Pictures cut into their parts."""

from typing import Any

import numpy as np
import pytest
import torch

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Image
from deployments.result import Input
from deployments.runners import ade20k
from deployments.runners.drawing import decoded
from deployments.runners.pictures import seen
from deployments.runners.segmentation import Part, described, fine_shape, in_words, likeliest, stretched
from tests.support.neural import ask, ask_all, opened, shared
from tests.support.tiny import Builder, scenes, vision
from tests.support.tiny.vision import mixed, photo

TASK, MAP = "image-segmentation", "seg-control"
SEMANTIC = (scenes.segformer, scenes.upernet)
PANOPTIC = (scenes.mask2former, scenes.maskformer, scenes.detr_panoptic)


@pytest.mark.parametrize("builder", [*SEMANTIC, *PANOPTIC])
def test_parts_lie_inside_the_picture_and_do_not_overlap(builder: Builder) -> None:
    result = ask(shared(TASK, builder, TASK), TASK, image=photo(), threshold="0.1")
    assert result.data
    covered = np.zeros((60, 90), int)
    for entry in result.data:
        assert entry["label"] in vision.KINDS.values()
        assert (entry["score"] is None) == (builder in SEMANTIC)
        mask = decoded(entry["mask"])
        assert mask.shape == (60, 90)
        assert entry["area"] == pytest.approx(mask.mean(), abs=1e-4)
        box = entry["box"]
        rows, columns = np.nonzero(mask)
        assert (box["xmin"], box["xmax"]) == (columns.min(), columns.max() + 1)
        assert (box["ymin"], box["ymax"]) == (rows.min(), rows.max() + 1)
        covered += mask
    assert covered.max() == 1
    if builder in SEMANTIC:
        assert covered.all()
    areas = [entry["area"] for entry in result.data]
    assert areas == sorted(areas, reverse=True)
    assert result.image is not None
    assert result.image.pixels.shape == (60, 90, 3)
    assert "%" in (result.text or "")


@pytest.mark.parametrize("builder", [scenes.segformer, scenes.mask2former])
def test_the_mask_is_one_of_the_parts(builder: Builder) -> None:
    result = ask(shared(TASK, builder, TASK), TASK, image=photo(), threshold="0.1")
    assert result.mask is not None
    masks = [decoded(entry["mask"]) for entry in result.data]
    best = max(range(len(masks)), key=lambda n: (result.data[n]["score"] or 0, result.data[n]["area"]))
    assert np.array_equal(result.mask.pixels == 255, masks[best])


@pytest.mark.parametrize("builder", [*SEMANTIC, *PANOPTIC])
def test_eight_pictures_at_once_are_as_eight_alone(builder: Builder) -> None:
    runner = shared(TASK, builder, TASK)
    several = [{"image": image, "threshold": "0.1"} for image in mixed()]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    for one, other in zip(batch, alone, strict=True):
        told = [{(entry["label"], entry["score"]) for entry in result.data} for result in (one, other)]
        assert told[0] == told[1]
        # Single pixels on an edge may fall to either side, which moves the dark line there.
        assert np.mean(one.image.pixels == other.image.pixels) > 0.95  # type: ignore[union-attr]
    assert len({str(result.data) for result in alone}) > 1


def test_nothing_is_found_above_the_surest_threshold() -> None:
    result = ask(shared(TASK, scenes.mask2former, TASK), TASK, image=photo(), threshold="1")
    assert (result.data, result.text) == ([], "nothing found")
    assert np.array_equal(result.image.pixels, photo().pixels)  # type: ignore[union-attr]
    assert not result.mask.pixels.any()  # type: ignore[union-attr]


def test_the_background_is_no_mask_as_long_as_there_is_anything_else() -> None:
    item = seen(Input(TASK, {"image": photo()}))
    parts = np.ones((60, 90), np.int16)
    parts[:10, :10] = 2
    result = described(item, parts, [Part(1, "Background"), Part(2, "hat")])
    assert result.mask is not None
    assert result.mask.pixels.sum() == 255 * 100
    assert result.text == "Background (98%) and hat (2%)"


def test_parts_of_one_label_are_counted() -> None:
    data: list[dict[str, Any]] = [
        {"label": "cat, house cat", "area": 0.2},
        {"label": "sofa", "area": 0.5},
        {"label": "cat, house cat", "area": 0.1},
    ]
    assert in_words(data) == "sofa (50%) and 2 cats (30%)"


def test_a_segment_map_is_painted_in_ade20ks_colours() -> None:
    runner: Any = shared(TASK, scenes.segformer_ade, TASK, MAP)
    result = ask(runner, MAP, image=photo())
    parts = ask(runner, TASK, image=photo())
    assert result.image is not None
    assert result.image.pixels.shape == (60, 90, 3)
    numbers = {label: number for number, label in runner.model.config.id2label.items()}
    for entry in parts.data:
        colour = ade20k.PALETTE[numbers[entry["label"]]]
        assert (result.image.pixels[decoded(entry["mask"])] == colour).all()


def test_the_palette_has_150_colours_in_ade20ks_order() -> None:
    assert ade20k.PALETTE.shape == (150, 3)
    # Wall, building, sky, floor, tree; the last is flag.
    beginning = [[120, 120, 120], [180, 120, 120], [6, 230, 230], [80, 50, 50], [4, 200, 3]]
    assert ade20k.PALETTE[:5].tolist() == beginning
    assert ade20k.PALETTE[-1].tolist() == [92, 0, 255]
    # Mountain and dirt track have one colour nearly, water tank and road the same; all others differ.
    assert len(np.unique(ade20k.PALETTE, axis=0)) == 149


def test_a_model_without_ade20ks_classes_makes_no_segment_maps() -> None:
    with pytest.raises(ExpertError, match="ADE20K's 150 classes"):
        opened(TASK, scenes.segformer, TASK, MAP)


def test_a_model_for_another_task_is_refused() -> None:
    with pytest.raises(ExpertError, match="cannot do image-segmentation"):
        opened(TASK, vision.classifier, TASK)


def test_a_threshold_that_is_no_share_is_refused() -> None:
    with pytest.raises(InputError, match="threshold must be a number from 0 to 1"):
        ask(shared(TASK, scenes.segformer, TASK), TASK, image=photo(), threshold="2")


def test_a_call_that_nobody_waits_for_ends_midway() -> None:
    runner: Any = opened(TASK, scenes.segformer, TASK)
    runner.model.segformer.register_forward_hook(lambda *_: runner.stopping.set())
    with pytest.raises(StoppedError):
        runner.run([Input(TASK, {"image": photo()})])


def test_bands_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.runners import segmentation

    scores = torch.randn(5, 9, 11, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.interpolate(
        scores[None], size=(70, 50), mode="bilinear", align_corners=False
    )[0].argmax(0)
    for floats in (2**24, 5 * 50 * 8):
        monkeypatch.setattr(segmentation, "_FLOATS", floats)
        assert np.mean(likeliest(scores, (70, 50)) == whole.numpy()) > 0.999


def test_large_pictures_are_cut_on_a_smaller_map_that_keeps_their_shape() -> None:
    assert fine_shape((60, 90)) == (60, 90)
    height, width = fine_shape((5000, 8000))
    assert height * width <= 2.1e6
    assert height / width == pytest.approx(5 / 8, abs=0.01)
    assert fine_shape((1, 10**7))[0] == 1


def test_a_map_is_stretched_by_the_nearest_pixel() -> None:
    parts = np.array([[1, 2], [3, 4]], np.int16)
    assert stretched(parts, (4, 2)).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert stretched(parts, (2, 3)).tolist() == [[1, 1, 2], [3, 3, 4]]


def test_a_large_picture_gets_parts_of_its_own_size() -> None:
    image = Image(np.ascontiguousarray(np.broadcast_to(np.uint8(200), (1600, 2400, 3))))
    result = ask(shared(TASK, scenes.segformer, TASK), TASK, image=image)
    assert result.data[0]["mask"]["size"] == [1600, 2400]
    assert sum(result.data[0]["mask"]["counts"]) == 1600 * 2400
    assert result.image is not None
    assert result.image.pixels.shape == (1600, 2400, 3)
