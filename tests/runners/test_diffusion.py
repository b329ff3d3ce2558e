"""Pictures drawn, changed and painted anew."""

from typing import Any

import diffusers as df
import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.errors import ExpertError, InputError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners.base import Runner
from deployments.runners.diffusion import Painter, fitted
from deployments.runners.registry import resolve
from tests.support.neural import ask, ask_all, model_card, opened, shared
from tests.support.tiny import Builder, diffusion, films, tiny

SMALL = {"width": "64", "height": "64"}
ALL = ("text-to-image", "image-to-image", "inpainting")


def noisy(wide: int = 70, high: int = 90, seed: int = 0) -> Image:
    """A picture of random dots."""
    return Image(np.random.default_rng(seed).integers(0, 256, (high, wide, 3), dtype=np.uint8))


def window(wide: int = 70, high: int = 90) -> Image:
    """A mask that is white in the middle."""
    pixels = np.zeros((high, wide), np.uint8)
    pixels[20:60, 10:50] = 255
    return Image(pixels)


def pixels(result: Result) -> NDArray[np.int16]:
    """A result's picture, with signs."""
    assert result.image is not None
    assert result.image.pixels.dtype == np.uint8
    return result.image.pixels.astype(np.int16)


def near(one: Result, other: Result) -> bool:
    """Whether two pictures agree but for rounding."""
    return pixels(one).shape == pixels(other).shape and bool(abs(pixels(one) - pixels(other)).max() <= 2)


def painter() -> Runner:
    return shared("diffusion", diffusion.stable, *ALL)


def several(task: str) -> list[dict[str, Any]]:
    """Eight calls that may share a model call."""
    calls: list[dict[str, Any]] = [
        {"text": "a cat " * (1 + n), "seed": str(n), "steps": "2", "negative_prompt": "a dog " * (n + 1)}
        for n in range(8)
    ]
    for n, args in enumerate(calls):
        if task != "text-to-image":
            args["image"] = noisy(seed=n)
        if task == "inpainting":
            args["mask"] = window()
    return calls


@pytest.mark.parametrize(
    ("builder", "task"),
    [
        (diffusion.stable, "text-to-image"),
        (diffusion.stable, "image-to-image"),
        (diffusion.stable, "inpainting"),
        (diffusion.inpainter, "inpainting"),
        (diffusion.editor, "image-to-image"),
        (diffusion.stable_xl, "text-to-image"),
        (diffusion.stable_xl, "image-to-image"),
        (diffusion.restless, "text-to-image"),
        (diffusion.flux, "text-to-image"),
    ],
)
def test_eight_at_once_are_as_eight_alone_in_one_call(
    builder: Builder, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = opened("diffusion", builder, task, defaults=SMALL)
    assert isinstance(runner, Painter)
    calls = several(task)
    alone = [ask(runner, task, **args) for args in calls]
    made = []
    called = runner.called

    def counted(*args: Any, **more: Any) -> Any:
        made.append(1)
        return called(*args, **more)

    monkeypatch.setattr(runner, "called", counted)
    batch = ask_all(runner, task, calls)
    assert all(map(near, batch, alone))
    assert not any(near(batch[0], other) for other in batch[1:])
    assert len(made) == 1


def test_mixed_calls_give_the_same_pictures_as_one_by_one() -> None:
    calls = [Input(task, args) for task in ALL for args in several(task)]
    calls += [
        Input("text-to-image", {"text": "a dog", "seed": str(n), "steps": "3", **more})
        for n in range(2)
        for more in ({}, {"guidance": "2"}, {"negative_prompt": "red"}, {"width": "96"})
    ]
    order = np.random.default_rng(1).permutation(len(calls))
    mixed = painter().run([calls[n] for n in order])
    for place, answer in zip(order, mixed, strict=True):
        assert isinstance(answer, Result)
        assert near(answer, ask(painter(), calls[place].task, **calls[place].args))
    assert len(mixed) == 32


def test_a_seed_repeats_a_picture_and_a_fresh_one_is_told() -> None:
    asked = {"text": "a cat", "steps": "2"}
    first, second = (ask(painter(), "text-to-image", **asked) for _ in range(2))
    assert first.data["seed"] != second.data["seed"]
    assert not near(first, second)
    again = ask(painter(), "text-to-image", **asked, seed=str(first.data["seed"]))
    assert (pixels(again) == pixels(first)).all()
    assert again.data == first.data


def test_words_and_knobs_change_the_picture() -> None:
    asked = {"text": "a cat", "steps": "3", "seed": "1"}
    plain = ask(painter(), "text-to-image", **asked)
    for change in (
        {"text": "a red house on the hill"},
        {"steps": "4"},
        {"guidance": "30"},
        {"negative_prompt": "a man in a blue car"},
    ):
        assert (pixels(ask(painter(), "text-to-image", **{**asked, **change})) != pixels(plain)).any(), change


def test_the_size_is_as_asked_rounded_to_what_the_model_takes() -> None:
    asked = {"text": "a cat", "steps": "1"}
    assert pixels(ask(painter(), "text-to-image", **asked)).shape == (64, 64, 3)
    assert pixels(ask(painter(), "text-to-image", **asked, width="97", height="79")).shape == (80, 96, 3)
    with pytest.raises(InputError, match="height must be a number from 64 to 2048"):
        ask(painter(), "text-to-image", **asked, height="5000")


def test_a_changed_picture_keeps_its_shape_within_the_models_area() -> None:
    asked = {"text": "a cat", "steps": "2", "seed": "1"}
    wide = ask(painter(), "image-to-image", **asked, image=noisy(300, 150))
    assert pixels(wide).shape == (44, 90, 3)
    grey = Image(noisy(64, 64).pixels[:, :, 0])
    assert pixels(ask(painter(), "image-to-image", **asked, image=grey)).shape == (64, 64, 3)


def test_strength_says_how_much_of_the_picture_changes() -> None:
    picture = noisy(64, 64)
    asked = {"text": "a cat", "steps": "10", "seed": "1", "image": picture}
    little, much = (
        abs(pixels(ask(painter(), "image-to-image", **asked, strength=strength)) - picture.pixels).mean()
        for strength in ("0.1", "1")
    )
    repeat = pixels(ask(painter(), "image-to-image", **asked, strength="0.1"))
    assert abs(repeat - picture.pixels).mean() == little
    assert little != much
    # One step of which a tenth is taken would be none.
    assert ask(painter(), "image-to-image", **{**asked, "steps": "1"}, strength="0.1").image


@pytest.mark.parametrize("builder", [diffusion.stable, diffusion.inpainter])
def test_only_what_is_white_in_the_mask_is_painted_anew(builder: Builder) -> None:
    tasks = ALL if builder is diffusion.stable else ("inpainting",)
    runner = shared("diffusion", builder, *tasks)
    picture = noisy(150, 130)
    mask = window(150, 130)
    asked: dict[str, Any] = {"text": "a cat", "steps": "2", "seed": "1", "image": picture}
    made = pixels(ask(runner, "inpainting", **asked, mask=mask))
    where = mask.pixels > 0
    assert made.shape == picture.pixels.shape
    assert (made[~where] == picture.pixels[~where]).all()
    assert (made[where] != picture.pixels[where]).mean() > 0.9
    colours = Image(np.repeat(mask.pixels[::2, ::2, None], 3, axis=2))  # RGB, and of half the size
    assert (pixels(ask(runner, "inpainting", **asked, mask=colours)) == made).mean() > 0.95
    with pytest.raises(InputError, match="mask is black all over"):
        ask(runner, "inpainting", **asked, mask=Image(np.zeros((9, 9), np.uint8)))


def test_pictures_and_words_are_asked_for() -> None:
    with pytest.raises(InputError, match="needs words"):
        ask(painter(), "text-to-image", text=" ")
    with pytest.raises(InputError, match="needs words"):
        ask(painter(), "image-to-image", image=noisy())
    with pytest.raises(InputError, match="needs a picture under 'image'"):
        ask(painter(), "image-to-image", text="a cat")
    with pytest.raises(InputError, match="needs a picture under 'mask'"):
        ask(painter(), "inpainting", text="a cat", image=noisy())


def test_a_refused_picture_is_an_error_and_no_black_one() -> None:
    runner = shared("diffusion", diffusion.checked, "text-to-image")
    with pytest.raises(InputError, match="safety checker refused this picture"):
        ask(runner, "text-to-image", text="a cat", steps="2")


def test_an_editor_of_flux_changes_a_picture_and_cannot_do_without_one() -> None:
    runner = opened("diffusion", diffusion.kontext, "image-to-image", defaults=SMALL)
    asked: dict[str, Any] = {"text": "a cat", "steps": "1", "seed": "1"}
    one, other = (ask(runner, "image-to-image", **asked, image=noisy(80, 40, seed)) for seed in (1, 2))
    assert pixels(one).shape == (44, 90, 3)
    assert (pixels(one) != pixels(other)).any()


@pytest.mark.parametrize(
    ("builder", "task", "told"),
    [
        (diffusion.inpainter, "text-to-image", "takes 9 channels where text-to-image gives 4"),
        (diffusion.inpainter, "image-to-image", "takes 9 channels where image-to-image gives 4"),
        (diffusion.editor, "text-to-image", "InstructPix2PixPipeline cannot do text-to-image"),
        (diffusion.editor, "inpainting", "InstructPix2PixPipeline cannot do inpainting"),
        (diffusion.stable_audio, "text-to-image", "StableAudioPipeline cannot do text-to-image"),
        (films.wan, "text-to-image", "WanPipeline cannot do text-to-image"),
        (diffusion.stable, "depth-estimation", "StableDiffusionPipeline cannot do depth-estimation"),
        (diffusion.stable, "canny-text-to-image", "Pipeline cannot do canny-text-to-image"),
    ],
)
def test_a_model_made_for_another_task_is_refused(builder: Builder, task: str, told: str) -> None:
    runner = resolve("diffusion")()
    with pytest.raises(ExpertError, match=told):
        runner.load(model_card("diffusion", tiny(builder), task), "cpu")


@pytest.mark.parametrize(("side", "expected"), [(64, False), (1024, True)])
def test_on_a_gpu_a_large_picture_is_decoded_in_tiles(side: int, expected: bool) -> None:
    runner = Painter()
    runner.load(model_card("diffusion", tiny(diffusion.stable), "text-to-image"), "cpu")
    runner.device = "cuda"
    asked = {"text": "a cat", "width": str(side), "height": str(side)}
    request = runner.ready(Input("text-to-image", asked))
    runner._tile(request)
    assert request.pipe.vae.use_slicing
    assert request.pipe.vae.use_tiling is expected
    request.pipe.vae = df.VQModel(block_out_channels=(8,), norm_num_groups=4)  # which knows neither
    runner._tile(request)


def test_the_key_tells_what_may_share_a_call() -> None:
    one = Input("text-to-image", {"text": "a cat", "seed": "1"})
    assert painter().key(one) == painter().key(Input("text-to-image", {"text": "a dog", "seed": "2"}))
    for other in ({"steps": "2"}, {"width": "64"}, {"negative_prompt": "red"}, {"steps": "no number"}):
        assert painter().key(one) != painter().key(Input("text-to-image", {"text": "a cat", **other}))
    wide, high = (Input("image-to-image", {"image": noisy(*size)}) for size in ((70, 90), (90, 70)))
    assert painter().key(wide) != painter().key(high)


@pytest.mark.parametrize(
    ("size", "least", "expected"),
    [
        ((512, 512), 0, (512, 512)),
        ((1024, 1024), 0, (512, 512)),
        ((768, 512), 0, (624, 416)),
        ((100, 100), 0, (96, 96)),
        ((100, 100), 512 * 512, (512, 512)),
        ((4000, 1), 0, (2048, 8)),
    ],
)
def test_a_picture_is_brought_to_a_size_the_model_takes(
    size: tuple[int, int], least: int, expected: tuple[int, int]
) -> None:
    assert fitted(size, 512 * 512, 8, least) == expected
