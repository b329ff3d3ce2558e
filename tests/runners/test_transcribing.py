"""Recordings written down."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Audio
from deployments.runners.listening import FrameEar
from deployments.runners.sound import Wave, quiet_parts
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import audio, speech, text, tiny

TASK = "automatic-speech-recognition"
RATE = 16_000
EVERY = (
    audio.whisper,
    audio.ctc,
    audio.ctc_layered,
    audio.parakeet,
    audio.parakeet_tdt,
    audio.moonshine,
)


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> Audio:
    made = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return Audio((0.1 * made).astype(np.float32), rate)


@pytest.mark.parametrize("builder", EVERY, ids=lambda builder: builder.__name__)
def test_a_recording_is_written_down_with_times(builder: Any) -> None:
    runner = shared(TASK, builder, TASK)
    result = ask(runner, TASK, audio=noise(1.5))
    assert result.text is not None
    assert result.data["text"] == result.text
    assert result.data["chunks"]
    times = [time for entry in result.data["chunks"] for time in (entry["start"], entry["end"])]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 1.5
    for entry in result.data["chunks"]:
        assert entry["text"] in result.text


@pytest.mark.parametrize("builder", EVERY, ids=lambda builder: builder.__name__)
def test_eight_at_once_are_as_eight_alone(builder: Any) -> None:
    runner = shared(TASK, builder, TASK)
    several = [{"audio": noise(0.3 + 0.1 * (n // 2), n)} for n in range(8)]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone], 0.021)


def test_recordings_of_different_sound_are_written_differently() -> None:
    runner = shared(TASK, audio.ctc, TASK)
    assert ask(runner, TASK, audio=noise(1.0, 1)).text != ask(runner, TASK, audio=noise(1.0, 2)).text


def test_stereo_at_another_rate_and_the_shortest_recording_are_taken() -> None:
    runner = shared(TASK, audio.ctc, TASK)
    stereo = Audio(np.stack([noise(1.0, 1, 44_100).samples] * 2, axis=1), 44_100)
    assert ask(runner, TASK, audio=stereo).data["chunks"][-1]["end"] <= 1.0
    assert ask(runner, TASK, audio=Audio(np.full(3, 0.5, np.float32), 8000)).text is not None


def test_silence_is_no_words() -> None:
    runner = shared(TASK, audio.whisper, TASK)
    several = [{"audio": Audio(np.zeros(RATE, np.float32), RATE)}, {"audio": noise(1.0)}]
    silent, heard = ask_all(runner, TASK, several)
    assert silent.text == ""
    assert silent.data == {"text": "", "chunks": []}
    assert alike(heard.data, ask(runner, TASK, audio=noise(1.0)).data, 0.021)


# Whisper ----------------------------------------------------------------------------------------------


def test_whisper_writes_down_what_is_longer_than_it_hears_at_once() -> None:
    runner = shared(TASK, audio.whisper, TASK)
    several = [{"audio": noise(seconds, 1)} for seconds in (3 * audio.WINDOW + 0.7, 1.0, audio.WINDOW + 1.3)]
    batch = ask_all(runner, TASK, several)
    assert len(batch[0].data["chunks"]) > 2
    assert 3 * audio.WINDOW <= batch[0].data["chunks"][-1]["end"] <= 3 * audio.WINDOW + 0.7
    alone = [ask(runner, TASK, **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone], 0.021)


@pytest.mark.parametrize("written", ["fr", "French", "<|fr|>", "fr-CA"])
def test_whisper_is_told_a_language(written: str) -> None:
    runner = shared(TASK, audio.whisper, TASK)
    result = ask(runner, TASK, audio=noise(1.0), language=written)
    assert result.data["language"] == "fr"


def test_whispers_languages_differ_within_a_batch() -> None:
    runner = shared(TASK, audio.whisper, TASK)
    several = [{"audio": noise(1.0), "language": name} for name in ("en", "fr")]
    batch = ask_all(runner, TASK, several)
    assert [result.data["language"] for result in batch] == ["en", "fr"]
    assert alike([one.data for one in batch], [ask(runner, TASK, **args).data for args in several], 0.021)


def test_whisper_finds_the_language_by_ear() -> None:
    runner = shared(TASK, audio.whisper, TASK)
    assert ask(runner, TASK, audio=noise(1.0)).data["language"] in ("en", "fr")


def test_a_language_that_a_model_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="'Welsh'; it knows English, French"):
        ask(shared(TASK, audio.whisper, TASK), TASK, audio=noise(1.0), language="Welsh")
    with pytest.raises(InputError, match="it knows English only"):
        ask(shared(TASK, audio.whisper_english, TASK), TASK, audio=noise(1.0), language="fr")
    with pytest.raises(InputError, match="leave 'language' out"):
        ask(shared(TASK, audio.ctc, TASK), TASK, audio=noise(1.0), language="en")


def test_a_whisper_of_english_takes_english() -> None:
    runner = shared(TASK, audio.whisper_english, TASK)
    assert ask(runner, TASK, audio=noise(1.0), language="English").data["language"] == "en"


def test_an_old_fine_tuning_of_whisper_tells_times_all_the_same() -> None:
    runner: Any = shared(TASK, audio.whisper_bare, TASK)
    assert runner._ear._settings.no_timestamps_token_id > 0
    assert ask(runner, TASK, audio=noise(2.5)).text is not None


def test_a_whisper_is_stopped_midway() -> None:
    runner: Any = opened(TASK, audio.whisper_english, TASK)
    steps = []

    def hook(*_: Any) -> None:
        steps.append(1)
        runner.stopping.set()

    runner._ear._model.register_forward_hook(hook)
    with pytest.raises(StoppedError):
        ask(runner, TASK, audio=noise(1.0))
    assert len(steps) == 1


# Frame by frame ---------------------------------------------------------------------------------------

_HOP = 320
_MARK = 5


class _Echo:
    """A model whose tokens are the loudness of each frame, which a stub extractor leaves as it is."""

    config = SimpleNamespace(model_type="echo", inputs_to_logits_ratio=_HOP, pad_token_id=0)
    device, dtype = "cpu", None

    def __call__(self, input_values: Any) -> Any:
        frames = input_values[:, : input_values.shape[1] // _HOP * _HOP].unflatten(1, (-1, _HOP))
        tokens = frames.mean(-1).round().long()
        import torch

        return SimpleNamespace(logits=torch.nn.functional.one_hot(tokens, 100))


class _Features(dict[str, Any]):
    def to(self, *_: Any) -> "_Features":
        return self


class _Extractor:
    sampling_rate = RATE

    def __call__(self, waves: Sequence[Wave], **_: Any) -> Any:
        import torch

        return _Features(input_values=torch.from_numpy(np.stack(waves)))


class _Tokenizer:
    pad_token_id, word_delimiter_token = 0, "|"

    def convert_ids_to_tokens(self, numbers: Sequence[int]) -> list[str]:
        return ["|" if number == _MARK else str(number) for number in numbers]

    def decode(self, numbers: Sequence[int], **_: Any) -> str:
        return "".join(" " if number == _MARK else f"<{number}>" for number in numbers)


def _echo(frames: Sequence[int]) -> Any:
    ear = FrameEar(_Echo(), _Extractor(), _Tokenizer(), 4)
    (heard,) = ear.hear([np.repeat(np.array(frames, np.float32), _HOP)])
    return heard


def test_every_frame_of_a_long_recording_is_told_once() -> None:
    frames = [10 + (n // 7) % 50 for n in range(5000)]  # 100 s
    expected = [frames[n] for n in range(0, 5000, 7)]
    text = "".join(f"<{number}>" for number in expected)
    assert _echo(frames).text == text


def test_words_are_parted_by_pauses() -> None:
    blank = [0] * 40  # 0.8 s
    heard = _echo([11, 11, 0, 11, _MARK, 12, _MARK, *blank, 13, 14, *blank, 15])
    # A pause within a word, as of "13 14 15", does not part it.
    assert heard.chunks == [
        {"text": "<11><11> <12>", "start": 0.0, "end": 0.12},
        {"text": "<13><14><15>", "start": 0.94, "end": 1.8},
    ]


def test_a_cut_falls_where_it_is_quiet() -> None:
    wave = noise(50.0).samples.copy()
    wave[round(27.3 * RATE) : round(27.6 * RATE)] = 0
    (_, first), (begin, second) = quiet_parts(wave, RATE, 30.0)
    assert 27.3 <= begin / RATE <= 27.6
    assert np.array_equal(np.concatenate([first, second]), wave)


def test_a_long_recording_is_heard_in_parts_by_a_small_model() -> None:
    runner = shared(TASK, audio.moonshine, TASK)
    result = ask(runner, TASK, audio=noise(40.0))
    assert [entry["start"] > 20 for entry in result.data["chunks"]] == [False, True]
    assert result.data["chunks"][-1]["end"] == 40.0


# What does not fit ------------------------------------------------------------------------------------


def ctc_old(folder: Path) -> None:
    audio.renamed(tiny(audio.ctc), folder, "wav2vec2.masked_spec_embed")


def test_old_names_of_weights_are_known() -> None:
    old, new = opened(TASK, ctc_old, TASK), shared(TASK, audio.ctc, TASK)
    assert ask(old, TASK, audio=noise(1.0)).text == ask(new, TASK, audio=noise(1.0)).text


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (audio.headless, r"missing: lm_head\.bias, lm_head\.weight"),
        (audio.classifier, r"missing: lm_head"),
        (speech.vits, "A model of the kind VitsModel cannot do automatic-speech-recognition"),
        (text.classifier, "BertForSequenceClassification cannot do"),
    ],
)
def test_a_model_of_another_kind_is_refused(builder: Any, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        opened(TASK, builder, TASK)


def chatty(folder: Path) -> None:
    import safetensors.torch
    import transformers as hf

    hf.VoxtralConfig().save_pretrained(folder)
    safetensors.torch.save_file({}, folder / "model.safetensors")


def test_a_model_that_wants_instructions_is_refused() -> None:
    with pytest.raises(ExpertError, match="A voxtral model wants instructions"):
        opened(TASK, chatty, TASK)


def test_no_recording_is_refused() -> None:
    with pytest.raises(InputError, match="needs a recording"):
        ask(shared(TASK, audio.ctc, TASK), TASK, audio=Audio(np.zeros(0, np.float32), RATE))
