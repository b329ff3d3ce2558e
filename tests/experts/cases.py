"""What each task is asked, eight times over, and what its answers must be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.experts.media import RATE, SECONDS, SIDES, film, flowers, hole, houses, scene, tone
from tests.experts.models import CONTROLS
from tests.support.expert_models import Ran

Args = Callable[[int], dict[str, Any]]
Check = Callable[[Ran, int], None]

SMALL = {"width": "64", "height": "64"}

WORDS = ("cat", "dog", "car", "house", "man", "woman", "city", "movie")


@dataclass(frozen=True)
class Case:
    """The arguments of the n-th call, and a check of what the task with that id gave."""

    args: Args
    check: Check


def _sentence(number: int) -> str:
    return f"the {WORDS[number % 8]} sat on the mat in paris" + " and the dog is good" * (number % 4)


def _picture(number: int) -> dict[str, Any]:
    return {"image": scene(number)}


def _labels(ran: Ran, task: int) -> None:
    """Classes with scores, the best first."""
    found = ran.one(task)
    scores = [row["score"] for row in found.data]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(isinstance(row["label"], str) and row["label"] for row in found.data)
    assert found.text


def _shares(ran: Ran, task: int) -> None:
    """Classes of which one must be: their scores sum to one."""
    _labels(ran, task)
    assert sum(row["score"] for row in ran.one(task).data) == pytest.approx(1, abs=2e-3)


def _words(ran: Ran, task: int) -> None:
    """Words of a tiny model: any, but words."""
    assert ran.one(task).text


def _entities(ran: Ran, task: int) -> None:
    text = _sentence(task)
    for row in ran.one(task).data:
        assert text[row["start"] : row["end"]] == row["word"]
        assert row["entity"]
        assert 0 <= row["score"] <= 1


def _filled(ran: Ran, task: int) -> None:
    found = ran.one(task)
    assert "[MASK]" not in (found.text or "")
    assert (found.text or "").startswith("the")


def _answer(ran: Ran, task: int) -> None:
    found, context = ran.one(task), _sentence(task)
    assert 0 <= found.data["score"] <= 1
    if found.data["answer"]:
        assert context[found.data["start"] : found.data["end"]] == found.data["answer"]


def _likeness(ran: Ran, task: int) -> None:
    assert -1.001 <= ran.one(task).data["score"] <= 1.001


def _vector(ran: Ran, task: int) -> None:
    vector = ran.one(task).data
    assert len(vector) == 32
    assert all(np.isfinite(vector))


def _rows(ran: Ran, task: int) -> None:
    """A class for each row of the table."""
    found = ran.one(task)
    assert found.text
    assert [row["label"] for row in found.data] == ["daisy", "tulip"]


def _boxes(ran: Ran, task: int) -> None:
    """Boxes that lie inside the picture, and the picture with them drawn."""
    height, width = SIDES
    found = ran.one(task)
    assert ran.image(task).pixels.shape[:2] == SIDES
    for row in found.data:
        box = row["box"]
        assert 0 <= box["xmin"] <= box["xmax"] <= width
        assert 0 <= box["ymin"] <= box["ymax"] <= height
        assert 0 <= row["score"] <= 1
        assert row["label"]
    assert found.text


def _masks(ran: Ran, task: int) -> None:
    """Run-length masks of the picture's size whose areas are what they say, and the overlay."""
    found = ran.one(task)
    assert ran.image(task).pixels.shape[:2] == SIDES
    assert found.data
    for row in found.data:
        assert row["mask"]["size"] == list(SIDES)
        counts = row["mask"]["counts"]
        assert sum(counts) == SIDES[0] * SIDES[1]
        assert row["area"] == pytest.approx(sum(counts[1::2]) / sum(counts), abs=1e-3)


def _same_size(ran: Ran, task: int) -> None:
    """A picture of the given one's size that shows something."""
    pixels = ran.image(task).pixels
    assert pixels.shape[:2] == SIDES
    assert pixels.std() > 0


def _drawn(ran: Ran, task: int) -> None:
    """A picture that shows something."""
    assert ran.image(task).pixels.std() > 1


def _unmasked_kept(ran: Ran, task: int) -> None:
    """Outside the mask the picture is as it was."""
    pixels = ran.image(task).pixels
    assert pixels.shape[:2] == SIDES
    kept = hole().pixels == 0
    before = scene(task).pixels[kept].astype(int)
    assert np.mean(np.abs(pixels[..., :3][kept].astype(int) - before) <= 2) > 0.98


def _filmed(ran: Ran, task: int) -> None:
    """A video that decodes frame by frame."""
    video = ran.video(task)
    assert video.frames.ndim == 4
    assert len(video.frames) >= 2
    assert video.frames.std() > 1
    assert video.rate > 0


def _heard(ran: Ran, task: int) -> None:
    """Finite sound, neither empty nor over its range."""
    sound = ran.audio(task)
    assert sound.rate > 0
    assert sound.samples.size > 10
    assert np.isfinite(sound.samples).all()
    assert np.abs(sound.samples).max() <= 1


def _a_quarter(ran: Ran, task: int) -> None:
    """A quarter of a second, as asked."""
    _heard(ran, task)
    sound = ran.audio(task)
    assert len(sound.samples) / sound.rate == pytest.approx(0.25, abs=0.05)


def _as_long(ran: Ran, task: int) -> None:
    """Sound as the recording; its length is up to the voice."""
    _heard(ran, task)
    assert len(ran.audio(task).samples) / RATE < 60 * SECONDS


def _fast(**args: Any) -> dict[str, Any]:
    return {"steps": "2", "seed": "7", **args}


CASES: Mapping[str, Case] = {
    "text-classification": Case(lambda n: {"text": _sentence(n)}, _shares),
    "token-classification": Case(lambda n: {"text": _sentence(n)}, _entities),
    "fill-mask": Case(lambda n: {"text": f"the [MASK] sat on the {WORDS[n]}"}, _filled),
    "zero-shot-classification": Case(lambda n: {"text": _sentence(n), "labels": "city, film, dog"}, _shares),
    "question-answering": Case(lambda n: {"question": "where is the dog", "context": _sentence(n)}, _answer),
    "sentence-similarity": Case(lambda n: {"text1": _sentence(n), "text2": "the cat sat"}, _likeness),
    "feature-extraction": Case(lambda n: {"text": _sentence(n)}, _vector),
    "summarization": Case(lambda n: {"text": _sentence(n), "max_new_tokens": "12"}, _words),
    "text2text-generation": Case(lambda n: {"text": _sentence(n), "max_new_tokens": "12"}, _words),
    "translation": Case(
        lambda n: {"text": _sentence(n), "target_language": "French", "max_new_tokens": "12"}, _words
    ),
    "conversational": Case(lambda n: {"text": _sentence(n), "max_new_tokens": "8", "seed": "5"}, _words),
    "text-generation": Case(lambda n: {"text": _sentence(n), "max_new_tokens": "8", "seed": "5"}, _words),
    "table-question-answering": Case(
        lambda n: {"table": houses(), "text": f"what is the age of {('alice', 'bob')[n % 2]}"}, _words
    ),
    "tabular-classification": Case(lambda n: {"table": flowers()}, _rows),
    "image-classification": Case(_picture, _shares),
    "object-detection": Case(lambda n: {"image": scene(n), "threshold": "0.2"}, _boxes),
    "zero-shot-image-classification": Case(lambda n: {"image": scene(n), "labels": "cat, dog"}, _shares),
    "zero-shot-object-detection": Case(lambda n: {"image": scene(n), "labels": "cat, dog"}, _boxes),
    "image-segmentation": Case(_picture, _masks),
    "seg-control": Case(_picture, _same_size),
    "mask-generation": Case(_picture, _masks),
    "depth-estimation": Case(_picture, _same_size),
    "depth-control": Case(_picture, _same_size),
    "normal-control": Case(_picture, _same_size),
    "image-to-text": Case(lambda n: {"image": scene(n), "max_new_tokens": "8"}, _words),
    "visual-question-answering": Case(lambda n: {"image": scene(n), "text": "is it a cat"}, _words),
    "image-text-to-text": Case(
        lambda n: {"image": scene(n), "text": "what is this", "max_new_tokens": "8"}, _words
    ),
    "document-question-answering": Case(lambda n: {"image": scene(n), "text": "what is the total"}, _words),
    "video-classification": Case(lambda n: {"video": film(n)}, _shares),
    "automatic-speech-recognition": Case(lambda n: {"audio": tone(n)}, lambda ran, n: None),
    "audio-classification": Case(lambda n: {"audio": tone(n)}, _labels),
    "text-to-speech": Case(lambda n: {"text": _sentence(n), "seed": "3"}, _heard),
    "audio-to-audio": Case(lambda n: {"audio": tone(n), "seed": "3"}, _as_long),
    "text-to-audio": Case(lambda n: {"text": _sentence(n), "seed": "3", "seconds": "0.25"}, _a_quarter),
    "text-to-image": Case(lambda n: _fast(text=_sentence(n), seed=str(n)), _drawn),
    "image-to-image": Case(lambda n: _fast(image=scene(n), text="make it red"), _drawn),
    "inpainting": Case(lambda n: _fast(image=scene(n), text="a red house", mask=hole()), _unmasked_kept),
    **{
        f"{control}-text-to-image": Case(lambda n: _fast(image=scene(n), text=_sentence(n)), _drawn)
        for control in CONTROLS
    },
    "text-to-video": Case(lambda n: _fast(text=_sentence(n), frames="4", **SMALL), _filmed),
    "image-to-video": Case(lambda n: _fast(image=scene(n), frames="2", **SMALL), _filmed),
}
