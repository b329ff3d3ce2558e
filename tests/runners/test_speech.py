"""Texts read aloud."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Audio
from deployments.result import Input
from deployments.runners import numerals
from deployments.runners.base import Runner
from tests.support.neural import ask, ask_all, opened, shared
from tests.support.tiny import audio, speech, text, tiny

TASK = "text-to-speech"
EVERY = (speech.vits, speech.vits_voices, speech.speecht5, speech.bark)


def speaker(builder: Any) -> Runner:
    if builder is not speech.speecht5:
        return shared(TASK, builder, TASK)
    return _with_vocoder()


_opened: list[Runner] = []


def _with_vocoder() -> Runner:
    if not _opened:
        parts = {"vocoder": str(tiny(speech.vocoder))}
        _opened.append(opened(TASK, speech.speecht5, TASK, parts=parts))
    return _opened[0]


def spoken(runner: Runner, words: str = "the cat sat", **more: str) -> Audio:
    found = ask(runner, TASK, text=words, **more).audio
    assert found is not None
    return found


@pytest.mark.parametrize("builder", EVERY, ids=lambda builder: builder.__name__)
def test_a_text_becomes_sound(builder: Any) -> None:
    result = ask(speaker(builder), TASK, text="the cat sat", seed="7")
    assert result.audio is not None
    assert result.audio.rate == 16_000
    assert result.audio.samples.dtype == np.float32
    assert result.audio.samples.ndim == 1
    assert np.isfinite(result.audio.samples).all()
    assert 1e-3 < np.abs(result.audio.samples).max() <= 1
    assert result.data == {"seed": 7}


@pytest.mark.parametrize("builder", EVERY, ids=lambda builder: builder.__name__)
def test_a_seed_tells_the_speech_whatever_its_neighbours(builder: Any) -> None:
    runner = speaker(builder)
    several = [{"text": "the cat " * (1 + n), "seed": str(n)} for n in range(3)]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in reversed(several)][::-1]
    for one, other in zip(batch, alone, strict=True):
        assert one.audio is not None
        assert other.audio is not None
        assert np.array_equal(one.audio.samples, other.audio.samples)
    first, second = (spoken(runner, seed=seed).samples for seed in "12")
    assert not np.array_equal(first, second)


def test_without_a_seed_a_fresh_one_is_drawn_and_told() -> None:
    runner = speaker(speech.vits)
    results = [ask(runner, TASK, text="the cat sat") for _ in range(2)]
    assert results[0].data["seed"] != results[1].data["seed"]
    again = spoken(runner, seed=str(results[0].data["seed"]))
    assert results[0].audio is not None
    assert np.array_equal(again.samples, results[0].audio.samples)


def test_randomness_elsewhere_is_left_as_it_was() -> None:
    import torch

    runner = speaker(speech.vits)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    spoken(runner, seed="1")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("builder", [speech.vits, speech.speecht5], ids=lambda builder: builder.__name__)
def test_sentences_follow_each_other_with_a_pause(builder: Any) -> None:
    runner = speaker(builder)
    one, other = spoken(runner, "The cat sat.", seed="1"), spoken(runner, "The cat sat. A dog.", seed="1")
    pause = other.samples[len(one.samples) : len(one.samples) + 4000]  # a quarter of a second
    assert np.array_equal(other.samples[: len(one.samples)], one.samples)
    assert not pause.any()
    assert other.samples[len(one.samples) + 4000 :].any()


def test_a_text_longer_than_the_model_reads_at_once_is_read_whole() -> None:
    runner = speaker(speech.speecht5)  # it reads 54 letters at once
    short, long = (
        spoken(runner, "the cat sat on a mat and " * 2),
        spoken(runner, "the cat sat on a mat and " * 6),
    )
    assert len(long.samples) > 2.5 * len(short.samples)


def test_bark_says_short_sentences_in_one_breath_and_so_in_one_voice() -> None:
    runner: Any = speaker(speech.bark)
    ready = runner.ready(Input(TASK, {"text": "The cat sat. " * 20, "seed": "1"}))
    assert [len(breath) for breath in ready[0]] == [155, 103]


def test_what_a_voice_cannot_read_is_left_out_or_refused() -> None:
    runner = speaker(speech.vits)
    one, other = spoken(runner, "The cat.", seed="1"), spoken(runner, "The cat. 你好。", seed="1")
    assert np.array_equal(one.samples, other.samples)
    with pytest.raises(InputError, match="found no words under 'text' that this model can read"):
        spoken(runner, "你好。")
    with pytest.raises(InputError, match="needs words"):
        spoken(runner, "  ")


def test_english_numbers_are_read_as_words() -> None:
    for builder in (speech.vits, speech.speecht5):
        runner: Any = speaker(builder)
        ready = runner.ready(Input(TASK, {"text": "in 1987", "seed": "1"}))
        assert ready[0] == ["in one thousand nine hundred and eighty seven"]
    runner = speaker(speech.vits)
    one, other = spoken(runner, "the 2 cats", seed="1"), spoken(runner, "the two cats", seed="1")
    assert np.array_equal(one.samples, other.samples)


def test_digits_that_a_voice_would_leave_out_are_refused() -> None:
    runner = opened(TASK, vits_german, TASK)
    with pytest.raises(InputError, match="cannot read digits; write numbers as words"):
        spoken(runner, "im jahr 1987")
    assert spoken(runner, "im jahr 11").samples.size  # it knows the 1


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0", "zero"),
        (
            "1,234,567 cats",
            "one million two hundred and thirty four thousand five hundred and sixty seven cats",
        ),
        ("$3.50 or 10%", "three point five zero dollars or ten percent"),
        ("-5 to 0.5", "minus five to zero point five"),
        ("5-6", "five-six"),
        ("the 3rd, the 21st, the 20th", "the third, the twenty first, the twentieth"),
        ("B2 in the 1990s", "B two in the one thousand nine hundred and ninety s"),
        ("call 0171", "call zero one seven one"),
        ("9" * 40, " ".join(["nine"] * 40)),
        ("no number.", "no number."),
    ],
)
def test_numbers_become_words(written: str, read: str) -> None:
    assert numerals.spelled(written) == read


def test_a_call_is_stopped_between_sentences() -> None:
    runner: Any = opened(TASK, speech.vits, TASK)
    calls = []

    def hook(*_: Any) -> None:
        calls.append(1)
        runner.stopping.set()

    runner._model.register_forward_hook(hook)
    with pytest.raises(StoppedError):
        spoken(runner, "The cat sat. The dog sat. A man sat.")
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("builder", "inner"), [(speech.speecht5, "speecht5.decoder.prenet"), (speech.bark, "semantic")]
)
def test_a_call_is_stopped_within_a_sentence(builder: Any, inner: str) -> None:
    runner: Any = speaker(builder)
    steps = []

    def hook(*_: Any) -> None:
        steps.append(1)
        runner.stopping.set()

    handle = runner._model.get_submodule(inner).register_forward_hook(hook)
    try:
        with pytest.raises(StoppedError):
            spoken(runner, "the cat sat on a mat")
    finally:
        handle.remove()
        runner.stopping.clear()
    assert len(steps) == 1


# Voices -----------------------------------------------------------------------------------------------


def test_a_voice_is_chosen_by_its_number() -> None:
    runner = speaker(speech.vits_voices)
    voices = [spoken(runner, seed="1", voice=voice) for voice in ("0", "1", "2")]
    assert np.array_equal(voices[0].samples, spoken(runner, seed="1").samples)
    assert not np.array_equal(voices[0].samples, voices[1].samples)
    assert not np.array_equal(voices[1].samples, voices[2].samples)
    for voice in ("3", "-1", "anna"):
        with pytest.raises(InputError, match="numbers its voices 0 to 2"):
            spoken(runner, voice=voice)
    with pytest.raises(InputError, match="one voice only"):
        spoken(speaker(speech.vits), voice="1")


def test_a_word_is_a_synthetic_voice_of_speecht5() -> None:
    runner = speaker(speech.speecht5)
    anna, bert, again = (spoken(runner, seed="1", voice=voice) for voice in ("anna", "bert", "Anna"))
    assert np.array_equal(anna.samples, again.samples)
    assert not np.array_equal(anna.samples, bert.samples)
    assert not np.array_equal(anna.samples, spoken(runner, seed="1").samples)


def test_speecht5_speaks_with_the_voices_of_its_card(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"anna": torch.ones(16), "bert": -torch.ones(1, 16)}, tmp_path / "voices.safetensors")
    parts = {"vocoder": str(tiny(speech.vocoder)), "speakers": str(tmp_path)}
    runner = opened(TASK, speech.speecht5, TASK, parts=parts)
    anna, bert = (spoken(runner, seed="1", voice=voice) for voice in ("anna", "bert"))
    assert not np.array_equal(anna.samples, bert.samples)
    assert np.array_equal(anna.samples, spoken(runner, seed="1").samples)
    with pytest.raises(InputError, match="no voice 'carl'; name one of anna, bert"):
        spoken(runner, voice="carl")
    save_file({"anna": torch.ones(512)}, tmp_path / "voices.safetensors")
    with pytest.raises(ExpertError, match="a vector of 16 numbers for each voice"):
        opened(TASK, speech.speecht5, TASK, parts=parts)


# What does not fit ------------------------------------------------------------------------------------


def vits_german(folder: Path) -> None:
    speech.vits(folder, tokenizer={"language": "deu"}, digits="1")


def vits_old(folder: Path) -> None:
    audio.renamed(tiny(speech.vits), folder)


def test_old_names_of_weights_are_known() -> None:
    from safetensors.torch import load_file

    assert any(name.endswith("weight_g") for name in load_file(tiny(vits_old) / "model.safetensors"))
    old, new = opened(TASK, vits_old, TASK), speaker(speech.vits)
    assert np.array_equal(spoken(old, seed="1").samples, spoken(new, seed="1").samples)


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (speech.vits_uroman, "install the package uroman"),
        (speech.vits_phonemes, "install the package phonemizer"),
        (speech.speecht5, r'"parts": {"vocoder": "microsoft/speecht5_hifigan"}'),
        (speech.musicgen, "cannot read aloud with a musicgen model"),
        (audio.ctc, "Wav2Vec2ForCTC cannot do text-to-speech"),
        (text.classifier, "BertForSequenceClassification cannot do text-to-speech"),
    ],
)
def test_a_model_that_cannot_read_here_is_refused(builder: Any, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        opened(TASK, builder, TASK)


def test_another_vocoder_is_refused() -> None:
    with pytest.raises(ExpertError, match="do not fit SpeechT5HifiGan"):
        opened(TASK, speech.speecht5, TASK, parts={"vocoder": str(tiny(speech.vits))})
