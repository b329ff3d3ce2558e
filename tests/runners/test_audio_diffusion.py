"""Sounds made from words."""

from typing import Any

import numpy as np
import pytest
import torch

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.result import Input, Result
from deployments.runners.audio_diffusion import SoundMaker
from deployments.runners.base import Runner
from deployments.runners.registry import resolve
from tests.support.neural import ask, ask_all, model_card, opened, shared
from tests.support.tiny import Builder, diffusion, tiny

TASK = "text-to-audio"
BOTH = pytest.mark.parametrize("builder", [diffusion.stable_audio, diffusion.audioldm])


def maker(builder: Builder = diffusion.stable_audio) -> Runner:
    return shared("audio-diffusion", builder, TASK)


def samples(result: Result) -> Any:
    assert result.audio is not None
    assert result.audio.samples.dtype == np.float32
    assert abs(result.audio.samples).max() <= 1
    return result.audio.samples


@BOTH
def test_a_sound_is_as_long_as_asked_at_the_models_rate(builder: Builder) -> None:
    made = ask(maker(builder), TASK, text="a dog", seconds="1.5", steps="2", seed="7")
    assert made.audio is not None
    rate, shape = (400, (600, 2)) if builder is diffusion.stable_audio else (800, (1200,))
    assert (made.audio.rate, samples(made).shape) == (rate, shape)
    assert samples(made).std() > 1e-4
    assert made.data == {"seed": 7}


@BOTH
def test_eight_at_once_are_as_eight_alone(builder: Builder) -> None:
    calls = [{"text": "a cat " * (n + 1), "seed": str(n), "steps": "2", "seconds": "1"} for n in range(8)]
    batch = [samples(made) for made in ask_all(maker(builder), TASK, calls)]
    alone = [samples(ask(maker(builder), TASK, **args)) for args in calls]
    assert all(np.allclose(one, other, atol=1e-3) for one, other in zip(batch, alone, strict=True))
    assert not np.allclose(batch[0], batch[1], atol=1e-3)


def test_mixed_calls_come_back_in_order() -> None:
    calls = [
        {"text": "a cat", "seed": "1", "steps": "2", "seconds": seconds, **more}
        for seconds in ("1", "2")
        for more in ({}, {"negative_prompt": "a dog"}, {"guidance": "1"})
    ]
    mixed = maker().run([Input(TASK, args) for args in [*calls, *calls[::-1]]])
    for args, answer in zip([*calls, *calls[::-1]], mixed, strict=True):
        assert isinstance(answer, Result)
        assert np.allclose(samples(answer), samples(ask(maker(), TASK, **args)), atol=1e-3)


def test_a_seed_repeats_a_sound_and_a_fresh_one_is_told() -> None:
    asked = {"text": "a cat", "steps": "2", "seconds": "1"}
    first, second = (ask(maker(), TASK, **asked) for _ in range(2))
    assert first.data["seed"] != second.data["seed"]
    assert not np.array_equal(samples(first), samples(second))
    again = ask(maker(), TASK, **asked, seed=str(first.data["seed"]))
    assert np.array_equal(samples(again), samples(first))


def test_the_longest_sound_is_the_models() -> None:
    assert samples(ask(maker(), TASK, text="a cat", steps="1")).shape == (800, 2)
    with pytest.raises(InputError, match="seconds must be a number from 1 to 2"):
        ask(maker(), TASK, text="a cat", seconds="3")
    with pytest.raises(InputError, match="needs words"):
        ask(maker(), TASK, text="")


def test_half_precision_is_taken_only_where_the_card_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SoundMaker, "_dtype", lambda _: torch.bfloat16)  # as on a GPU
    for told, expected in ((None, torch.float32), ("bfloat16", torch.bfloat16)):
        runner = SoundMaker()
        runner.load(model_card("audio-diffusion", tiny(diffusion.stable_audio), TASK, dtype=told), "cpu")
        assert runner.pipe.vae.dtype is runner.pipe.transformer.dtype is expected


def test_a_call_ends_within_one_step() -> None:
    runner = opened("audio-diffusion", diffusion.stable_audio, TASK)
    assert isinstance(runner, SoundMaker)
    passes = []

    def count(*_: Any) -> None:
        passes.append(1)
        runner.stop()

    runner.pipe.transformer.register_forward_hook(count)
    with pytest.raises(StoppedError):
        ask(runner, TASK, text="a cat", steps="5")
    assert len(passes) == 1


def test_a_model_of_pictures_is_refused() -> None:
    with pytest.raises(ExpertError, match="A StableDiffusionPipeline cannot do text-to-audio"):
        resolve("audio-diffusion")().load(model_card("audio-diffusion", tiny(diffusion.stable), TASK), "cpu")
