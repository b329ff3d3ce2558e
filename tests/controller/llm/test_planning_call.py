"""The planning call in the documentation is the code's own."""

from scripts.make_planning_call import DOCUMENT, document


def test_the_planning_call_is_up_to_date() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")
    assert document() == written, "make it anew: python -m scripts.make_planning_call"
    assert '"dep": [0], "args": {"text": "<GENERATED>-0"}' in written
