"""Answers cut out of a text."""

from typing import Any

import pytest

from deployments.errors import ExpertError, InputError
from deployments.runners.answering import Answerer
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import text

TASK = "question-answering"
LONG = "the cat sat on the mat. " * 60 + "bob is in london."


def answerer() -> Answerer:
    runner = shared(TASK, text.answerer, TASK)
    assert isinstance(runner, Answerer)
    return runner


def leaning(monkeypatch: pytest.MonkeyPatch, word: str) -> Answerer:
    """An answerer that is sure of one word: its logits are high there and nowhere else."""
    runner = answerer()
    number = runner.tokenizer.convert_tokens_to_ids(word)
    forward = runner.model.forward

    def sure(*args: Any, **inputs: Any) -> Any:
        outputs = forward(*args, **inputs)
        outputs.start_logits = outputs.end_logits = 20.0 * (inputs["input_ids"] == number)
        return outputs

    monkeypatch.setattr(runner.model, "forward", sure)
    return runner


def test_an_answer_is_a_piece_of_the_context_with_its_place() -> None:
    context = "Alice is in Paris and Bob is in London"
    found = ask(answerer(), TASK, question="where is alice", context=context)
    if found.data["answer"]:
        assert context[found.data["start"] : found.data["end"]] == found.data["answer"] == found.text
    assert 0 <= found.data["score"] <= 1


def test_the_word_that_the_model_is_sure_of_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = leaning(monkeypatch, "paris")
    found = ask(runner, TASK, question="where is Paris", context="Alice is in Paris, on a hill")
    assert found.text == "Paris"
    assert found.data["answer"] == "Paris"
    assert (found.data["start"], found.data["end"]) == (12, 17)
    assert found.data["score"] > 0.9


def test_an_answer_at_the_end_of_a_long_context_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = leaning(monkeypatch, "london")
    found = ask(runner, TASK, question="where is bob", context=LONG)
    assert (found.text, found.data["start"]) == ("london", len(LONG) - 7)


def test_no_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = leaning(monkeypatch, "[CLS]")
    for context in ("Alice is in Paris", LONG):
        found = ask(runner, TASK, question="who is bob", context=context)
        assert found.text == "The text holds no answer to this question."
        assert found.data["answer"] == ""
        assert found.data["start"] is None
        assert found.data["score"] > 0.9


def test_eight_at_once_are_as_eight_alone() -> None:
    several = [{"question": "where is alice", "context": LONG[-90 * n :]} for n in range(1, 9)]
    batch = ask_all(answerer(), TASK, several)
    alone = [ask(answerer(), TASK, **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])


def test_a_question_needs_a_context_and_must_be_short() -> None:
    with pytest.raises(InputError, match="give it one under 'context'"):
        ask(answerer(), TASK, question="where is alice")
    with pytest.raises(InputError, match="words under 'question'"):
        ask(answerer(), TASK, context="alice is in paris")
    with pytest.raises(InputError, match="takes at most 64"):
        ask(answerer(), TASK, question="where " * 90, context="alice is in paris")


def test_a_model_that_labels_texts_is_refused() -> None:
    with pytest.raises(ExpertError, match=r"missing: qa_outputs\.bias"):
        opened(TASK, text.classifier, TASK)
