"""Music from descriptions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Audio
from tests.support.neural import ask, ask_all, opened, shared
from tests.support.tiny import audio, speech, tiny

TASK = "text-to-audio"


def music(words: str = "a red house", **more: str) -> Audio:
    found = ask(shared(TASK, speech.musicgen, TASK), TASK, text=words, **{"seconds": "0.3", **more}).audio
    assert found is not None
    return found


def test_music_is_as_long_as_asked_for() -> None:
    for seconds in (0.2, 0.5):
        made = music(seconds=str(seconds), seed="1")
        assert made.rate == 16_000
        assert made.samples.shape == (round(seconds * 16_000),)
        assert made.samples.dtype == np.float32
        assert np.isfinite(made.samples).all()
        assert 1e-3 < np.abs(made.samples).max() <= 1


def test_a_seed_tells_the_music() -> None:
    assert np.array_equal(music(seed="1").samples, music(seed="1").samples)
    assert not np.array_equal(music(seed="1").samples, music(seed="2").samples)


def test_without_a_seed_a_fresh_one_is_drawn_and_told() -> None:
    runner = shared(TASK, speech.musicgen, TASK)
    several = [{"text": "a red house", "seconds": "0.3"}] * 2
    first, second = ask_all(runner, TASK, several)
    assert first.data["seed"] != second.data["seed"]
    assert first.audio is not None
    assert np.array_equal(music(seed=str(first.data["seed"])).samples, first.audio.samples)


def test_eight_at_once_are_as_eight_alone() -> None:
    runner = shared(TASK, speech.musicgen, TASK)
    several = [{"text": "the cat " * (1 + n), "seed": str(n), "seconds": "0.2"} for n in range(6)]
    several += [{"text": "a dog", "seed": "6", "seconds": "0.1"}]
    several += [{"text": "a dog", "seed": "7", "seconds": "0.2", "guidance": "1"}]
    batch = ask_all(runner, TASK, several)
    for one, args in zip(batch, several, strict=True):
        assert one.audio is not None
        alone = music(args["text"], **{name: args[name] for name in args if name != "text"})
        assert np.allclose(one.audio.samples, alone.samples, atol=1e-4)


def test_the_description_and_its_guidance_tell_the_music() -> None:
    one, other = music("a red house", seed="1"), music("paris, france", seed="1")
    assert not np.allclose(one.samples, other.samples, atol=1e-4)
    strong, weak = music(seed="1", guidance="15"), music(seed="1", guidance="1")
    assert not np.allclose(strong.samples, weak.samples, atol=1e-4)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"seconds": "31"}, "seconds must be a number from 0.1 to 30"),
        ({"guidance": "much"}, "guidance must be a number from 1 to 20"),
        ({"seed": "1.5"}, "seed must be a whole number"),
        ({"words": " "}, "needs words"),
    ],
)
def test_what_cannot_be_is_refused(args: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        music(**args)


def test_music_is_stopped_midway() -> None:
    runner: Any = opened(TASK, speech.musicgen, TASK)
    steps = []

    def hook(*_: Any) -> None:
        steps.append(1)
        runner.stopping.set()

    runner._model.register_forward_hook(hook)
    with pytest.raises(StoppedError):
        ask(runner, TASK, text="a red house")
    assert len(steps) == 1


def musicgen_old(folder: Path) -> None:
    audio.renamed(tiny(speech.musicgen), folder)


def test_old_names_of_weights_are_known() -> None:
    runner = opened(TASK, musicgen_old, TASK)
    made = ask(runner, TASK, text="a red house", seconds="0.3", seed="1").audio
    assert made is not None
    assert np.allclose(made.samples, music(seed="1").samples, atol=1e-4)


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (speech.bark, "cannot make music with a bark model"),
        (speech.vits, "cannot make music with a vits model"),
        (audio.ctc, "Wav2Vec2ForCTC cannot do text-to-audio"),
    ],
)
def test_a_model_of_another_kind_is_refused(builder: Any, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        opened(TASK, builder, TASK)
