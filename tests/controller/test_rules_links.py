"""Web links in plain words: which task takes one, and as what."""

import time
from typing import Any

import pytest

from controller.rules.mentions import find_mentions
from controller.rules.planner import _consider
from model_catalog.tasks import Modality
from tests.support.answers import said

PAGE = "https://site.example/a"
OTHER = "http://other.example:8080/b?c=d&e=f"
MADE = "<GENERATED>-0"


def _plan(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The tasks of a request that is understood."""
    tasks, reply, _, _ = _consider(said(text))
    assert reply is None
    return [(task["task"], task["args"]) for task in tasks]


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        (f"Summarize {PAGE}", [("summarization", {"text": PAGE})]),
        (f"Summarize the page at {PAGE}.", [("summarization", {"text": PAGE})]),
        (f"{PAGE} Summarize it", [("summarization", {"text": PAGE})]),
        (f"Please fetch {PAGE} and summarize it", [("summarization", {"text": PAGE})]),
        (
            f"Summarize {PAGE}.html and read the summary aloud",
            [("summarization", {"text": f"{PAGE}.html"}), ("text-to-speech", {"text": MADE})],
        ),
        (f"Summarize the picture book {PAGE}.php?x", [("summarization", {"text": f"{PAGE}.php?x"})]),
        (f"Translate {OTHER} into French", [("translation", {"text": OTHER, "target_language": "French"})]),
        (f"Read {PAGE} aloud", [("text-to-speech", {"text": PAGE})]),
        (
            f"Who won according to {PAGE}?",
            [("question-answering", {"question": "Who won according to the text?", "context": PAGE})],
        ),
        (
            f"Answer 'who is the king?' from {PAGE}",
            [("question-answering", {"question": "who is the king?", "context": PAGE})],
        ),
        (
            f"What is {PAGE} about?",
            [("question-answering", {"question": "What is the text about?", "context": PAGE})],
        ),
        (f"What is the sentiment of {PAGE}?", [("text-classification", {"text": PAGE})]),
        (f"Find the names in {PAGE}", [("token-classification", {"text": PAGE})]),
        (f"Compare {PAGE} with {OTHER}", [("sentence-similarity", {"text1": PAGE, "text2": OTHER})]),
        (f"Summarize {PAGE}_(b)?c", [("summarization", {"text": f"{PAGE}_(b)?c"})]),
        (f"What is in this picture: {PAGE}.jpg", [("image-to-text", {"image": f"{PAGE}.jpg"})]),
        (f"Describe the picture {PAGE}", [("image-to-text", {"image": PAGE})]),
        (f"Transcribe {PAGE}.mp3", [("automatic-speech-recognition", {"audio": f"{PAGE}.mp3"})]),
        (f"Résume la page {PAGE}", [("summarization", {"text": PAGE})]),
        (
            f"Visite {PAGE}, résume-la et lis le résumé à voix haute",
            [("summarization", {"text": PAGE}), ("text-to-speech", {"text": MADE})],
        ),
    ],
)
def test_a_link_is_what_a_task_works_on(text: str, tasks: list[tuple[str, dict[str, Any]]]) -> None:
    assert _plan(text) == tasks


@pytest.mark.parametrize(
    ("text", "link"),
    [
        (f"({PAGE})", PAGE),
        (f"[here]({PAGE})", PAGE),
        (f"<{PAGE}>", PAGE),
        (f"{PAGE}.", PAGE),
        (f"{PAGE}, then", PAGE),
        (f"({PAGE}_(b))", f"{PAGE}_(b)"),
        (f"{PAGE}_(b", f"{PAGE}_"),
        (f"“{PAGE}”", PAGE),
    ],
)
def test_a_link_ends_where_it_ends(text: str, link: str) -> None:
    assert [(mention.value, mention.modality) for mention in find_mentions(text)] == [(link, Modality.TEXT)]


@pytest.mark.parametrize("piece", ["(", "(a", "(a)", "https://", "https://("])
def test_links_made_to_be_slow_are_not(piece: str) -> None:
    text = "https://" + piece * (100_000 // len(piece))
    began = time.perf_counter()
    find_mentions(text)
    assert time.perf_counter() - began < 3
