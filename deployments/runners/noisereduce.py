"""Stationary noise in recordings, lowered by spectral gating."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from math import log2

import numpy as np
from numpy.typing import NDArray

from deployments.media import Audio
from deployments.result import Input, Result
from deployments.runners.single import SingleRunner, audio_of
from model_catalog.card import ModelCard

_WINDOW = 0.046  # seconds of one spectrum: 1024 samples at 22 kHz


class NoiseReduce(SingleRunner):
    """Lowers steady noise such as hum and hiss; rate, length and channels stay as they are."""

    def load(self, card: ModelCard, device: str) -> None:
        """Load noisereduce on numpy alone."""
        super().load(card, device)
        with _without("torch"):
            from noisereduce import reduce_noise
        self._reduce = reduce_noise

    def warm_up(self) -> None:
        """Clean a second of noise."""
        self._cleaned(np.random.default_rng(0).normal(0, 0.1, (1, 16_000)).astype(np.float32), 16_000)

    def answer(self, item: Input) -> Result:
        """The recording with less noise, each channel gated on its own."""
        audio = audio_of(item)
        channels = audio.samples[None, :] if audio.samples.ndim == 1 else audio.samples.T
        cleaned = np.empty_like(channels)
        for index in range(len(channels)):
            self.check_stopped()
            cleaned[index] = self._cleaned(channels[index : index + 1], audio.rate)[0]
        samples = cleaned[0] if audio.samples.ndim == 1 else np.ascontiguousarray(cleaned.T)
        return Result(audio=Audio(np.clip(samples, -1.0, 1.0), audio.rate))

    def _cleaned(self, channel: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """One channel, 1 × n, without its noise; a clip shorter than a window is mirrored to its length."""
        window = 2 ** max(3, round(log2(rate * _WINDOW)))
        length = channel.shape[1]
        padded = np.pad(channel, ((0, 0), (0, max(0, window - length))), mode="symmetric")
        cleaned = self._reduce(y=padded, sr=rate, stationary=True, n_fft=window)
        return np.asarray(cleaned, np.float32)[:, :length]


class _Absent(MetaPathFinder):
    """Says that one module is not installed."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == self._module:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Keep what is imported meanwhile from importing ``module``, where it is not loaded already.

    noisereduce takes torch wherever it is installed, for paths that are not used here.
    """
    finder = _Absent(module)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
