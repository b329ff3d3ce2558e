"""Recordings said anew: in another voice, or in another language.

SpeechT5: arXiv 2110.07205. SeamlessM4T v2: arXiv 2312.05187.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from deployments.errors import ExpertError, InputError
from deployments.media import Audio
from deployments.result import Input, Result
from deployments.runners import languages
from deployments.runners.neural import NeuralRunner
from deployments.runners.sound import SILENT, Wave, quiet_parts, sounding, wave_of
from deployments.runners.speech import Voices, seed_of, seeded, vocoder

_PART = 20.0  # seconds of a recording that are said anew at once
_LONGER = 3.0  # how many times as many steps as the recording's own speech may take

_SPARE = ("text_encoder.*",)  # of SeamlessM4T's whole checkpoint; reading texts is another task's


class _Ask(NamedTuple):
    wave: Wave
    voice: str
    language: str
    seed: int


class VoiceConverter(NeuralRunner):
    """Says recordings in another voice (SpeechT5), or in another language (SeamlessM4T v2).

    SpeechT5 needs its vocoder under ``parts``; its voices are those of ``Speaker``.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import torch
        import transformers

        kind = self.load_processor(transformers.AutoConfig).model_type
        self._seamless = kind == "seamless_m4t_v2"
        if kind not in ("speecht5", "seamless_m4t_v2"):
            raise ExpertError(
                f"This release cannot change recordings with a {kind} model; use SpeechT5's voice conversion "
                "or SeamlessM4T v2."
            )
        self._extractor = self.load_processor(transformers.AutoFeatureExtractor)
        self._rate = int(self._extractor.sampling_rate)
        if self._seamless:
            self._model = self.load_model(transformers.SeamlessM4Tv2ForSpeechToSpeech, spare=_SPARE)
            self._model.vocoder.float()  # half precision can be heard
            self.stoppable(self._model.text_decoder)
            self._made_rate = int(self._model.config.sampling_rate)
            return
        if self.card.dtype is None:
            self.dtype = torch.float32  # the model is small, and half precision can be heard
        self._model = self.load_model(transformers.SpeechT5ForSpeechToSpeech)
        self.stoppable(self._model.speecht5.decoder.prenet)
        self._vocoder = vocoder(self)
        self._made_rate = int(self._vocoder.config.sampling_rate)
        self._voices = Voices(self, self._model.config.speaker_embedding_dim)

    def ready(self, item: Input) -> _Ask:
        """The samples at the model's rate, the voice or the language that is wanted, and the seed."""
        wanted, voice = self.word(item, "target_language"), self.word(item, "voice")
        if self._seamless:
            wanted = self._language(wanted or "English")
        elif wanted:
            raise InputError(
                f"{self.card.id} changes the voice and keeps the language; leave 'target_language' out."
            )
        else:
            self._voices.vector(voice)
        return _Ask(wave_of(item, self._rate), voice, wanted, seed_of(self, item))

    def infer(self, items: Sequence[_Ask]) -> list[Result]:
        """The speech, float32 mono at the model's own rate; the seed as data."""
        # One after the other: recordings differ in length, and SpeechT5 draws random numbers for each.
        return [self._said(item) for item in items]

    def _said(self, ask: _Ask) -> Result:
        waves = []
        with seeded(ask.seed, self.device):
            for _, part in quiet_parts(ask.wave, self._rate, _PART):
                self.check_stopped()
                silent = np.abs(part).max() < SILENT
                waves.append(
                    np.zeros(round(len(part) / self._rate * self._made_rate), np.float32)
                    if silent
                    else sounding(self._part(part, ask), self._made_rate).samples
                )
        return Result(audio=Audio(np.concatenate(waves), self._made_rate), data={"seed": ask.seed})

    def _part(self, wave: Wave, ask: _Ask) -> Any:
        if self._seamless:
            features = self._extractor(wave, sampling_rate=self._rate, return_tensors="pt")
            features = features.to(self.device, self._model.dtype)
            made, lengths = self._model.generate(**features, tgt_lang=ask.language)
            return made.reshape(-1)[: int(lengths.flatten()[0])]
        features = self._extractor(audio=wave, sampling_rate=self._rate, return_tensors="pt")
        return self._model.generate_speech(
            features.input_values.to(self.device, self._model.dtype),
            self._voices.vector(ask.voice),
            vocoder=self._vocoder,
            maxlenratio=_LONGER,
        )

    def _language(self, written: str) -> str:
        """The model's code of a language: ``fra`` for ``fra``, ``fr`` or ``French``.

        Raises:
            InputError: the model does not speak it.

        """
        known = list(self._model.generation_config.vocoder_lang_code_to_id)
        found = languages.choose(written, known)
        if found is None:
            raise InputError(
                f"{self.card.id} does not speak {written[:40]!r}; name one of {languages.told(known)}."
            )
        return found
