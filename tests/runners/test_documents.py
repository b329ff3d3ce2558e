"""Questions about documents."""

from typing import Any

import cv2
import numpy as np
import pytest

from deployments.errors import ExpertError, InputError
from deployments.media import Image
from deployments.runners import documents
from deployments.runners.documents import best_span, words_of
from deployments.runners.neural import picture
from tests.runners.test_captioning import pictures
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import Builder, captions, text

TASK = "document-question-answering"
WORDS = ["total", "number", "42", "for", "alice", "in", "london", "and", "17", "for", "bob", "in", "paris"]


def page() -> Image:
    """A picture with two lines of text."""
    pixels = np.full((160, 640, 3), 255, np.uint8)
    for row, line in enumerate(("total number 42", "of alice in london")):
        cv2.putText(pixels, line, (20, 60 + 70 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    return Image(pixels)


def answerer(builder: Builder) -> Any:
    return shared(TASK, builder, TASK)


def read(monkeypatch: pytest.MonkeyPatch, runner: Any, words: list[str]) -> list[documents.Box]:
    """Let the runner find these words in every picture."""
    boxes = [(10 * n % 900, 10 * n, 10 * n % 900 + 50, 10 * n + 9) for n in range(len(words))]
    monkeypatch.setattr(runner, "_read", lambda _: (words, boxes))
    return boxes


def test_an_answer_is_made_of_the_words_of_the_page() -> None:
    result = ask(answerer(captions.layoutlm), TASK, image=page(), text="what is the total number")
    assert result.text
    assert result.text in "total number 42 of alice in london"
    assert result.data["answer"] == result.text
    assert 0 < result.data["score"] <= 1


def test_a_picture_without_words_has_no_answer() -> None:
    blank = Image(np.full((100, 100), 255, np.uint8))
    result = ask(answerer(captions.layoutlm), TASK, image=blank, text="who")
    assert result.text == "There are no words in this picture."
    assert result.data == {"answer": "", "score": 0.0}


def test_answers_are_those_of_the_librarys_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    runner = answerer(captions.layoutlm)
    boxes = read(monkeypatch, runner, WORDS)
    pipeline = transformers.pipeline(TASK, model=runner._model, tokenizer=runner._tokenizer, device="cpu")
    for question in ("who is in paris", "what is the total number", "where is alice"):
        (told,) = pipeline(
            image=picture(page()),
            question=question,
            word_boxes=list(zip(WORDS, map(list, boxes), strict=True)),
            max_seq_len=64,
        )
        result = ask(runner, TASK, image=page(), text=question)
        assert result.text == told["answer"]
        assert result.data["score"] == pytest.approx(told["score"], abs=1e-4)


def test_eight_at_once_are_as_eight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = answerer(captions.layoutlm)
    read(monkeypatch, runner, WORDS * 4)  # several pieces of a long document
    several = [{"image": page(), "text": "what is alice " * (1 + n % 4) + WORDS[n]} for n in range(8)]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert [result.text for result in batch] == [result.text for result in alone]
    assert alike([result.data for result in batch], [result.data for result in alone])
    assert len({result.text for result in batch}) > 1


def test_a_blank_page_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = answerer(captions.layoutlm)
    found = iter([WORDS, [], WORDS])
    monkeypatch.setattr(runner, "_read", lambda _: ((words := next(found)), [(0, 0, 9, 9)] * len(words)))
    first, blank, last = ask_all(runner, TASK, [{"image": page(), "text": "who"}] * 3)
    assert first.text == last.text
    assert first.data["score"] > 0
    assert blank.data == {"answer": "", "score": 0.0}


def test_a_donut_reads_by_itself() -> None:
    runner = answerer(captions.donut)
    several = [
        {"image": shown, "text": "who is it" * (1 + n % 3), "max_new_tokens": "8"}
        for n, shown in enumerate(pictures())
    ]
    batch = ask_all(runner, TASK, several)
    assert [result.text for result in batch] == [ask(runner, TASK, **args).text for args in several]
    assert len({result.text for result in batch}) > 1
    assert all("<" not in str(result.text) for result in batch)


def test_a_donuts_answer_ends_at_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = answerer(captions.donut)
    args = {"image": page(), "text": "who", "max_new_tokens": "2"}
    for written, told in (
        (" alice</s_answer></s><pad>", "alice"),
        ("42 <sep/>", "42"),
        ("</s_answer></s>", documents.NOT_FOUND),
    ):
        monkeypatch.setattr(runner._tokenizer, "batch_decode", lambda *_, _text=written: [_text])
        assert ask(runner, TASK, **args).text == told


def test_a_question_must_be_words_that_fit() -> None:
    with pytest.raises(InputError, match="has 62 tokens, and the model takes 32"):
        ask(answerer(captions.layoutlm), TASK, image=page(), text="cat " * 60)
    with pytest.raises(InputError, match="too many for the model"):
        ask(answerer(captions.donut), TASK, image=page(), text="cat " * 100)
    with pytest.raises(InputError, match="needs a question in words"):
        ask(answerer(captions.donut), TASK, image=page(), text="</s_question>")


def test_a_chat_model_serves_too() -> None:
    answer = ask(answerer(captions.llava), TASK, image=page(), text="who", max_new_tokens="4")
    assert answer.data == {"answer": answer.text}


def test_models_that_were_made_for_something_else_are_refused() -> None:
    with pytest.raises(ExpertError, match=r"tokenizer lacks <s_docvqa>"):
        opened(TASK, captions.trocr, TASK)
    with pytest.raises(ExpertError, match="cannot do document-question-answering"):
        opened(TASK, text.classifier, TASK)


def test_without_what_reads_words_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "find_spec", lambda _: None)
    with pytest.raises(ExpertError, match="install rapidocr"):
        opened(TASK, captions.layoutlm, TASK)


def test_a_lines_box_is_shared_out_by_its_letters() -> None:
    line = {"text": "ab cde", "box": {"xmin": 100, "ymin": 20, "xmax": 160, "ymax": 30}}
    assert words_of(line, 200, 100) == [("ab", (500, 200, 600, 300)), ("cde", (650, 200, 800, 300))]
    assert words_of({**line, "text": " "}, 200, 100) == []


def test_the_best_span_lies_inside_and_forward() -> None:
    starts = np.array([0, 9, 1, 2, -np.inf], np.float32)
    ends = np.array([0, 9, 3, 1, -np.inf], np.float32)
    inside = np.array([False, False, True, True, False])
    first, last, score = best_span(starts, ends, inside)
    even = np.exp([0, 1, 2]), np.exp([0, 3, 1])
    assert (first, last) == (2, 2)
    assert score == pytest.approx(even[0][1] / even[0].sum() * even[1][1] / even[1].sum())
