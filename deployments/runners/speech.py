"""Texts read aloud.

VITS: arXiv 2106.06103; MMS, of a thousand languages: arXiv 2305.13516. SpeechT5: arXiv 2110.07205.
"""

import hashlib
import re
import secrets
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from deployments.errors import ExpertError, InputError
from deployments.media import Audio
from deployments.result import Input, Result
from deployments.runners import numerals, sentences
from deployments.runners.neural import NeuralRunner
from deployments.runners.single import text_of
from deployments.runners.sound import sounding

_PAUSE = 0.25  # seconds between sentences
_LONGEST = {"vits": 400, "bark": 160}  # letters that a model reads in one breath
_SEEDS = 2**31
_DIGIT = re.compile(r"\d")

Spoken = tuple[list[str], str, int]
"""Sentences, the voice's name, and the seed."""


class Speaker(NeuralRunner):
    """Reads texts aloud, sentence by sentence, with VITS, SpeechT5 or Bark.

    Each of them draws random numbers; the same seed gives the same speech. SpeechT5 needs its vocoder under
    ``parts``, and may have voices there: a folder ``speakers`` of safetensors with an x-vector for each name.
    """

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import torch
        import transformers

        config = self.load_processor(transformers.AutoConfig)
        self._kind = config.model_type
        if self.card.dtype is None:
            self.dtype = torch.float32  # these models are small, and half precision can be heard
        auto = transformers.AutoModelForTextToWaveform
        if self._kind == "speecht5":
            auto = transformers.AutoModelForTextToSpectrogram
        elif self._kind not in _LONGEST and type(config) in auto._model_mapping:
            raise ExpertError(
                f"This release cannot read aloud with a {self._kind} model; use a VITS (as MMS-TTS), "
                "SpeechT5 or Bark model."
            )
        self._model = self.load_model(auto)
        # SpeechT5's can write numbers out.
        more: dict[str, Any] = {"normalize": True} if self._kind == "speecht5" else {}
        self._tokenizer = self.load_processor(transformers.AutoTokenizer, **more)
        self._longest = _LONGEST.get(self._kind, 0)
        self._spells = self._kind == "speecht5"
        if self._kind == "vits":
            self._check_reading()
            known = self._tokenizer.get_vocab()
            digits = self._tokenizer.phonemize or all(digit in known for digit in "0123456789")
            self._spells = not digits and str(self._tokenizer.language).lower().startswith("en")
            self._rate = int(self._model.config.sampling_rate)
        elif self._kind == "bark":
            self._rate = int(self._model.generation_config.sample_rate)
            for stage in (self._model.semantic, self._model.coarse_acoustics, self._model.fine_acoustics):
                self.stoppable(stage)
        else:
            self._longest = int(self._model.config.max_text_positions) - 10
            self.stoppable(self._model.speecht5.decoder.prenet)
            self._vocoder = vocoder(self)
            self._rate = int(self._vocoder.config.sampling_rate)
            self._voices = Voices(self, self._model.config.speaker_embedding_dim)

    def ready(self, item: Input) -> Spoken:
        """The sentences, the voice and the seed.

        Raises:
            InputError: there is nothing that can be read, or no such voice.

        """
        words = text_of(item)
        words = numerals.spelled(words) if self._spells else words
        spoken = _breaths(words, self._longest, joined=self._kind == "bark")
        if self._kind == "vits":
            spoken = [part for part in spoken if self._reads(part)]
        if not spoken:
            raise InputError(
                f"{item.task} found no words under 'text' that this model can read; give it words in the "
                "letters of its language, and numbers written out."
            )
        voice = self.word(item, "voice")
        self._check_voice(voice)
        return spoken, voice, seed_of(self, item)

    def infer(self, items: Sequence[Spoken]) -> list[Result]:
        """The speech, float32 mono at the model's own rate; the seed as data."""
        # One after the other: models with random numbers of their own would give neighbours the same ones.
        return [self._spoken(*item) for item in items]

    def _spoken(self, parts: Sequence[str], voice: str, seed: int) -> Result:
        pause = np.zeros(round(_PAUSE * self._rate), np.float32)
        waves: list[Any] = []
        with seeded(seed, self.device):
            for part in parts:
                self.check_stopped()
                if waves:
                    waves.append(pause)
                waves.append(sounding(self._wave(part, voice), self._rate).samples)
        return Result(audio=Audio(np.concatenate(waves), self._rate), data={"seed": seed})

    def _wave(self, text: str, voice: str) -> Any:
        if self._kind == "bark":
            return self._barked(text)
        inputs = self._tokenizer(text, return_tensors="pt").to(self.device)
        if self._kind == "speecht5":
            return self._model.generate_speech(
                inputs.input_ids, self._voices.vector(voice), vocoder=self._vocoder
            )
        more = {"speaker_id": int(voice or 0)} if self._model.config.num_speakers > 1 else {}
        return self._model(**inputs, **more).waveform[0]

    def _barked(self, text: str) -> Any:
        settings = self._model.generation_config.semantic_config
        inputs = self._tokenizer(
            text,
            padding="max_length",
            max_length=int(settings["max_input_semantic_length"]),
            truncation=True,
            add_special_tokens=False,
            return_attention_mask=True,
            return_token_type_ids=False,
            return_tensors="pt",
        ).to(self.device)
        return self._model.generate(**inputs)[0]

    def _reads(self, part: str) -> bool:
        """Whether VITS can read anything of a sentence: it leaves out letters that it does not know.

        Raises:
            InputError: it would leave out a digit, and so read another number.

        """
        read = str(self._tokenizer.prepare_for_tokenization(part)[0])
        if not self._tokenizer.phonemize:
            known = self._tokenizer.get_vocab()
            digits = sum(digit in known for digit in _DIGIT.findall(read))
            if digits < len(_DIGIT.findall(part)):
                raise InputError(f"{self.card.id} cannot read digits; write numbers as words.")
        return bool(read.strip())

    def _check_voice(self, voice: str) -> None:
        if self._kind == "speecht5":
            self._voices.vector(voice)
            return
        count = self._model.config.num_speakers if self._kind == "vits" else 1
        if not voice:
            return
        if count <= 1:
            raise InputError(f"{self.card.id} has one voice only; leave 'voice' out.")
        if not voice.isdecimal() or int(voice) >= count:
            raise InputError(
                f"{self.card.id} numbers its voices 0 to {count - 1}; {voice[:40]!r} is none of them."
            )

    def _check_reading(self) -> None:
        """Refuse a VITS that cannot read letters as they are, where what it needs is not installed."""
        if self._tokenizer.is_uroman and not find_spec("uroman"):
            raise ExpertError(
                f"{self.card.id} reads its language in Latin letters only; install the package uroman, which "
                "writes texts in them."
            )
        if self._tokenizer.phonemize and not find_spec("phonemizer"):
            raise ExpertError(
                f"{self.card.id} reads phonemes; install the package phonemizer and espeak, or use an MMS "
                "model."
            )


def _breaths(text: str, longest: int, *, joined: bool) -> list[str]:
    """Sentences, those that are too long cut between words, or ``joined`` up to ``longest`` letters.

    Bark takes another voice for each, so that there they had better be few.
    """
    breaths: list[str] = []
    for sentence in sentences.split(text):
        for part in textwrap.wrap(sentence, longest, break_on_hyphens=False):
            if joined and breaths and len(breaths[-1]) + len(part) < longest:
                breaths[-1] += f" {part}"
            else:
                breaths.append(part)
    return breaths


class Voices:
    """Voices of SpeechT5: x-vectors of the card's ``speakers``, or synthetic ones.

    Without ``speakers`` the voice is that of the zero vector, and any word stands for a voice that belongs to
    nobody: a direction drawn from the word, which stays the same from call to call.
    """

    def __init__(self, runner: NeuralRunner, size: int) -> None:
        """Read the voices of ``size`` numbers each.

        Raises:
            ExpertError: ``speakers`` holds none that fit.

        """
        self._runner, self._size = runner, size
        folder = runner.parts.get("speakers")
        self._known: dict[str, Any] = {}
        if folder is None:
            return
        from safetensors.torch import load_file

        for path in sorted(folder.glob("*.safetensors")):
            self._known |= {name: vector.flatten() for name, vector in load_file(path).items()}
        if not self._known or any(len(vector) != size for vector in self._known.values()):
            raise ExpertError(
                f"The part 'speakers' of {runner.card.id} must hold safetensors with a vector of {size} "
                "numbers for each voice."
            )

    def vector(self, voice: str) -> Any:
        """The x-vector of a voice, 1 × size.

        Raises:
            InputError: there is no such voice.

        """
        import torch

        if self._known:
            name = voice or min(self._known)
            if name not in self._known:
                known = ", ".join(sorted(self._known)[:20])
                raise InputError(f"There is no voice {voice[:40]!r}; name one of {known}.")
            found = self._known[name]
        elif voice:
            drawn = np.random.default_rng(list(hashlib.sha256(voice.casefold().encode()).digest()))
            found = torch.from_numpy(drawn.standard_normal(self._size))
        else:
            found = torch.zeros(self._size)
        unit = torch.nn.functional.normalize(found.float(), dim=0)
        return unit[None].to(self._runner.device, self._runner.dtype)


def vocoder(runner: NeuralRunner) -> Any:
    """SpeechT5's vocoder, of the card's parts.

    Raises:
        ExpertError: the card has none, or it does not fit.

    """
    import transformers

    folder = runner.parts.get("vocoder")
    if folder is None:
        raise ExpertError(
            f"{runner.card.id} makes spectrograms and needs a vocoder; add "
            '"parts": {"vocoder": "microsoft/speecht5_hifigan"} to its card.'
        )
    return runner.load_model(transformers.SpeechT5HifiGan, folder)


def seed_of(runner: NeuralRunner, item: Input) -> int:
    """The seed of a call, or a fresh one.

    Raises:
        InputError: it is no whole number from 0 to 2147483647.

    """
    given = runner.whole(item, "seed", -1, -1, _SEEDS - 1)
    return given if given >= 0 else secrets.randbelow(_SEEDS)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Random numbers of ``seed`` within; those of everything else go on as if nothing had been."""
    import torch

    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(seed)
        yield
