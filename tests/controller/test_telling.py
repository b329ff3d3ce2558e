"""The sentences of the embedded responder: their small parts."""

from controller.rules.telling import listed, quote


def test_lists_in_words() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_quotes_are_trimmed() -> None:
    assert quote("  hi \n") == "“hi”"
