"""Sounds and music by diffusion: Stable Audio (arXiv 2407.14358), AudioLDM 2 (2308.05734) and their kin."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.errors import ExpertError
from deployments.media import Audio
from deployments.result import Input, Result
from deployments.runners.pipelines import DiffusionRunner, accepts, generators
from deployments.runners.single import text_of

SECONDS = 10.0
"""How long a sound is where nobody says."""

MOST_SECONDS = 300.0

_LENGTHS = ("audio_end_in_s", "audio_length_in_s", "duration", "audio_duration_s")
"""What pipelines call the length of a sound in seconds."""

_TOKENS = 8  # of AudioLDM 2's language model, where its settings do not say


@dataclass(frozen=True, slots=True)
class Sound:
    """One sound to make: arguments of the call that a batch shares, its own ones, and the seed."""

    options: tuple[tuple[str, Any], ...]
    each: tuple[tuple[str, str], ...]
    seed: int

    @property
    def kin(self) -> Hashable:
        """What sounds of one model call share."""
        return self.options, tuple(name for name, _ in self.each)


class SoundMaker(DiffusionRunner):
    """text-to-audio with a pipeline of diffusers."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import torch

        if self.card.dtype is None:
            self.dtype = torch.float32  # half precision can be heard of what makes the waves
        self.pipe = self.pipeline()
        self._length = next((name for name in _LENGTHS if name in accepts(self.pipe)), "")
        other = [task for task in self.card.tasks if task != "text-to-audio"]
        if not self._length or "audio" in accepts(self.pipe) or other:
            raise ExpertError(
                f"A {type(self.pipe).__name__} cannot do {', '.join(other) or 'text-to-audio'}; "
                "give its card the tasks that it was made for."
            )
        self.rate = _rate(self.pipe)
        # Others fill shorter texts up to the longest of a batch, which changes their sounds.
        self._batched = type(self.pipe).__name__ == "StableAudioPipeline"

    def key(self, item: Input) -> Hashable:
        """See ``Runner``."""
        return *map(item.text, ("seconds", "steps", "guidance")), bool(item.text("negative_prompt"))

    def ready(self, item: Input) -> Sound:
        """See ``NeuralRunner``."""
        told = self.prompts(item, self.pipe, text_of(item))
        most = _most(self.pipe)
        options = {
            **self.tuning(item, self.pipe),
            self._length: self.knob(item, "seconds", min(SECONDS, most), min(1.0, most), most),
        }
        if "transcription" in accepts(self.pipe):
            config = self.pipe.language_model.config
            options["max_new_tokens"] = getattr(config, "max_new_tokens", None) or _TOKENS
        return Sound(tuple(options.items()), tuple(told.items()), self.seed(item))

    def infer(self, items: Sequence[Sound]) -> list[Result]:
        """One call for each kind of sound."""
        kinds: dict[Hashable, list[int]] = {}
        for place, sound in enumerate(items):
            kinds.setdefault((sound.kin, None if self._batched else place), []).append(place)
        answers: dict[int, Result] = {}
        for places in kinds.values():
            answers |= zip(places, self._sounds([items[place] for place in places]), strict=True)
        return [answers[place] for place in range(len(items))]

    def _sounds(self, sounds: Sequence[Sound]) -> list[Result]:
        noise: Any = generators([sound.seed for sound in sounds])
        if len(sounds) == 1:
            noise = noise[0]
            told: dict[str, Any] = dict(sounds[0].each)
        else:
            told = {name: [dict(sound.each)[name] for sound in sounds] for name, _ in sounds[0].each}
        found = self.called(self.pipe, **dict(sounds[0].options), **told, generator=noise, output_type="np")
        return [
            Result(audio=self._audio(np.asarray(samples)), data={"seed": sound.seed})
            for sound, samples in zip(sounds, found.audios, strict=True)
        ]

    def _audio(self, samples: Any) -> Audio:
        """The recording; diffusers puts channels first."""
        level = np.clip(np.nan_to_num(samples.astype(np.float32)), -1, 1)
        if level.ndim == 2:
            level = level[0] if len(level) == 1 else level.T
        return Audio(np.ascontiguousarray(level), self.rate)


def _rate(pipe: Any) -> int:
    """Samples a second, as the part that makes the waves says.

    Raises:
        ExpertError: none says.

    """
    for name in ("vocoder", "vae"):
        part = getattr(pipe, name, None)
        rate = getattr(getattr(part, "config", None), "sampling_rate", None) or getattr(
            pipe, "sample_rate", None
        )
        if rate:
            return int(rate)
    raise ExpertError(f"A {type(pipe).__name__} does not say how many samples a second it makes.")


def _most(pipe: Any) -> float:
    """The longest sound that the pipeline makes, in seconds."""
    if "audio_end_in_s" not in accepts(pipe):
        return MOST_SECONDS
    return float(pipe.transformer.config.sample_size * pipe.vae.hop_length / pipe.vae.config.sampling_rate)
