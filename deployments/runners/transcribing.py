"""Recordings written down: speech recognition.

Whisper: arXiv 2212.04356, with its own long-form decoding (section 3.8) for what is over half a minute.
"""

import re
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from deployments.errors import ExpertError, InputError
from deployments.media import Audio
from deployments.result import Input, Result
from deployments.runners import languages
from deployments.runners.listening import FrameEar, Heard, WholeEar, chunk
from deployments.runners.neural import NeuralRunner
from deployments.runners.sound import SILENT, Wave, groups, wave_of

_MULTILINGUAL = 51_865  # entries of the vocabulary of Whispers of many languages
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_TRANSDUCERS = ("parakeet_tdt", "parakeet_rnnt")


class Transcriber(NeuralRunner):
    """Writes down what is said, with times.

    Whisper and models of its kind, CTC models (wav2vec2, HuBERT, Parakeet), transducers (Parakeet TDT) and
    small models that write a short recording in one go (Moonshine).
    """

    _ear: "FrameEar | WholeEar | WhisperEar"

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        config = self.load_processor(transformers.AutoConfig)
        kind = config.model_type
        whole = kind == "whisper" or kind in WholeEar.PACE
        if kind in _TRANSDUCERS:
            auto = transformers.AutoModelForTDT if kind == "parakeet_tdt" else transformers.AutoModelForRNNT
        elif type(config) in transformers.AutoModelForCTC._model_mapping:
            auto = transformers.AutoModelForCTC
        else:
            auto = transformers.AutoModelForSpeechSeq2Seq
            if not whole and type(config) in auto._model_mapping:
                raise ExpertError(
                    f"A {kind} model wants instructions beside a recording, which this release does not "
                    "give; use a Whisper, wav2vec2, Parakeet or Moonshine model."
                )
        model = self.load_model(auto)
        extractor = self.load_processor(transformers.AutoFeatureExtractor)
        tokenizer = self.load_processor(transformers.AutoTokenizer)
        made = WhisperEar if kind == "whisper" else WholeEar if whole else FrameEar
        self._ear = made(model, extractor, tokenizer, self.card.batch_size)
        self._rate = int(extractor.sampling_rate)

    def key(self, item: Input) -> Hashable:
        """Long recordings apart from short ones, which would wait for them."""
        audio = item.args.get("audio")
        return isinstance(audio, Audio) and len(audio.samples) > 30 * audio.rate

    def ready(self, item: Input) -> tuple[Wave, str]:
        """The samples at the model's rate, and the code of the language that is spoken, if it was told."""
        language = self.word(item, "language")
        if not isinstance(self._ear, WhisperEar):
            if language:
                raise InputError(f"{self.card.id} cannot be told a language; leave 'language' out.")
            return wave_of(item, self._rate), ""
        return wave_of(item, self._rate), self._ear.language(language)

    def infer(self, items: Sequence[tuple[Wave, str]]) -> list[Result]:
        """The words; phrases with their times in seconds, and the language where it is known, as data."""
        spoken = [item for item in items if np.abs(item[0]).max() > SILENT]
        heard: list[Heard] = []
        if isinstance(self._ear, WhisperEar):
            heard = self._ear.hear([wave for wave, _ in spoken], [language for _, language in spoken])
        elif spoken:
            heard = self._ear.hear([wave for wave, _ in spoken])
        told = iter(heard)
        return [
            _result(next(told) if np.abs(wave).max() > SILENT else Heard("", [], language))
            for wave, language in items
        ]


class WhisperEar:
    """A Whisper model: it tells the language, and phrases with times, of recordings of any length."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Any, most: int) -> None:
        """Take a model with its processors, and the most recordings of one model call."""
        self._model, self._extractor, self._tokenizer, self._most = model, extractor, tokenizer, most
        self._rate = int(extractor.sampling_rate)
        self._settings = _completed(model.generation_config, tokenizer, model.config.vocab_size)
        self._codes = dict(getattr(self._settings, "lang_to_id", None) or {})
        self._multilingual = bool(self._settings.is_multilingual and self._codes)

    def language(self, written: str) -> str:
        """The code of a language as a person writes it: ``fr``, ``fr-CA``, ``French``; empty for none.

        Raises:
            InputError: the model does not know it.

        """
        if not written:
            return ""
        known = [token.strip("<|>") for token in self._codes] if self._multilingual else ["en"]
        code = languages.choose(written.strip("<|> "), known)
        if code is None:
            told = languages.told(known) if self._multilingual else "English only"
            raise InputError(f"This model does not know the language {written[:40]!r}; it knows {told}.")
        return code if self._multilingual else ""

    def hear(self, waves: Sequence[Wave], languages: Sequence[str]) -> list[Heard]:
        """What each recording says; a language that was not told is found by ear."""
        heard = [Heard("")] * len(waves)
        long = [len(wave) > self._extractor.n_samples for wave in waves]
        for group in groups(long, False, self._most):
            features = [self._features(waves[index], long[index]) for index in group]
            told = [languages[index] for index in group]
            for index, found in zip(group, self._heard(features, told), strict=True):
                heard[index] = found(len(waves[index]) / self._rate)
        return heard

    def _features(self, wave: Wave, long: bool) -> Any:
        """The spectrogram, bands × frames of 10 ms; of half a minute where the recording is no longer."""
        more = {"truncation": False, "padding": "longest"} if long else {}
        made = self._extractor(wave, sampling_rate=self._rate, return_tensors="pt", **more)
        return made.input_features[0]

    def _heard(self, features: Sequence[Any], languages: Sequence[str]) -> list[Any]:
        import torch

        frames = torch.tensor([each.shape[1] for each in features])
        # Each recording's spectrogram is made on its own, so that its neighbours do not change it.
        joined = torch.nn.utils.rnn.pad_sequence([each.T for each in features], batch_first=True).mT
        joined = joined.to(self._model.device, self._model.dtype)
        mask = (torch.arange(joined.shape[2]) < frames[:, None]).long().to(joined.device)
        known: list[str] = []
        more: dict[str, Any] = {}
        if self._multilingual:
            known = self._languages(joined, languages)
            more = {"language": [f"<|{code}|>" for code in known], "task": "transcribe"}
        made = self._model.generate(
            joined, attention_mask=mask, return_timestamps=True, return_segments=True, **more
        )
        segments = made["segments"]
        return [
            _Told(self._tokenizer, segments[row], known[row] if known else "en")
            for row in range(len(features))
        ]

    def _languages(self, features: Any, told: Sequence[str]) -> list[str]:
        usual = str(getattr(self._settings, "language", None) or "")
        told = [code or self.language(usual) for code in told]
        if all(told):
            return told
        names = {number: token.strip("<|>") for token, number in self._codes.items()}
        found = self._model.detect_language(features[:, :, : self._extractor.nb_max_frames])
        return [code or names[int(number)] for code, number in zip(told, found, strict=True)]


class _Told:
    """Whisper's segments of one recording."""

    def __init__(self, tokenizer: Any, segments: Sequence[Any], language: str) -> None:
        self._tokenizer, self._segments, self._language = tokenizer, segments, language

    def __call__(self, seconds: float) -> Heard:
        """What a recording of that length says; what a model hears in the silence behind it is left out."""
        texts, chunks = [], []
        for segment in self._segments:
            text = self._tokenizer.decode(segment["tokens"], skip_special_tokens=True)
            start, end = float(segment["start"]), min(float(segment["end"]), seconds)
            if text.strip() and start < seconds:
                texts.append(text)
                chunks.append(chunk(text.strip(), start, max(start, end)))
        return Heard("".join(texts).strip(), chunks, self._language)


def _completed(settings: Any, tokenizer: Any, entries: int) -> Any:
    """A generation config with what old fine-tunings of Whisper do not say, taken from the vocabulary."""
    tokens = tokenizer.get_vocab()
    if getattr(settings, "no_timestamps_token_id", None) is None:
        settings.no_timestamps_token_id = tokens["<|notimestamps|>"]
    if getattr(settings, "is_multilingual", None) is None:
        settings.is_multilingual = entries >= _MULTILINGUAL
    if settings.is_multilingual and not getattr(settings, "lang_to_id", None):
        settings.lang_to_id = {
            token: number for token, number in tokens.items() if _LANGUAGE.fullmatch(token)
        }
    if settings.is_multilingual and not getattr(settings, "task_to_id", None):
        settings.task_to_id = {name: tokens[f"<|{name}|>"] for name in ("transcribe", "translate")}
    return settings


def _result(heard: Heard) -> Result:
    data: dict[str, Any] = {"text": heard.text, "chunks": heard.chunks}
    if heard.language:
        data["language"] = heard.language
    return Result(text=heard.text, data=data)
