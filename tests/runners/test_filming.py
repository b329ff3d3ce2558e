"""Videos made from words and from pictures."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.result import Input, Result
from deployments.runners.base import Runner
from deployments.runners.filming import Filmmaker
from deployments.runners.registry import resolve
from tests.runners.test_diffusion import noisy
from tests.support.neural import ask, model_card, shared
from tests.support.tiny import Builder, diffusion, films, tiny

WORDS, PICTURE = "text-to-video", "image-to-video"


class Small(dict[str, str]):
    """Knobs of a short, small video, that a cache may hold."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))


SMALL = Small(width="64", height="64", frames="2")


def filmmaker(builder: Builder, *tasks: str) -> Runner:
    fields = {"parts": Small(base=str(tiny(diffusion.stable)))} if builder is films.motion else {}
    return shared("video-diffusion", builder, *tasks, defaults=SMALL, **fields)


def frames(result: Result) -> NDArray[np.int16]:
    """A result's frames, with signs."""
    assert result.video is not None
    assert result.video.frames.dtype == np.uint8
    return result.video.frames.astype(np.int16)


@pytest.mark.parametrize(
    ("builder", "tasks", "count", "rate"),
    [
        (films.modelscope, (WORDS,), 3, 8),
        (films.motion, (WORDS,), 3, 8),
        (films.wan, (WORDS,), 5, 16),
        (films.cogvideo, (WORDS,), 9, 8),
        (films.ltx, (WORDS, PICTURE), 5, 25),
        (films.stable_video, (PICTURE,), 3, 7),
        (films.wan_from_pictures, (PICTURE,), 5, 16),
    ],
)
def test_a_video_has_frames_a_rate_and_its_seed(
    builder: Builder, tasks: tuple[str, ...], count: int, rate: float
) -> None:
    runner = filmmaker(builder, *tasks)
    for task in tasks:
        asked: dict[str, Any] = {"text": "a cat", "steps": "2", "seed": "1", "frames": str(count)}
        if task == PICTURE:
            asked["image"] = noisy()
        made = ask(runner, task, **asked)
        assert frames(made).shape == (count, 64, 64, 3)
        assert frames(made).std() > 1
        assert made.video is not None
        assert made.video.rate == rate
        assert made.data == {"seed": 1}
        assert (frames(ask(runner, task, **asked)) == frames(made)).all()
        other = {**asked, "image": noisy(seed=3)} if task == PICTURE else {**asked, "seed": "2"}
        assert (frames(ask(runner, task, **other)) != frames(made)).any()


def test_sizes_rates_and_lengths_are_as_asked_rounded_to_what_the_model_takes() -> None:
    runner = filmmaker(films.wan, WORDS)
    asked = {"text": "a cat", "steps": "1"}
    made = ask(runner, WORDS, **asked, width="90", height="70", frames="8", fps="12")
    assert frames(made).shape == (9, 64, 96, 3)
    assert made.video is not None
    assert made.video.rate == 12
    with pytest.raises(InputError, match="fps must be a number from 1 to 60"):
        ask(runner, WORDS, **asked, fps="0")
    with pytest.raises(InputError, match="frames must be a number from 1 to 8"):
        ask(filmmaker(films.motion, WORDS), WORDS, **asked, frames="9")


def test_a_picture_is_set_in_motion_without_words_in_its_own_shape() -> None:
    runner = resolve("video-diffusion")()
    assert isinstance(runner, Filmmaker)
    runner.load(model_card("video-diffusion", tiny(films.ltx), PICTURE), "cpu")
    scene = runner.ready(Input(PICTURE, {"image": noisy(200, 100)}))
    wide, high = scene.arguments["width"], scene.arguments["height"]
    assert wide / high == pytest.approx(2, rel=0.1)
    assert 0.8 < wide * high / (512 * 704) <= 1
    assert scene.arguments["image"].size == (wide, high)
    assert scene.arguments["prompt"] == ""


@pytest.mark.parametrize(("builder", "task"), [(films.stable_video, PICTURE), (films.wan, WORDS)])
def test_on_a_gpu_frames_are_decoded_in_tiles_where_the_autoencoder_knows_them(
    builder: Builder, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Filmmaker()
    runner.load(model_card("video-diffusion", tiny(builder), task), "cpu")
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_, **__: module)
    runner.device = "cuda"
    runner.open()
    assert getattr(runner.pipes[task].vae, "use_tiling", None) is (None if task == PICTURE else True)


def test_frames_are_decoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = filmmaker(films.stable_video, PICTURE)
    assert isinstance(runner, Filmmaker)
    vae, decoded = runner.pipes[PICTURE].vae, []
    decode = vae.decode

    def counted(latents: Any, *args: Any, **more: Any) -> Any:
        decoded.append(len(latents))
        return decode(latents, *args, **more)

    monkeypatch.setattr(vae, "decode", counted)
    made = ask(runner, PICTURE, image=noisy(), steps="1", frames="6")
    assert frames(made).shape == (6, 64, 64, 3)
    assert decoded == [4, 2]


def test_a_call_ends_within_one_step() -> None:
    runner = resolve("video-diffusion")()
    assert isinstance(runner, Filmmaker)
    card = model_card(
        "video-diffusion", tiny(films.motion), WORDS, parts={"base": str(tiny(diffusion.stable))}
    )
    runner.load(card, "cpu")
    passes = []

    def count(*_: Any) -> None:
        passes.append(1)
        runner.stop()

    runner.pipes[WORDS].unet.register_forward_hook(count)
    with pytest.raises(StoppedError):
        ask(runner, WORDS, text="a cat", steps="4", **SMALL)
    assert len(passes) == 1


def test_words_or_a_picture_are_asked_for() -> None:
    with pytest.raises(InputError, match="needs words"):
        ask(filmmaker(films.wan, WORDS), WORDS)
    with pytest.raises(InputError, match="needs a picture under 'image'"):
        ask(filmmaker(films.ltx, WORDS, PICTURE), PICTURE, text="a cat")


@pytest.mark.parametrize(
    ("builder", "task", "told"),
    [
        (films.wan, PICTURE, "A WanPipeline cannot do image-to-video"),
        (films.cogvideo, PICTURE, "A CogVideoXPipeline cannot do image-to-video"),
        (films.stable_video, WORDS, "A StableVideoDiffusionPipeline cannot do text-to-video"),
        (diffusion.stable, WORDS, "A StableDiffusionPipeline cannot do text-to-video"),
        (diffusion.editor, PICTURE, "A StableDiffusionInstructPix2PixPipeline cannot do image-to-video"),
        (films.motion, WORDS, r'its card as parts = {"base": "owner/name"}'),
    ],
)
def test_a_model_made_for_another_task_is_refused(builder: Builder, task: str, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        resolve("video-diffusion")().load(model_card("video-diffusion", tiny(builder), task), "cpu")


def test_a_motion_adapter_moves_stable_diffusion_alone() -> None:
    card = model_card("video-diffusion", tiny(films.motion), WORDS, parts={"base": str(tiny(diffusion.flux))})
    with pytest.raises(ExpertError, match="A motion adapter cannot move a FluxPipeline"):
        resolve("video-diffusion")().load(card, "cpu")
