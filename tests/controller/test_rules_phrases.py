"""Phrases: the little language that vocabularies are written in."""

import pytest

from controller.rules.phrases import NARROW, WIDE, PhraseBook

_GROUPS = {"make": ["draw", "@more"], "more": ["paint*"], "picture": ["picture", "<image>"]}


def _positions(phrase: str, text: str, openings: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    book = PhraseBook([(phrase, None)], _GROUPS, stops=["of", "and"])
    return [match.positions for match in book.matches(text.split(), openings)]


@pytest.mark.parametrize(
    ("phrase", "text", "positions"),
    [
        ("read aloud", "now read aloud", [(1, 2)]),
        ("read aloud", "read it aloud", []),
        ("draw/paint", "paint and draw", [(0,), (2,)]),
        ("segment*", "the segmentation", [(1,)]),
        ("segment*", "seg", []),
        ("@make", "painting draw pain", [(0,), (1,)]),
        ("a the? cat", "a cat a the cat", [(0, 1), (2, 3, 4)]),
        ("see <image>", "see <image> see <audio>", [(0, 1)]),
        ("see <>", "see <audio> see it", [(0, 1)]),
        ("<> aloud", "<text> aloud", [(0, 1)]),
        ("in @picture", "in <image> in picture", [(0, 1), (2, 3)]),
        ("(say) ... in french", "say it now in french", [(3, 4)]),
        ("say (it) aloud", "say it aloud", [(0, 2)]),
        ("a a b", "a a a b", [(1, 2, 3)]),
    ],
)
def test_steps(phrase: str, text: str, positions: list[tuple[int, ...]]) -> None:
    assert _positions(phrase, text) == positions


def test_a_narrow_gap_spans_a_noun_phrase_only() -> None:
    assert _positions("read ~ text", "read " + "x " * NARROW + "text") == [(0, NARROW + 1)]
    assert _positions("read ~ text", "read " + "x " * (NARROW + 1) + "text") == []
    assert _positions("read ~ text", "read the back of text") == []
    assert _positions("read ~ of", "read the back of text") == [(0, 3)]


def test_a_wide_gap_spans_any_words() -> None:
    assert _positions("read ... text", "read " + "of " * WIDE + "text") == [(0, WIDE + 1)]
    assert _positions("read ... text", "read " + "of " * (WIDE + 1) + "text") == []


def test_a_gap_goes_back_where_the_nearest_word_does_not_fit() -> None:
    assert _positions("find ~ a b", "find a x a b") == [(0, 3, 4)]


def test_an_opening_phrase_matches_only_where_a_clause_opens() -> None:
    assert _positions("^ what", "what of what", openings=(2,)) == [(2,)]


def test_matches_tell_meaning_and_extent() -> None:
    book = PhraseBook([("read ~ aloud", "speech"), ("read", "ocr")])
    speech, ocr = book.matches(["please", "read", "it", "aloud"])
    assert (speech.meaning, speech.start, speech.end) == ("speech", 1, 4)
    assert (ocr.meaning, ocr.start, ocr.end) == ("ocr", 1, 2)


@pytest.mark.parametrize("phrase", ["", "^", "~ a", "a ~", "a?", "(a)", "... a"])
def test_odd_phrases_are_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="must begin and end with a word"):
        PhraseBook([(phrase, None)])


def test_unknown_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="no group of words '@none'"):
        PhraseBook([("@none", None)])
