"""What is found out of models before they are loaded, against the same models loaded and at work."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from deployments.media import Audio, Image, Video
from deployments.result import Input
from deployments.runners.neural import NeuralRunner
from deployments.sizing import networks, pictures
from model_catalog.card import ModelCard
from tests.support.measuring import Watch
from tests.support.neural import model_card, opened
from tests.support.tiny import Builder, audio, diffusion, scenes, text, tiny, vision

BATCH = 4
RNG = np.random.default_rng(0)
FILM = " ".join(["alice saw the film"] * 30)


@dataclass(frozen=True)
class Case:
    """A model, and the largest input that it takes; the last of a batch is shorter, so that it is padded."""

    runner: str
    builder: Builder
    task: str
    args: Callable[[bool], dict[str, Any]]
    parts: dict[str, Builder] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.builder.__module__.rpartition('.')[2]}-{self.builder.__name__}"

    @property
    def card(self) -> ModelCard:
        parts = {role: str(tiny(builder)) for role, builder in self.parts.items()}
        return model_card(self.runner, tiny(self.builder), self.task, batch_size=BATCH, parts=parts)

    def estimate(self) -> tuple[int, int]:
        """Bytes of weights and of work, as found without loading."""
        card, folder = self.card, tiny(self.builder)
        if self.runner in ("diffusion", "controlnet"):
            base = tiny(self.parts["base"]) if self.parts else None
            found = pictures.work(card, folder, base, torch.float32)
        else:
            found = networks.work(card, folder, torch.float32)
        return 4 * found.numbers, found.activations + BATCH * found.cache * found.tokens

    def measured(self) -> tuple[int, int]:
        """The same of the loaded model at work."""
        runner = opened(self.runner, self.builder, self.task, batch_size=BATCH, parts=self.card.parts)
        assert isinstance(runner, NeuralRunner)
        watch = Watch(runner)
        items = [Input(self.task, self.args(last)) for last in (False,) * (BATCH - 1) + (True,)]
        return watch.weights, watch.peak(items)


def words(last: bool) -> dict[str, Any]:
    return {"text": FILM[: len(FILM) // (3 if last else 1)]}


def gap(last: bool) -> dict[str, Any]:
    return {"text": "alice saw the [MASK]" + " film" * (40 if last else 120)}


def labelled(last: bool) -> dict[str, Any]:
    return {**words(last), "labels": "a, b, c, d, e, f, g, h"}  # four texts of eight fill a pass of 32 rows


def prompted(last: bool) -> dict[str, Any]:
    return {"text": "hello " * (20 if last else 42), "max_new_tokens": "4"}


def begun(last: bool) -> dict[str, Any]:
    return {"text": "hello " * (4 if last else 10), "max_new_tokens": "4"}


def long(last: bool) -> dict[str, Any]:
    return {"text": 10 * words(last)["text"]}


def rewritten(last: bool) -> dict[str, Any]:
    return {"text": _another(60 if last else 126), "max_new_tokens": "100"}


def mended(last: bool) -> dict[str, Any]:
    return {"text": _another(60 if last else 140), "max_new_tokens": "100"}


def _another(length: int) -> str:
    """A text that differs from the last: equal ones are written once."""
    name = "".join(chr(97 + number) for number in RNG.integers(26, size=8))
    return name + FILM[: length - len(name)]


def shown(_: bool) -> dict[str, Any]:
    return {"image": Image(RNG.integers(0, 255, (768, 1024, 3), dtype=np.uint8))}


def sorted_by(_: bool) -> dict[str, Any]:
    return {
        **shown(False),
        "labels": "cat, " + ", ".join(3 * ["a very long name of what may be on a photograph"]),
    }


def heard(_: bool) -> dict[str, Any]:
    return {"audio": Audio(RNG.uniform(-0.5, 0.5, 30 * 16_000).astype(np.float32), 16_000)}


def said(_: bool) -> dict[str, Any]:
    return {"audio": Audio(RNG.uniform(-0.5, 0.5, 16_000).astype(np.float32), 16_000)}


def filmed(_: bool) -> dict[str, Any]:
    return {"video": Video(RNG.integers(0, 255, (16, 96, 128, 3), dtype=np.uint8), 8.0)}


def drawn(_: bool) -> dict[str, Any]:
    return {"text": "a house", "steps": "2", "seed": "1"}


def changed(_: bool) -> dict[str, Any]:
    return {**drawn(False), **shown(False)}


CASES = [
    Case("text-classification", text.classifier, "text-classification", words),
    Case("token-classification", text.tagger, "token-classification", long),
    Case("fill-mask", text.filler, "fill-mask", gap),
    Case("fill-mask", text.modern_filler, "fill-mask", gap),
    Case("zero-shot-classification", text.judge, "zero-shot-classification", labelled),
    Case("embedding", text.encoder, "feature-extraction", words),
    Case("text2text-generation", text.bart, "text2text-generation", rewritten),
    Case("text2text-generation", text.t5, "text2text-generation", mended),
    Case("text-generation", text.llama, "text-generation", prompted),
    Case("text-generation", text.gpt2, "text-generation", begun),
    Case("image-classification", vision.classifier, "image-classification", shown),
    Case("object-detection", vision.yolos, "object-detection", shown),
    Case("object-detection", vision.detr, "object-detection", shown),
    Case("zero-shot-image-classification", vision.clip, "zero-shot-image-classification", sorted_by),
    Case("image-segmentation", scenes.segformer, "image-segmentation", shown),
    Case("depth-estimation", scenes.dpt, "depth-estimation", shown),
    Case("video-classification", vision.videomae, "video-classification", filmed),
    Case("automatic-speech-recognition", audio.whisper, "automatic-speech-recognition", said),
    Case("automatic-speech-recognition", audio.ctc, "automatic-speech-recognition", heard),
    Case("audio-classification", audio.spectrograms, "audio-classification", heard),
    Case("diffusion", diffusion.stable, "text-to-image", drawn),
    Case("diffusion", diffusion.editor, "image-to-image", changed),
    Case("controlnet", diffusion.controlnet, "canny-text-to-image", changed, {"base": diffusion.stable}),
]


DAILY = {
    "text-classifier",
    "text-llama",
    "audio-whisper",
    "diffusion-stable",
}
"""One of each kind; the others are tried by ``make soak``."""


def _params() -> Iterator[Any]:
    for case in CASES:
        yield pytest.param(case, id=str(case), marks=() if str(case) in DAILY else pytest.mark.soak)


@pytest.mark.parametrize("case", list(_params()))
def test_estimates_are_within_a_tenth_of_loaded_models(case: Case) -> None:
    weights, work = case.estimate()
    loaded, held = case.measured()
    assert weights == loaded, "the weights are known exactly"
    assert weights + work == pytest.approx(loaded + held, rel=0.1)
