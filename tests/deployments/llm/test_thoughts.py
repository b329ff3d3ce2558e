"""Thoughts whose beginning the endpoint does not write."""

import pytest

from deployments.llm.errors import LlmLengthError
from deployments.llm.thoughts import Ends, Thoughts
from tests.deployments.llm.asking import asking, heard
from tests.support.endpoint import Reply, ScriptedEndpoint

ALONE = "Okay, the user asks.\nHm.\n</think>\n\nThe answer."


def _told(text: str, size: int, unopened: bool) -> tuple[str, bool | None]:
    thoughts = Thoughts(unopened)
    pieces = [thoughts.take(text[at : at + size]) for at in range(0, len(text), size)]
    return "".join([*pieces, thoughts.rest()]), thoughts.unopened


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "told", "known"),
    [
        (ALONE, "The answer.", True),
        ("Hm </think>{}", "{}", True),
        ("Hm</think>", "", True),
        ("No thoughts today.", "No thoughts today.", False),
        ("It says </think> here.", "It says </think> here.", False),
        ("A <think>b</think>\nc", "A <think>b</think>\nc", False),
        (' {"tasks": []}', ' {"tasks": []}', None),
        ("<think>Hm.</think>\nThe answer.", "The answer.", None),
        ("</think>\nThe answer.", "The answer.", None),
        ("", "", None),
    ],
)
def test_of_an_endpoint_known_for_them_all_is_held_to_their_end(
    text: str, told: str, known: bool | None, size: int
) -> None:
    assert _told(text, size, unopened=True) == (told, known)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "known"), [(ALONE, True), ("Hm</think>", True), ("Say </think> now", None), ("Hello", None)]
)
def test_of_another_endpoint_nothing_is_held_and_the_end_is_noted(
    text: str, known: bool | None, size: int
) -> None:
    assert _told(text, size, unopened=False) == (text, known)
    first = Thoughts()
    assert first.take("Okay, <") == "Okay, <"


@pytest.mark.parametrize("size", [1, 2, 5, 9, 100])
def test_a_text_is_cut_where_thoughts_end(size: int) -> None:
    ends, parts = Ends(), [""]
    text = "a </think> b</think>\t\nc <think> d</think>\n e</think>[<thing"
    pieces = [ends.take(text[at : at + size]) for at in range(0, len(text), size)]
    for piece in [*pieces, ends.rest()]:
        parts[-1] += piece[0]
        parts += piece[1:]
    assert parts == ["a </think> b", "\t\nc <think> d</think>\n e", "[<thing"]


async def test_an_endpoint_is_known_by_its_first_answer() -> None:
    with ScriptedEndpoint([ALONE, ALONE, "Plain.", ALONE]) as server:
        async with asking(server) as llm:
            assert [(await heard(llm)).text for _ in range(4)] == [ALONE, "The answer.", "Plain.", ALONE]


async def test_thoughts_that_were_cut_are_not_told() -> None:
    with ScriptedEndpoint([ALONE, Reply("Okay, the user", finish="length")]) as server:
        async with asking(server) as llm:
            await heard(llm)
            found = await heard(llm)
    assert (found.text, type(found.error)) == ("", LlmLengthError)
