"""Pictures made larger."""

from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Image
from deployments.result import Input
from deployments.runners import upscaling
from deployments.runners.upscaling import Upscaler, _spans, _tiles
from tests.support.neural import ask, ask_all, model_card, opened, shared
from tests.support.tiny import scenes, tiny, vision
from tests.support.tiny.vision import photo

RUNNER, TASK = "super-resolution", "image-to-image"
SIZES = ((30, 40), (1, 1), (192, 192), (200, 250), (60, 500), (41, 33), (8, 8), (192, 193))
SMALL = ((30, 40), (1, 1), (64, 64), (70, 90), (20, 120), (41, 33), (8, 8), (64, 65))


def cold() -> Any:
    """A runner of its own, without a warm-up."""
    runner = Upscaler()
    runner.load(model_card(RUNNER, tiny(scenes.swin2sr), TASK), "cpu")
    return runner


def test_a_picture_becomes_larger_by_the_models_factor() -> None:
    runner = shared(RUNNER, scenes.swin2sr, TASK)
    for size in ((30, 40), (1, 1)):
        larger = ask(runner, TASK, image=photo(0, *size)).image
        assert larger is not None
        assert larger.pixels.shape == (2 * size[0], 2 * size[1], 3)
        assert larger.pixels.dtype == np.uint8


def test_eight_pictures_at_once_are_as_eight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscaling, "_TILE", 64)  # a small model sees as little at once as is still a test
    runner = shared(RUNNER, scenes.swin2sr, TASK)
    several = [{"image": photo(n, *size)} for n, size in enumerate(SMALL)]
    batch = ask_all(runner, TASK, several)
    for args, result in zip(several, batch, strict=True):
        alone = ask(runner, TASK, **args).image
        assert alone is not None
        assert result.image is not None
        assert np.abs(alone.pixels.astype(int) - result.image.pixels).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_tiles_cover_each_pixel_once(size: tuple[int, int]) -> None:
    pixels = photo(0, *size).pixels
    made = np.zeros_like(pixels)
    times = np.zeros(size, int)
    for tile, inner, place in _tiles(pixels):
        assert tile.shape == (192, 192, 3)
        made[place] = tile[inner]
        times[place] += 1
    assert (times == 1).all()
    assert np.array_equal(made, pixels)


@pytest.mark.parametrize("length", [193, 300, 352, 353, 1000])
def test_what_counts_of_a_tile_is_away_from_where_it_was_cut(length: int) -> None:
    for start, inner, place in _spans(length):
        assert inner.start >= 16 or place.start == 0
        assert inner.stop <= 192 - 16 or place.stop == length
        assert start + inner.start == place.start


def test_the_pieces_of_a_large_picture_fit_together() -> None:
    """A model that repeats its pixels shows whether each piece comes to its place."""
    import torch

    runner = cold()

    class Doubling:
        def __call__(self, pixel_values: Any) -> Any:
            larger = torch.nn.functional.interpolate(pixel_values, scale_factor=2, mode="nearest")
            return type("Answer", (), {"reconstruction": larger})

    runner.model = Doubling()
    image = Image(np.random.default_rng(0).integers(0, 256, (300, 410, 3), dtype=np.uint8))
    larger = ask(runner, TASK, image=image).image
    assert larger is not None
    assert np.array_equal(larger.pixels, image.pixels.repeat(2, axis=0).repeat(2, axis=1))


def test_too_large_a_picture_is_refused() -> None:
    blank = np.broadcast_to(np.uint8(0), (4000, 4000, 3))
    with pytest.raises(InputError, match=r"at most 10\.0 million pixels"):
        ask(shared(RUNNER, scenes.swin2sr, TASK), TASK, image=Image(blank))


def test_a_model_for_another_task_is_refused() -> None:
    with pytest.raises(ExpertError, match="cannot do image-to-image"):
        opened(RUNNER, vision.classifier, TASK)


def test_a_call_that_nobody_waits_for_ends_between_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscaling, "_TILE", 64)
    runner = cold()
    calls = []

    def stop(*_: Any) -> None:
        calls.append(1)
        runner.stopping.set()

    runner.model.register_forward_hook(stop)
    with pytest.raises(StoppedError):
        runner.run([Input(TASK, {"image": photo(0, 130, 130)})])
    assert calls == [1]  # of two
