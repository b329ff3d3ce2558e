"""Maps of depth and of surface normals."""

from typing import Any

import numpy as np
import pytest
import transformers as hf

from deployments.errors import ExpertError, StoppedError
from deployments.result import Input
from deployments.runners.depth import _unpadded, metric, nearness, normals
from tests.support.neural import ask, ask_all, opened, shared
from tests.support.tiny import Builder, scenes, vision
from tests.support.tiny.vision import mixed, photo

TASK, CONTROL, NORMAL = "depth-estimation", "depth-control", "normal-control"
METRIC = (scenes.glpn, scenes.depth_anything_metric, scenes.zoedepth)
ALL = (scenes.dpt, scenes.depth_anything, *METRIC)


@pytest.mark.parametrize("builder", ALL)
def test_a_map_is_grey_and_of_the_pictures_size(builder: Builder) -> None:
    result = ask(shared(TASK, builder, TASK), TASK, image=photo())
    assert result.image is not None
    pixels = result.image.pixels
    assert pixels.shape == (60, 90, 3)
    assert pixels.dtype == np.uint8
    assert np.ptp(pixels, axis=2).max() == 0
    assert pixels.max() > 250 > 5 > pixels.min()
    if builder in METRIC:
        assert 0 < result.data["near"] <= result.data["far"]
    else:
        assert result.data is None


@pytest.mark.parametrize("builder", ALL)
def test_eight_pictures_at_once_are_as_eight_alone(builder: Builder) -> None:
    runner = shared(TASK, builder, TASK)
    several = [{"image": image} for image in mixed()]
    batch = [result.image.pixels for result in ask_all(runner, TASK, several)]  # type: ignore[union-attr]
    alone = [ask(runner, TASK, **args).image.pixels for args in several]  # type: ignore[union-attr]
    for one, other, image in zip(batch, alone, mixed(), strict=True):
        assert one.shape == other.shape == image.pixels.shape
        # A fresh model answers nearly the same everywhere, and a map is stretched to its whole range.
        assert np.abs(one.astype(int) - other).mean() < 3
    assert np.abs(alone[0].astype(int) - alone[3]).mean() > 6


def test_near_is_light_whatever_the_model_answers_with() -> None:
    inverse = np.array([[1.0, 5.0], [10.0, 100.0]], np.float32)
    near = nearness(inverse, metric=False)
    assert near[0, 0] == 0
    assert near[1, 1] == 1
    metres = np.linspace(1, 10, 400, dtype=np.float32).reshape(20, 20)
    light = nearness(metres, metric=True)
    assert light[0, 0] == light.max() == 1
    assert light[-1, -1] == light.min() == 0
    assert (np.diff(light.reshape(-1)) <= 0).all()


def test_one_pixel_at_a_few_centimetres_does_not_darken_all_else() -> None:
    metres = np.linspace(1, 10, 400, dtype=np.float32).reshape(20, 20)
    metres[10, 10] = 0.0
    assert nearness(metres, metric=True).mean() > 0.15


def test_a_level_map_is_black_and_a_broken_one_is_told() -> None:
    assert not nearness(np.full((4, 4), 3, np.float32), metric=False).any()
    with pytest.raises(ExpertError, match="dtype float32"):
        nearness(np.array([[1, np.nan]], np.float32), metric=False)


def test_which_models_answer_in_metres() -> None:
    assert metric(hf.GLPNConfig())
    assert metric(hf.ZoeDepthConfig())
    assert not metric(hf.DPTConfig())
    assert metric(hf.DPTConfig(backbone_config=hf.Dinov2Config()))
    assert not metric(hf.DepthAnythingConfig())
    assert metric(hf.DepthAnythingConfig(depth_estimation_type="metric"))
    assert metric(hf.DPTConfig(), "metric")
    assert not metric(hf.GLPNConfig(), "relative")


def test_zoedepths_margin_is_cut_off() -> None:
    # Its processor puts 16 pixels around a picture of 60 × 60, and here makes that half as large.
    depth = np.zeros((46, 46), np.float32)
    depth[8:-8, 8:-8] = 1
    assert _unpadded(depth, (60, 60)).shape == (30, 30)
    assert _unpadded(depth, (60, 60)).all()


def test_normals_of_a_plane_point_one_way() -> None:
    plane = np.tile(np.linspace(0.5, 1, 384, dtype=np.float32), (384, 1))
    made = normals(plane, (100, 200))
    assert made.shape == (100, 200, 3)
    inner = made[10:-10, 10:-10].reshape(-1, 3).astype(int)
    assert np.ptp(inner, axis=0).max() <= 2
    red, green, blue = inner.mean(axis=0)
    assert red > 200  # it comes nearer to the right
    assert green == pytest.approx(127, abs=2)
    assert blue > 127
    length = np.linalg.norm((inner[0] - 127.5) / 127.5)
    assert length == pytest.approx(1, abs=0.02)
    downwards = normals(plane.T, (100, 200))[50, 100]
    assert downwards[1] > 200
    assert abs(int(downwards[0]) - 127) <= 2


def test_what_is_far_away_points_to_the_viewer() -> None:
    far = np.tile(np.linspace(0, 0.39, 384, dtype=np.float32), (384, 1))
    far[0, 0] = 1
    assert np.abs(normals(far, (60, 60))[20:, 20:].astype(int) - (128, 128, 255)).max() <= 2


def test_maps_for_controlnet() -> None:
    runner = shared(TASK, scenes.dpt, TASK, CONTROL, NORMAL)
    depth, control, normal = (ask(runner, task, image=photo()).image for task in (TASK, CONTROL, NORMAL))
    assert depth is not None
    assert control is not None
    assert normal is not None
    assert np.array_equal(depth.pixels, control.pixels)
    assert normal.pixels.shape == (60, 90, 3)
    lengths = np.linalg.norm((normal.pixels.astype(float) - 127.5) / 127.5, axis=2)
    assert np.median(lengths) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("size", [(1, 1), (4, 30), (700, 1000)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    for builder in (scenes.glpn, scenes.zoedepth, scenes.depth_anything):
        result = ask(shared(TASK, builder, TASK), TASK, image=photo(0, *size))
        assert result.image is not None
        assert result.image.pixels.shape == (*size, 3)


def test_a_narrow_picture_is_not_rounded_to_nothing() -> None:
    for size in ((3, 140), (140, 3)):
        result = ask(shared(TASK, scenes.zoedepth, TASK), TASK, image=photo(0, *size))
        assert result.image is not None
        assert result.image.pixels.shape == (*size, 3)


def test_a_model_for_another_task_is_refused() -> None:
    with pytest.raises(ExpertError, match="cannot do depth-estimation"):
        opened(TASK, vision.classifier, TASK)


def test_a_call_that_nobody_waits_for_ends_before_the_model_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    runner: Any = opened(TASK, scenes.dpt, TASK)
    prepare = runner.features
    monkeypatch.setattr(runner, "features", lambda small: (runner.stopping.set(), prepare(small))[1])
    with pytest.raises(StoppedError):
        runner.run([Input(TASK, {"image": photo()})])
