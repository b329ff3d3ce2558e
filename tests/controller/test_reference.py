"""References: every written form, and texts that only look like one."""

import time

import pytest

from controller import reference


@pytest.mark.parametrize(
    "written",
    [
        "<GENERATED>-3",
        "<GENERATED-3>",
        "<resource>-3",
        "<resource-3>",
        "<node-3>",
        "<node>-3",
        "<generated>-3",
        "< GENERATED > - 3",
        " <GENERATED>-3 ",
    ],
)
def test_every_form_names_the_task(written: str) -> None:
    assert reference.find(written) == (3,)
    assert reference.whole(written) == 3
    assert reference.canonical(written).strip() == "<GENERATED>-3"


@pytest.mark.parametrize(
    "written", ["<GENERATED>", "<GENERATED>-", "GENERATED-3", "<other>-3", "<3>", "", "-1"]
)
def test_other_texts_are_no_references(written: str) -> None:
    assert reference.find(written) == ()
    assert reference.whole(written) is None
    assert reference.canonical(written) == written


def test_references_inside_a_text_are_found_in_order_and_once() -> None:
    text = "a photo of <GENERATED>-2, in the style of <node-0>, and <resource>-2 again"
    assert reference.find(text) == (2, 0)
    assert reference.whole(text) is None
    assert reference.canonical(text) == (
        "a photo of <GENERATED>-2, in the style of <GENERATED>-0, and <GENERATED>-2 again"
    )


def test_a_reference_with_words_around_it_is_not_whole() -> None:
    assert reference.whole("<GENERATED>-0, oil painting") is None


@pytest.mark.parametrize(
    "written",
    [
        "<GENERATED>-0,<GENERATED>-1",
        "<GENERATED-0>, <GENERATED-1>",
        "[<node-0>, <node-1>]",
        " <GENERATED>-0 , <node-1> ",
    ],
)
def test_a_list_of_references_is_split(written: str) -> None:
    assert reference.split(written) == ["<GENERATED>-0", "<GENERATED>-1"]


@pytest.mark.parametrize(
    "written", ["<GENERATED>-0", "<GENERATED>-0, a cat", "a, b", "<GENERATED>-0 <GENERATED>-1"]
)
def test_anything_else_is_not_split(written: str) -> None:
    assert reference.split(written) == [written]


def test_substitution_asks_for_each_reference() -> None:
    assert reference.substitute("<GENERATED>-1 and <node-2>", lambda n: str(n * 10)) == "10 and 20"


@pytest.mark.parametrize(
    "hostile",
    [
        "<GENERATED>-0,<GENERATED>-1" + " " * 200_000 + "x",
        " " * 200_000 + "x",
        "<" * 200_000,
        "<generated>" * 20_000,
        "<GENERATED>-0," * 15_000 + "x",
        "<GENERATED>" + " " * 200_000,
    ],
)
def test_hostile_texts_cost_linear_time(hostile: str) -> None:
    begun = time.thread_time()
    reference.split(reference.canonical(hostile))
    assert time.thread_time() - begun < 2
