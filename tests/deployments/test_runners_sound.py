"""Speech and the cleaning of recordings."""

import ctypes
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Audio, mono
from deployments.result import Input, Result
from deployments.runners import noisereduce
from deployments.runners.espeak import Espeak, _Voice
from deployments.runners.noisereduce import quietest
from scripts.make_examples import RATE, noisy
from tests.deployments.embedded import CARDS, answer, answers, recording, runner
from tests.deployments.samples import tone


def spoken(text: str) -> Audio:
    audio = answer("espeak", text=text).audio
    assert audio is not None
    return audio


def voice() -> Espeak:
    model = runner("espeak")
    assert isinstance(model, Espeak)
    return model


def test_a_sentence_is_spoken_in_a_natural_time() -> None:
    audio = spoken("The harbour ferry leaves at noon.")
    assert audio.rate == 22_050
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert 1.5 < len(audio.samples) / audio.rate < 3.5
    assert 0.2 < np.abs(audio.samples).max() <= 1
    assert np.square(audio.samples).mean() > 1e-4


def test_a_longer_text_takes_longer() -> None:
    short, long = spoken("One boat."), spoken("One boat. " * 10)
    assert len(long.samples) > 6 * len(short.samples)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Bonjour tout le monde, comment allez-vous ?", "fr"),
        ("Das ist ein schöner Tag am Hafen", "de"),
        ("La casa es muy grande y tiene un jardín", "es"),
        ("Die Fähre legt um zwölf Uhr ab", "de"),
        ("今日は晴れです", "ja"),
        ("Привет, мир", "ru"),
        ("你好", "zh"),
        ("مرحبا", "ar"),
        ("नमस्ते", "hi"),
        ("Hello", "en"),
        ("two dogs", "en"),
        ("HARBOUR FERRY\nLEAVES AT NOON", "en"),
        ("12:30", "en"),
        ("cat: 0.93, dog: 0.88", "en"),
    ],
)
def test_the_voice_follows_the_language_of_the_text(text: str, language: str) -> None:
    assert voice().language(text) == language


@pytest.mark.parametrize(
    ("text", "identifier"),
    [("Bonjour tout le monde, comment allez-vous ?", b"roa/fr"), ("The boat leaves at noon.", b"gmw/en")],
)
def test_french_is_spoken_by_a_french_voice(text: str, identifier: bytes) -> None:
    assert spoken(text).samples.any()
    current = voice()._library.espeak_GetCurrentVoice
    current.restype = ctypes.POINTER(_Voice)
    assert current()[0].identifier == identifier


def test_every_language_that_may_be_chosen_has_a_voice() -> None:
    model = voice()
    labels = model._identifier.labels
    assert {"en", "fr", "de", "zh", "ar", "hi", "ru", "no"} <= set(labels)
    for label in labels:
        model._use_voice(label)
    with pytest.raises(ExpertError, match="no voice for 'xx'"):
        model._use_voice("xx")


def test_markup_and_odd_characters_are_read_as_they_are() -> None:
    assert len(spoken("a <break time='5000ms'/> b").samples) > len(spoken("a b").samples)
    assert len(spoken("before\0after").samples) > len(spoken("before").samples)
    assert spoken("bad \ud800 letter").samples.any()


def test_a_text_without_a_sound_is_refused() -> None:
    (found,) = answers("espeak", {"text": "\u200b"})
    assert isinstance(found, InputError)
    assert "no words to read aloud" in str(found)


def test_thirty_thousand_characters_are_spoken_to_the_end() -> None:
    text = ("The boat leaves at noon, and the harbour is quiet. " * 600)[:30_000]
    audio = spoken(text)
    assert 1200 < len(audio.samples) / audio.rate < 2400
    tail = audio.samples[-30 * audio.rate :]
    assert np.square(tail).mean() > 1e-4


class _Telling(Espeak):
    """Tells when the first samples have come."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def _collect(self, samples: Any, count: int, events: int) -> int:
        self.begun.set()
        return super()._collect(samples, count, events)


def test_a_long_text_ends_soon_when_it_is_stopped() -> None:
    model = _Telling()
    model.load(CARDS["espeak"], "cpu")
    found: list[Result | Exception] = []
    long = Input("text-to-speech", {"text": "The boat leaves at noon. " * 40_000})
    thread = threading.Thread(target=lambda: found.extend(model.run([long, long])), daemon=True)
    thread.start()
    assert model.begun.wait(20)
    model.stop()
    thread.join(10)  # spoken to the end, the two texts take more than two minutes
    assert [type(one) for one in found] == [StoppedError, StoppedError]
    model.stopping.clear()
    (after,) = model.run([Input("text-to-speech", {"text": "One boat."})])
    assert isinstance(after, Result)
    assert after.audio is not None
    assert 0.5 < len(after.audio.samples) / after.audio.rate < 2


def _ratio(clean: NDArray[np.float32], heard: NDArray[np.float32]) -> float:
    """Of signal to noise, in decibels."""
    return float(10 * np.log10(np.square(clean).sum() / np.square(heard - clean).sum()))


def cleaned(audio: Audio) -> Audio:
    result = answer("noisereduce", audio=audio).audio
    assert result is not None
    assert result.rate == audio.rate
    assert result.samples.shape == audio.samples.shape
    assert result.samples.dtype == np.float32
    assert np.isfinite(result.samples).all()
    return result


def test_noise_on_speech_is_lowered() -> None:
    speech = spoken("The harbour ferry leaves at noon. Please be at the pier ten minutes before.")
    clean = mono(Audio(speech.samples * np.float32(0.6), speech.rate), RATE)
    heard = noisy(clean)
    before, after = _ratio(clean.samples, heard.samples), _ratio(clean.samples, cleaned(heard).samples)
    assert 2 < before < 6
    assert after > before + 3


def test_the_noisy_example_becomes_quieter_where_nobody_speaks() -> None:
    heard = recording("noisy.wav")
    result = cleaned(heard)
    pause = np.square(quietest(result.samples, RATE // 8)).mean()
    assert pause < np.square(quietest(heard.samples, RATE // 8)).mean() / 20
    assert np.square(result.samples).mean() > np.square(heard.samples).mean() / 3


def test_steady_noise_alone_is_lowered_by_a_lot() -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.square(cleaned(Audio(hiss, RATE)).samples).mean() < 0.1 * np.square(hiss).mean()


def test_channels_are_cleaned_on_their_own() -> None:
    hiss = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    left = np.where(np.arange(RATE) % 8000 < 4000, hiss + tone(1.0), hiss).astype(np.float32)
    both = cleaned(Audio(np.stack([left, hiss], axis=1), RATE)).samples
    assert np.allclose(both[:, 0], cleaned(Audio(left, RATE)).samples)
    assert np.allclose(both[:, 1], cleaned(Audio(hiss, RATE)).samples)


@pytest.mark.parametrize("rate", [1000, 8000, 44_100, 192_000])
@pytest.mark.parametrize("length", [1, 2, 100, 513, 5000])
def test_clips_of_any_length_and_rate_keep_their_shape(length: int, rate: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (length, 2)).astype(np.float32)
    cleaned(Audio(samples, rate))
    cleaned(Audio(samples[:, 0], rate))


def test_a_long_recording_is_cleaned_in_pieces_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    beat = np.where(np.arange(8000 * 45) % 8000 < 4000, 0.2, 0.01)
    heard = Audio((beat * rng.normal(0, 1, len(beat))).astype(np.float32), 8000)
    pieces = cleaned(heard).samples
    monkeypatch.setattr(noisereduce, "_PIECE", 60.0)
    assert np.abs(pieces - cleaned(heard).samples).max() < 1e-6


def test_silence_stays_silent_and_is_no_model_of_the_noise() -> None:
    assert not cleaned(Audio(np.zeros(8000, np.float32), 8000)).samples.any()
    hiss = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    begun_late = np.concatenate([np.zeros(8000, np.float32), hiss])
    assert np.square(cleaned(Audio(begun_late, 8000)).samples).mean() < 0.1 * np.square(begun_late).mean()


def test_a_rate_too_low_for_sound_is_refused() -> None:
    (found,) = answers("noisereduce", {"audio": Audio(np.ones(50, np.float32), 100)})
    assert isinstance(found, InputError)
    assert "at least 1000 Hz" in str(found)
