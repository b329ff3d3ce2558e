"""The cost of planning grows with the length of a request, whatever it holds."""

import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.request import Message
from controller.rules.planner import plan_text

_CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)]))
_TALK = (
    "read the text in aloud translate to French describe it draw pictures of a cat and of a dog what is how "
    "many based on edges classify compare similar then after before don't twice two do the same for question "
    "answer each object the review 'a text' 'who?' a.png b.wav c.csv , . ? ; : ( ) \" “ if transcirbe"
)
_WORDS = _TALK.split()


def _steps(text: str, context: Sequence[Message] = ()) -> int:
    """How many functions planning calls: a count of steps that no other process disturbs."""
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        plan_text(text, (), context)
    finally:
        sys.setprofile(before)
    return calls


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([*_WORDS, "\n", *_CONTROLS]) | st.text(max_size=3), min_size=1, max_size=8))
def test_twice_the_words_cost_twice_the_steps(pieces: list[str]) -> None:
    piece = " ".join(pieces) + " "
    plan_text(piece)
    once, twice = (_steps((piece * size)[:size]) for size in (4_000, 8_000))
    assert twice <= 2.6 * once + 2_000


_ADVERSARIAL: dict[str, list[tuple[str, int]]] = {
    "one word": [("a", 100_000)],
    "blanks": [(" ", 100_000)],
    "ten thousand quotes": [("say 'hi' ", 10_000)],
    "marks of quotation": [("\"'“‘„«`", 14_000)],
    "quotes that never end": [("'a \"b “c ", 11_000)],
    "nested parentheses": [("(", 50_000), (")", 50_000)],
    "orders in parentheses": [("(describe a.png ", 6_000)],
    "control characters": [(_CONTROLS, 1_600)],
    "joints": [("draw pictures of a cat", 1), (", and", 20_000)],
    "repetitions": [("describe a.png. ", 3_000), ("do the same for b.png. ", 2_000)],
    "echoes": [("edges ", 16_000)],
    "slips of the finger": [("transcirbe ", 9_000)],
    "denials": [("don't read it ", 7_000)],
    "texts with names": [("the review 'x' ", 3_500), ("read the review. ", 3_000)],
    "indirect questions": [("what the man is if there is ", 3_500)],
    "steps out of order": [("read it after describing a.png ", 3_200)],
    "numbers": [("two 2 twice three times ", 4_000)],
}


@pytest.mark.parametrize("pieces", _ADVERSARIAL.values(), ids=_ADVERSARIAL.keys())
def test_adversarial_requests_cost_linear_time(pieces: list[tuple[str, int]]) -> None:
    """100,000 characters against half as many, in one run: a quadratic step would cost fourfold."""
    whole, half = ("".join(piece * max(1, count // share) for piece, count in pieces) for share in (1, 2))
    plan_text(half[:1000])
    short, long = (min(_seconds(text) for _ in range(3)) for text in (half, whole))
    assert long < 3.4 * max(short, 0.02)


def _seconds(text: str) -> float:
    begun = time.thread_time()
    plan_text(text)
    return time.thread_time() - begun


def test_a_long_conversation_is_searched_for_what_to_repeat_once() -> None:
    talk = [Message(role="user", content="well, well. " * 1_600)] * 200
    once, twice = (_steps("do the same again", talk[:count]) for count in (100, 200))
    assert twice <= once + 2_000
