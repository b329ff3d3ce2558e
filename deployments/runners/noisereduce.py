"""Stationary noise in recordings, lowered by spectral gating."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from math import log2

import numpy as np
from numpy.typing import NDArray

from deployments.errors import InputError
from deployments.media import Audio
from deployments.result import Input, Result
from deployments.runners.single import SingleRunner, audio_of
from model_catalog.card import ModelCard

_WINDOW = 0.032  # seconds of one spectrum
_PROFILE = 0.25  # seconds of the quietest stretch, which tells the noise
_PIECE = 20.0  # seconds cleaned in one go, so that a call can be stopped
_SHARE = 0.9  # of the noise that goes; what stays hides the gate's own artefacts
_SILENCE = 1e-6  # level below which a sample is digital silence
_SILENT = 0.2  # share of such samples that keeps a stretch from telling the noise
_SLOWEST = 1000  # Hz


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
        self._cleaned(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32), 16_000)

    def answer(self, item: Input) -> Result:
        """The recording with less noise, each channel on its own."""
        audio = audio_of(item)
        if audio.rate < _SLOWEST:
            raise InputError(
                f"{item.task} needs a recording of at least {_SLOWEST} Hz; send one of a higher rate."
            )
        if audio.samples.ndim == 1:
            return Result(audio=Audio(self._cleaned(audio.samples, audio.rate), audio.rate))
        channels = [self._cleaned(channel, audio.rate) for channel in audio.samples.T]
        return Result(audio=Audio(np.stack(channels, axis=1), audio.rate))

    def _cleaned(self, channel: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """One channel (n,) without its noise."""
        window = 2 ** round(log2(rate * _WINDOW))
        # Whole windows, so that the spectra of all pieces lie on one grid and no seam is heard.
        margin, step = 4 * window, round(_PIECE * rate / window) * window
        noise = quietest(channel, round(_PROFILE * rate))
        noise = np.pad(noise, (0, max(0, window - len(noise))), mode="symmetric")
        cleaned = np.empty_like(channel)
        for start in range(0, len(channel), step):
            self.check_stopped()
            before = max(0, start - margin)
            piece = channel[before : start + step + margin]
            gated = self._reduce(
                y=piece, sr=rate, y_noise=noise, stationary=True, prop_decrease=_SHARE,
                n_fft=window, padding=margin, chunk_size=len(piece) + len(noise),
            )  # fmt: skip
            cleaned[start : start + step] = gated[start - before :][:step]
        return np.clip(cleaned, -1.0, 1.0, out=cleaned)


def quietest(channel: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """The stretch of ``length`` samples with the least sound, passing over digital silence."""
    starts = range(0, max(1, len(channel) - length + 1), max(1, length // 4))

    def rank(start: int) -> tuple[bool, float]:
        stretch = channel[start : start + length]
        silent = float((np.abs(stretch) < _SILENCE).mean()) > _SILENT
        return silent, float(np.square(stretch, dtype=np.float64).mean())

    best = min(starts, key=rank)
    return channel[best : best + length]


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
