"""Sentiment, summaries, likeness, and the cutting into sentences beneath them."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.runners.sentences import split
from tests.deployments.embedded import answer

HARBOUR = (
    "The harbour of the town was built in 1856. It replaced an older wooden harbour that storms had damaged. "
    "Today the harbour is the most visited place of the town. About 2.5 million visitors see the harbour "
    "every year. Ferries leave the harbour every hour in summer. My uncle likes cheese. The lighthouse at "
    "the harbour entrance is 33 m high, and visitors may climb it. Dr. Weber, who runs the harbour office, "
    "plans a new pier for ferries. The new pier would cost about 4.2 million. The council votes in May."
)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Smith paid 3.50, i.e. too much. He left at 5 p.m. The shop closed.",
         ["Dr. Smith paid 3.50, i.e. too much.", "He left at 5 p.m.", "The shop closed."]),
        ("The U.S. Government agreed. It took 2.5 years! Really? Yes.",
         ["The U.S. Government agreed.", "It took 2.5 years!", "Really?", "Yes."]),
        ('He said "Stop." Then he left. See fig. 3 for more. J. K. Rowling wrote it.',
         ['He said "Stop."', "Then he left.", "See fig. 3 for more.", "J. K. Rowling wrote it."]),
        ("No. It is not. See No. 5 for that.", ["No.", "It is not.", "See No. 5 for that."]),
        ("A heading\n\nTwo lines\nof one sentence. the end",
         ["A heading", "Two lines of one sentence. the end"]),
        ("今日は晴れです。明日は雨です。", ["今日は晴れです。", "明日は雨です。"]),
        ("Wait... What?! 12 bugs were fixed in 1.2.3.",
         ["Wait...", "What?!", "12 bugs were fixed in 1.2.3."]),
        ("(It works.) «Oui.» ¿Qué? ¡Sí!", ["(It works.)", "«Oui.»", "¿Qué?", "¡Sí!"]),
        (" \n ", []),
    ],
)  # fmt: skip
def test_sentences_end_where_they_end(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


@given(st.text(st.sampled_from('ab A.!?" \n1。')))
def test_no_letter_is_lost_between_sentences(text: str) -> None:
    assert "".join("".join(split(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this boat, it is wonderful!", "positive"),
        ("This is the worst day ever, I hate it.", "negative"),
        ("The boat leaves at noon.", "neutral"),
        ("It was not good at all.", "negative"),
        ("I bought it last week. It is the best phone I ever had! The box was blue.", "positive"),
        ("😀", "positive"),
        ("...", "neutral"),
    ],
)
def test_the_sentiment_of_clear_texts(text: str, label: str) -> None:
    result = answer("vader", text=text)
    scores = [one["score"] for one in result.data]
    assert {one["label"] for one in result.data} == {"positive", "negative", "neutral"}
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=0.001)
    assert scores[0] > 0.6
    assert result.text == f"{label} ({scores[0]:.2f})"


def test_praise_and_blame_are_both_told() -> None:
    scores = {
        one["label"]: one["score"]
        for one in answer("vader", text="The food was great. The staff was awful.").data
    }
    assert min(scores["positive"], scores["negative"]) > 0.3
    assert scores["neutral"] < 0.2


def test_a_long_text_without_points_is_quick() -> None:
    begun = time.thread_time()
    assert (answer("vader", text="good word " * 20_000).text or "").startswith("positive")
    assert time.thread_time() - begun < 5


def test_a_summary_keeps_the_sentences_that_matter_in_their_order() -> None:
    summary = answer("textrank", text=HARBOUR).text or ""
    kept = split(summary)
    places = [split(HARBOUR).index(sentence) for sentence in kept]
    assert len(kept) == 3
    assert places == sorted(places)
    assert "cheese" not in summary
    assert "harbour" in summary
    assert "pier" in summary


@pytest.mark.parametrize(("sentences", "kept"), [(3, 1), (4, 1), (5, 2), (9, 3), (14, 5), (60, 5)])
def test_a_summary_is_a_third_of_the_text_and_five_sentences_at_most(sentences: int, kept: int) -> None:
    text = " ".join(f"The boat number {number} leaves pier {number % 7}." for number in range(sentences))
    assert len(split(answer("textrank", text=text).text or "")) == kept


@pytest.mark.parametrize("text", ["Hi there.", "One sentence. And another.", "HARBOUR FERRY\nLEAVES AT NOON"])
def test_short_texts_come_back_as_they_are(text: str) -> None:
    assert answer("textrank", text=f" {text}\n").text == text


def test_texts_without_telling_words_are_summed_up_by_their_beginning() -> None:
    assert answer("textrank", text="It is. So it was. And then? But no.").text == "It is."


def test_a_repeated_sentence_is_kept_once() -> None:
    text = (
        "The boat leaves the harbour. " * 6 + "The harbour is old. A boat is old too. The town has a harbour."
    )
    kept = split(answer("textrank", text=text).text or "")
    assert len(kept) == len(set(kept)) == 3


def test_a_book_is_summed_up_quickly() -> None:
    text = " ".join(HARBOUR.replace("1856", str(year)) for year in range(1000))
    begun = time.thread_time()
    assert len(split(answer("textrank", text=text).text or "")) == 5
    assert time.thread_time() - begun < 5


def likeness(first: str, second: str) -> float:
    return float(answer("tfidf", text1=first, text2=second).data["score"])


def test_likeness_follows_what_texts_share() -> None:
    source = "How do I reset my password?"
    same = likeness(source, source)
    near = likeness(source, "I forgot my password, how can I reset it?")
    far = likeness(source, "How do I bake a cake?")
    apart = likeness(source, "Ferry timetable")
    assert same == pytest.approx(1)
    assert same > near > 0.5 > 0.2 > far > apart >= 0


@pytest.mark.parametrize("text", ["a", "I", "今日は", "not"])
def test_a_text_is_wholly_like_itself(text: str) -> None:
    assert likeness(text, text) == pytest.approx(1)


def test_marks_alone_are_like_nothing() -> None:
    assert likeness("?", "!") == 0


@pytest.mark.parametrize("several", [["a cat", "a dog"], '["a cat", "a dog"]', "a cat\n\n a dog \n"])
def test_several_texts_have_a_score_each(several: list[str] | str) -> None:
    result = answer("tfidf", text1="A cat", text2=several)
    assert result.data == {"scores": [pytest.approx(1), pytest.approx(0, abs=0.1)]}
    assert re.fullmatch(r"similarity 1\.00: a cat\nsimilarity 0\.0\d: a dog", result.text or "")


@pytest.mark.parametrize("text", ["[1, 2]", "[not json", '["a", 1]'])
def test_brackets_that_are_no_list_of_texts_are_text(text: str) -> None:
    assert set(answer("tfidf", text1="a cat", text2=text).data) == {"score"}


def test_the_score_is_told_in_words() -> None:
    assert answer("tfidf", text1="one boat", text2="one boat").text == "similarity 1.00"
