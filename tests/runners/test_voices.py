"""Recordings said anew."""

from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Audio
from deployments.runners import voices
from deployments.runners.base import Runner
from tests.support.neural import ask, ask_all, opened, shared
from tests.support.tiny import audio, speech, tiny

RUNNER, TASK = "voice-conversion", "audio-to-audio"
_opened: list[Runner] = []


def noise(seconds: float, seed: int = 0) -> Audio:
    made = np.random.default_rng(seed).standard_normal(round(seconds * 16_000))
    return Audio((0.1 * made).astype(np.float32), 16_000)


def speecht5() -> Runner:
    if not _opened:
        parts = {"vocoder": str(tiny(speech.vocoder))}
        _opened.append(opened(RUNNER, speech.speecht5_voices, TASK, parts=parts))
    return _opened[0]


def seamless() -> Runner:
    return shared(RUNNER, speech.seamless, TASK)


def said(runner: Runner, recording: Audio, **more: str) -> Audio:
    found = ask(runner, TASK, audio=recording, **more).audio
    assert found is not None
    return found


@pytest.mark.parametrize("made", [speecht5, seamless])
def test_a_recording_is_said_anew(made: Any) -> None:
    result = ask(made(), TASK, audio=noise(0.4), seed="3")
    assert result.audio is not None
    assert result.audio.rate == 16_000
    assert result.audio.samples.dtype == np.float32
    assert result.audio.samples.ndim == 1
    assert np.isfinite(result.audio.samples).all()
    assert 1e-3 < np.abs(result.audio.samples).max() <= 1
    assert result.data == {"seed": 3}


@pytest.mark.parametrize("made", [speecht5, seamless])
def test_several_at_once_are_as_each_alone(made: Any) -> None:
    several = [{"audio": noise(0.3 + 0.1 * n, n), "seed": str(n)} for n in range(3)]
    batch = ask_all(made(), TASK, several)
    for one, args in zip(batch, several, strict=True):
        assert one.audio is not None
        assert np.array_equal(one.audio.samples, said(made(), **_named(args)).samples)


def _named(args: dict[str, Any]) -> dict[str, Any]:
    return {"recording": args["audio"], "seed": args["seed"]}


def test_seeds_and_voices_differ() -> None:
    runner = speecht5()
    assert not np.array_equal(
        said(runner, noise(0.3), seed="1").samples, said(runner, noise(0.3), seed="2").samples
    )
    runner.card = runner.card.model_copy(update={"defaults": {"voice": "anna"}})
    anna = said(runner, noise(0.3), seed="1")
    runner.card = runner.card.model_copy(update={"defaults": {}})
    assert not np.array_equal(anna.samples, said(runner, noise(0.3), seed="1").samples)


def test_a_long_recording_is_said_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "_PART", 0.5)
    short, long = said(speecht5(), noise(0.4), seed="1"), said(speecht5(), noise(2.0), seed="1")
    assert len(long.samples) == pytest.approx(5 * len(short.samples), rel=0.2)


def test_silence_stays_silence() -> None:
    silent = said(seamless(), Audio(np.zeros(8000, np.float32), 16_000))
    assert len(silent.samples) == 8000
    assert not silent.samples.any()


def test_a_language_is_chosen() -> None:
    runner = seamless()
    french = said(runner, noise(0.5), target_language="French")
    assert np.array_equal(french.samples, said(runner, noise(0.5), target_language="fra").samples)
    english = said(runner, noise(0.5))
    assert np.array_equal(english.samples, said(runner, noise(0.5), target_language="en").samples)
    assert not np.array_equal(french.samples, english.samples)
    with pytest.raises(InputError, match="does not speak 'Welsh'; name one of English, French"):
        said(runner, noise(0.5), target_language="Welsh")
    with pytest.raises(InputError, match="leave 'target_language' out"):
        said(speecht5(), noise(0.5), target_language="French")


@pytest.mark.parametrize(
    ("made", "inner"), [(speecht5, "speecht5.decoder.prenet"), (seamless, "text_decoder")]
)
def test_a_call_is_stopped_midway(made: Any, inner: str) -> None:
    runner = made()
    steps = []

    def hook(*_: Any) -> None:
        steps.append(1)
        runner.stopping.set()

    handle = runner._model.get_submodule(inner).register_forward_hook(hook)
    try:
        with pytest.raises(StoppedError):
            said(runner, noise(0.5))
    finally:
        handle.remove()
        runner.stopping.clear()
    assert len(steps) == 1


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (speech.speecht5_voices, "needs a vocoder"),
        (speech.speecht5, r"missing: .*speecht5\.encoder\.prenet"),
        (audio.whisper, "cannot change recordings with a whisper model"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(builder: Any, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        opened(RUNNER, builder, TASK)
