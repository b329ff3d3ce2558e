"""Recordings under labels, and what the runners of sound share."""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError
from deployments.media import Audio, mono
from deployments.result import Input, Result
from deployments.runners.neural import NeuralRunner
from deployments.runners.single import audio_of
from deployments.runners.text import labelled

Wave = NDArray[np.float32]
"""One recording: float32 samples in [-1, 1], one channel."""

SILENT = 1e-4
"""Below this amplitude (-80 dB) nobody speaks, whatever a model may hear there."""

_TOP = 5  # labels told, the best first
_WINDOW = 30.0  # seconds that a classifier hears at once
_SHORTEST = 0.25  # seconds; what is shorter gets silence behind it, for every model needs a few frames

_MASKED = frozenset({"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"})
_ALWAYS_MASKED = frozenset({"wav2vec2-bert", "parakeet_ctc", "parakeet_tdt", "parakeet_rnnt"})


class AudioClassifier(NeuralRunner):
    """Sorts recordings under the model's own labels; a long one by the mean over its parts."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        self._model = self.load_model(transformers.AutoModelForAudioClassification)
        self._extractor = self.load_processor(transformers.AutoFeatureExtractor)
        self._rate = int(self._extractor.sampling_rate)
        self._padded = pads_exactly(self._model.config, self._extractor)
        self._window = round(_heard(self._model.config, self._extractor) * self._rate)

    def ready(self, item: Input) -> tuple[Wave, int]:
        """The samples at the model's rate, and how many labels are wanted."""
        return wave_of(item, self._rate), self.whole(item, "top_k", _TOP, 1, 1000)

    def infer(self, items: Sequence[tuple[Wave, int]]) -> list[Result]:
        """The best labels with their scores, the best first."""
        parts = [(n, part) for n, (wave, _) in enumerate(items) for part in _windows(wave, self._window)]
        scores: list[list[Any]] = [[] for _ in items]
        for group in groups([len(part) for _, part in parts], self._padded, self.card.batch_size):
            found = self._scores([parts[index][1] for index in group])
            for index, row in zip(group, found, strict=True):
                scores[parts[index][0]].append(row)
        return [
            self._told(np.mean(rows, axis=0), count) for rows, (_, count) in zip(scores, items, strict=True)
        ]

    def _scores(self, waves: Sequence[Wave]) -> Any:
        """Scores of every label, recordings × labels."""
        # Extractors of spectrograms pad to the model's fixed length by themselves.
        padding = {"padding": True} if self._model.config.model_type != "whisper" else {}
        features = self._extractor(list(waves), sampling_rate=self._rate, return_tensors="pt", **padding)
        logits = self._model(**features.to(self.device, self._model.dtype)).logits.float()
        match self._model.config.problem_type:
            case "regression":
                return logits.cpu().numpy()
            case "multi_label_classification":
                return logits.sigmoid().cpu().numpy()
            case _:
                return logits.softmax(-1).cpu().numpy()

    def _told(self, scores: NDArray[np.float64], count: int) -> Result:
        names = self._model.config.id2label
        order = np.argsort(-scores, kind="stable")[:count]
        return labelled([{"label": names[int(index)], "score": scores[index]} for index in order])


def wave_of(item: Input, rate: int) -> Wave:
    """The recording under ``audio``, one channel at ``rate`` Hz, with silence behind it where it is short.

    Raises:
        InputError: there is none.

    """
    samples = mono(audio_of(item), rate).samples
    short = round(_SHORTEST * rate) - len(samples)
    return np.pad(samples, (0, short)) if short > 0 else samples


def sounding(samples: Any, rate: int) -> Audio:
    """What a model made (a tensor, time first) as a recording in [-1, 1].

    Raises:
        ExpertError: it made nothing, or what is no number.

    """
    made = samples.detach().float().cpu().numpy()
    if not made.size or not np.isfinite(made).all():
        raise ExpertError("The model made no usable sound; ask again with other words or another seed.")
    return Audio(np.clip(made, -1.0, 1.0), rate)


def pads_exactly(config: Any, extractor: Any) -> bool:
    """Whether recordings of several lengths may share a model call without changing each other's result.

    Models that normalize over time before they know which samples are padding (wav2vec2-base) may not.
    """
    if config.model_type in _ALWAYS_MASKED:
        return True
    layered = getattr(config, "feat_extract_norm", "") == "layer"
    return config.model_type in _MASKED and layered and bool(extractor.return_attention_mask)


def groups(lengths: Sequence[Hashable], mixed: bool, most: int) -> Iterator[list[int]]:
    """Indices that share a model call, at most ``most``: of equal length unless lengths may be ``mixed``."""
    buckets: dict[Hashable, list[int]] = {}
    for index, length in enumerate(lengths):
        buckets.setdefault(None if mixed else length, []).append(index)
    for bucket in buckets.values():
        for start in range(0, len(bucket), most):
            yield bucket[start : start + most]


def quiet_parts(wave: Wave, rate: int, longest: float) -> list[tuple[int, Wave]]:
    """Parts of at most ``longest`` seconds with the sample each begins at, cut where it is most quiet."""
    parts, start, limit, block = [], 0, round(longest * rate), max(1, rate // 20)
    while len(wave) - start > limit:
        # Look for the quietest 50 ms in the last quarter of what may be taken.
        first = start + limit - limit // 4
        blocks = wave[first : start + limit]
        count = len(blocks) // block
        energy = np.square(blocks[: count * block].reshape(count, block)).sum(axis=1)
        end = first + int(energy.argmin()) * block + block // 2
        parts.append((start, wave[start:end]))
        start = end
    return [*parts, (start, wave[start:])]


def _heard(config: Any, extractor: Any) -> float:
    """Seconds that a classifier hears at once: what its extractor keeps, or half a minute."""
    if config.model_type == "audio-spectrogram-transformer":
        return float(extractor.max_length) * 0.01  # frames of 10 ms
    return float(getattr(extractor, "chunk_length", None) or _WINDOW)


def _windows(wave: Wave, size: int) -> list[Wave]:
    """Even parts of about ``size`` samples, a tenth more at most."""
    return np.array_split(wave, max(1, math.ceil(len(wave) / size - 0.1)))
