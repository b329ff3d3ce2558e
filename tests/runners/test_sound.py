"""Recordings under labels."""

from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Audio
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import audio, text

TASK = "audio-classification"
EVERY = (audio.classifier, audio.classifier_layered, audio.spectrograms)


def noise(seconds: float, seed: int = 0) -> Audio:
    made = np.random.default_rng(seed).standard_normal(round(seconds * 16_000))
    return Audio((0.1 * made).astype(np.float32), 16_000)


@pytest.mark.parametrize("builder", EVERY, ids=lambda builder: builder.__name__)
def test_a_recording_is_sorted_under_the_models_labels(builder: Any) -> None:
    result = ask(shared(TASK, builder, TASK), TASK, audio=noise(1.0))
    scores = [entry["score"] for entry in result.data]
    assert {entry["label"] for entry in result.data} == {"cat", "dog", "car"}
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert result.text is not None
    assert result.text.startswith(result.data[0]["label"])


def test_scores_of_labels_of_which_one_is_right_sum_to_one() -> None:
    result = ask(shared(TASK, audio.classifier, TASK), TASK, audio=noise(1.0))
    assert sum(entry["score"] for entry in result.data) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("builder", EVERY, ids=lambda builder: builder.__name__)
def test_eight_at_once_are_as_eight_alone(builder: Any) -> None:
    runner = shared(TASK, builder, TASK)
    several = [{"audio": noise(0.3 + 0.2 * (n // 2), n)} for n in range(8)]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone], 2e-4)


def test_a_long_recording_is_sorted_by_the_mean_of_its_parts() -> None:
    runner = shared(TASK, audio.spectrograms, TASK)  # it hears 1.28 s at once
    halves = [noise(1.0, 1), noise(1.0, 2)]
    both = Audio(np.concatenate([half.samples for half in halves]), 16_000)
    found = {entry["label"]: entry["score"] for entry in ask(runner, TASK, audio=both).data}
    parts = [
        {entry["label"]: entry["score"] for entry in ask(runner, TASK, audio=half).data} for half in halves
    ]
    for label, score in found.items():
        assert score == pytest.approx(np.mean([part[label] for part in parts]), abs=2e-4)


def test_fewer_labels_on_demand() -> None:
    runner = shared(TASK, audio.classifier, TASK)
    assert len(ask(runner, TASK, audio=noise(0.5), top_k="2").data) == 2
    with pytest.raises(InputError, match="top_k must be a number"):
        ask(runner, TASK, audio=noise(0.5), top_k="all")


def test_no_recording_is_refused() -> None:
    with pytest.raises(InputError, match="needs a recording"):
        ask(shared(TASK, audio.classifier, TASK), TASK, audio="a.wav")


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (audio.headless, r"missing: classifier\.bias, classifier\.weight, projector\.bias"),
        (audio.ctc, r"unexpected: lm_head"),
        (text.classifier, "BertForSequenceClassification cannot do audio-classification"),
    ],
)
def test_a_model_of_another_kind_is_refused(builder: Any, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        opened(TASK, builder, TASK)


def test_a_call_that_nobody_waits_for_is_stopped() -> None:
    runner = opened(TASK, audio.classifier, TASK)
    runner.stop()
    with pytest.raises(StoppedError):
        ask(runner, TASK, audio=noise(0.5))
