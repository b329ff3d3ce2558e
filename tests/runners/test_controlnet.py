"""Pictures drawn after a control map."""

from typing import Any

import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.runners.base import Runner
from deployments.runners.controlnet import ControlledPainter
from deployments.runners.registry import resolve
from tests.runners.test_diffusion import near, noisy, pixels
from tests.support.neural import ask, ask_all, model_card, opened
from tests.support.tiny import Builder, diffusion, text, tiny

TASK = "canny-text-to-image"
_MAPS = ("canny", "depth", "hed", "mlsd", "normal", "openpose", "seg")
SEVEN = tuple(f"{name}-text-to-image" for name in _MAPS)
SMALL = {"width": "64", "height": "64", "steps": "2"}

PAIRS = [
    (diffusion.controlnet, diffusion.stable),
    (diffusion.xl_controlnet, diffusion.stable_xl),
    (diffusion.xl_union, diffusion.stable_xl),
    (diffusion.flux_union, diffusion.flux),
    (diffusion.adapter, diffusion.mirrored),
]


def drawn_after(builder: Builder, base: Builder, *tasks: str, **fields: Any) -> Runner:
    """A runner with a network of control over a base."""
    return opened("controlnet", builder, *(tasks or (TASK,)), parts={"base": str(tiny(base))}, **fields)


@pytest.mark.parametrize(("builder", "base"), PAIRS)
def test_the_map_its_strength_and_the_words_change_the_picture(builder: Builder, base: Builder) -> None:
    runner = drawn_after(builder, base, defaults=SMALL)
    asked: dict[str, Any] = {"text": "a cat", "seed": "1", "image": noisy(seed=1)}
    plain = ask(runner, TASK, **asked)
    assert pixels(plain).shape == (64, 64, 3)
    assert plain.data == {"seed": 1}
    for change in ({"image": noisy(seed=2)}, {"control_strength": "0.1"}, {"text": "a red house"}):
        assert (pixels(ask(runner, TASK, **{**asked, **change})) != pixels(plain)).any(), change
    assert (pixels(ask(runner, TASK, **asked)) == pixels(plain)).all()


@pytest.mark.parametrize(("builder", "base"), PAIRS)
def test_four_at_once_are_as_four_alone(builder: Builder, base: Builder) -> None:
    runner = drawn_after(builder, base, defaults=SMALL)
    calls: list[dict[str, Any]] = [
        {"text": "a cat " * (n + 1), "seed": str(n), "image": noisy(seed=n)} for n in range(4)
    ]
    batch = ask_all(runner, TASK, calls)
    assert all(near(one, ask(runner, TASK, **args)) for one, args in zip(batch, calls, strict=True))
    assert not near(batch[0], batch[1])


def test_the_picture_has_the_maps_shape_unless_a_size_is_asked_for() -> None:
    runner = drawn_after(diffusion.controlnet, diffusion.stable, *SEVEN)
    asked: dict[str, Any] = {"text": "a cat", "steps": "1", "image": noisy(300, 150)}
    for task in SEVEN:
        assert pixels(ask(runner, task, **asked)).shape == (44, 90, 3)
    assert pixels(ask(runner, TASK, **asked, width="64", height="80")).shape == (80, 64, 3)


def test_a_union_is_told_which_kind_of_map_it_sees() -> None:
    runner = drawn_after(diffusion.xl_union, diffusion.stable_xl, *SEVEN, defaults=SMALL)
    asked: dict[str, Any] = {"text": "a cat", "seed": "1", "image": noisy()}
    canny, lines, pose = (
        pixels(ask(runner, f"{name}-text-to-image", **asked)) for name in ("canny", "mlsd", "openpose")
    )
    assert (canny == lines).all()  # edges both, under one number
    assert (canny != pose).any()


def test_a_call_ends_within_one_step() -> None:
    runner = drawn_after(diffusion.controlnet, diffusion.stable, defaults=SMALL)
    assert isinstance(runner, ControlledPainter)
    passes = []

    def count(*_: Any) -> None:
        passes.append(1)
        runner.stop()

    runner.pipes[TASK].unet.register_forward_hook(count)
    with pytest.raises(StoppedError):
        ask(runner, TASK, text="a cat", image=noisy(), steps="4")
    assert len(passes) == 1


def test_words_and_a_map_are_asked_for() -> None:
    runner = drawn_after(diffusion.controlnet, diffusion.stable, defaults=SMALL)
    with pytest.raises(InputError, match="needs words"):
        ask(runner, TASK, image=noisy())
    with pytest.raises(InputError, match="needs a picture under 'image'"):
        ask(runner, TASK, text="a cat")
    with pytest.raises(InputError, match="control_strength must be a number from 0 to 2"):
        ask(runner, TASK, text="a cat", image=noisy(), control_strength="9")


@pytest.mark.parametrize(
    ("builder", "base", "task", "told"),
    [
        (diffusion.controlnet, None, TASK, r'name that one in its card as parts = {"base": "owner/name"}'),
        (diffusion.controlnet, diffusion.stable_xl, TASK, "made for texts 32 wide, and the base's are 64"),
        (diffusion.controlnet, diffusion.flux, TASK, "A ControlNetModel cannot steer a FluxPipeline"),
        (diffusion.stable, diffusion.stable, TASK, "is no ControlNet in diffusers' format"),
        (text.classifier, diffusion.stable, TASK, "is no ControlNet in diffusers' format"),
        (diffusion.flux_union, diffusion.flux, "seg-text-to-image", "knows no maps for seg-text-to-image"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    builder: Builder, base: Builder | None, task: str, told: str
) -> None:
    parts = {"base": str(tiny(base))} if base else {}
    with pytest.raises(ExpertError, match=told):
        resolve("controlnet")().load(model_card("controlnet", tiny(builder), task, parts=parts), "cpu")
