"""Texts under labels."""

import pytest

from deployments.errors import ExpertError, InputError
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import text


def test_a_text_is_sorted_under_the_models_labels() -> None:
    runner = shared("text-classification", text.classifier, "text-classification")
    result = ask(runner, "text-classification", text="I love this movie")
    scores = [entry["score"] for entry in result.data]
    assert {entry["label"] for entry in result.data} == {"NEGATIVE", "POSITIVE"}
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-3)
    assert result.text is not None
    assert result.text.startswith(result.data[0]["label"])


def test_eight_at_once_are_as_eight_alone() -> None:
    runner = shared("text-classification", text.classifier, "text-classification")
    several = [{"text": "the cat sat " * n} for n in range(1, 9)]
    batch = ask_all(runner, "text-classification", several)
    alone = [ask(runner, "text-classification", **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])


def test_fewer_labels_on_demand() -> None:
    runner = shared("text-classification", text.classifier, "text-classification")
    assert len(ask(runner, "text-classification", text="good", top_k="1").data) == 1
    with pytest.raises(InputError, match="top_k must be a number from 1"):
        ask(runner, "text-classification", text="good", top_k="none")


def test_a_model_without_a_head_is_refused_with_the_missing_weights() -> None:
    with pytest.raises(ExpertError, match=r"missing: classifier\.bias, classifier\.weight"):
        opened("text-classification", text.encoder, "text-classification")
