"""Questions about pictures."""

from typing import Any

import pytest

from deployments.errors import ExpertError, InputError
from tests.runners.test_captioning import pictures
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import Builder, captions

TASK = "visual-question-answering"
QUESTIONS = ("what is it", "is the cat on the mat", "how many", "who", "where is the red car", "is it a dog")


def answerer(builder: Builder) -> Any:
    return shared(TASK, builder, TASK)


@pytest.mark.parametrize(
    "builder", [captions.vilt, captions.blip_answers, captions.blip2, captions.git, captions.llava]
)
def test_eight_at_once_are_as_eight_alone(builder: Builder) -> None:
    runner = answerer(builder)
    several = [
        {"image": picture, "text": QUESTIONS[n % len(QUESTIONS)], "max_new_tokens": "6"}
        for n, picture in enumerate(pictures())
    ]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert [result.text for result in batch] == [result.text for result in alone]
    assert alike([result.data for result in batch], [result.data for result in alone])
    assert len({result.text for result in batch}) > 1


def test_a_classifier_tells_its_best_answers() -> None:
    result = ask(answerer(captions.vilt), TASK, image=pictures(1)[0], text="what is it", top_k="3")
    scores = [entry["score"] for entry in result.data]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert {entry["answer"] for entry in result.data} < set(captions.ANSWERS.values())
    assert result.text == result.data[0]["answer"]
    assert len(ask(answerer(captions.vilt), TASK, image=pictures(1)[0], text="who", top_k="50").data) == 6


def test_another_question_has_another_answer() -> None:
    runner = answerer(captions.blip_answers)
    (picture,) = pictures(1)
    texts = {ask(runner, TASK, image=picture, text=question).text for question in QUESTIONS}
    assert len(texts) > 1


def test_the_question_is_no_part_of_the_answer() -> None:
    for builder in (captions.blip2, captions.git):
        answer = ask(answerer(builder), TASK, image=pictures(1)[0], text="is it red", max_new_tokens="3")
        assert answer.text is not None
        assert "red" not in answer.text
        assert answer.data == {"answer": answer.text}


def test_control_tokens_are_no_words_of_a_question() -> None:
    runner = answerer(captions.vilt)
    (picture,) = pictures(1)
    clean = ask(runner, TASK, image=picture, text="what is it")
    assert alike(ask(runner, TASK, image=picture, text="what [SEP] is it[MASK]").data, clean.data)
    with pytest.raises(InputError, match="needs a question in words"):
        ask(runner, TASK, image=picture, text="[SEP]")


def test_a_question_must_fit_the_model() -> None:
    with pytest.raises(InputError, match="has 62 tokens, and the model takes 40"):
        ask(answerer(captions.vilt), TASK, image=pictures(1)[0], text="cat " * 60)


def test_a_model_that_describes_is_refused_with_its_missing_weights() -> None:
    with pytest.raises(ExpertError, match=r"do not fit BlipForQuestionAnswering .*missing: text_encoder"):
        opened(TASK, captions.blip, TASK)
