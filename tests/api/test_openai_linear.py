"""What recognises chat pages, documents and links costs time as the text's length, whatever it holds."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from controller.api.address import Address
from controller.api.openai.documents import between, parted
from controller.api.openai.housekeeping import _RULES, recognised
from controller.api.openai.links import Links, linked, unlinked
from controller.api.openai.speaking import _LINK

BASE = "http://127.0.0.1:8000"
TITLE = "### Task:\nGenerate a concise, 3-5 word title\n"
ASKED = "### Task:\nRespond to the user query using the provided context\n"


def _chore(text: str) -> None:
    recognised([("user", text)])


def _ruled(text: str) -> None:
    _RULES["title"]([("user", text)])
    _RULES["tags"]([("user", text)])


def _fed(text: str) -> None:
    links = Links(Address(BASE))
    for start in range(0, len(text), 7):
        links.feed(text[start : start + 7])


_CASES: dict[str, tuple[Callable[[str], Any], str, str]] = {
    # what is done, how the text begins, and what it goes on with
    "a history without an end": (_chore, f"{TITLE}<chat_history>", " \n"),
    "histories that begin": (_chore, TITLE, "<chat_history> "),
    "a history of words": (_chore, f"{TITLE}<chat_history>", "  a"),
    "a conversation of blanks": (
        _chore,
        "Provide a concise, 5-word-or-less title for the conversation",
        "\n ",
    ),
    "tasks": (_chore, "", "### Task:\n"),
    "tools": (_chore, "Available Tools:", " tool_call"),
    "contexts that begin": (parted, ASKED, "<context>"),
    "contexts that end": (parted, ASKED, "</context>"),
    "contexts": (parted, ASKED, "<context></context>"),
    "queries that begin": (parted, f"{ASKED}<context>a</context>", "<user_query>"),
    "brackets": (lambda text: _LINK.sub("", text), "", "["),
    "links that begin": (lambda text: _LINK.sub("", text), "", "[]("),
    "brackets in a title": (_ruled, "", "["),
    "links in a title": (_ruled, "", "[]("),
    "slashes in a title": (_ruled, "", "/a "),
    "brackets of an answer": (lambda text: unlinked(text, BASE), "", "!["),
    "paths": (lambda text: linked(text, Address(BASE)), "", "](</images/"),
    "slashes as they come": (_fed, "", "/"),
    "words as they come": (_fed, "", "x"),
}


@pytest.mark.parametrize("name", _CASES)
def test_twice_the_text_takes_about_twice_the_time(name: str) -> None:
    work, begin, piece = _CASES[name]
    whole, half = (begin + piece * (60_000 // share // len(piece)) for share in (1, 2))
    work(half[:2_000])
    short, long = (min(_seconds(work, text) for _ in range(3)) for text in (half, whole))
    assert long < 3.4 * max(short, 0.02)


def _seconds(work: Callable[[str], Any], text: str) -> float:
    begun = time.thread_time()
    work(text)
    return time.thread_time() - begun


def test_what_stands_between_two_marks() -> None:
    assert between("a <q> b </q> c </q>", "<q>", "</q>") == "b"
    assert between("a </q> <q> b", "<q>", "</q>") is None
    assert between("nothing", "<q>", "</q>") is None


def test_documents_that_hold_the_marks_themselves_are_parted_at_the_last() -> None:
    text = f"{ASKED}Between <context> marks.\n<context>\nA page on </context> tags.\n</context>\nwho?"
    assert parted(text) == ("who?", "A page on </context> tags.")
    assert parted(f"{ASKED}<context>a</context>  ")[1] == ""
    assert parted(f"{ASKED}</context><context>") == (f"{ASKED}</context><context>", "")
