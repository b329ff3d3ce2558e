"""Answers of a planning LLM, read while they are written."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.llm.parsing import Broken, PlanReader, Written
from controller.planner import Reply

ONE = {"task": "text-to-speech", "id": 0, "dep": [], "args": {"text": 'a {b} [c] "q" é😀\n\\d'}}
ODD = {"task": "x", "a": None, "b": True, "c": 1.5, "d": "it's"}
TWO = {"task": "image-to-text", "id": 1, "args": {"image": "/a.png"}}


def _read(*pieces: str) -> tuple[list[Any], bool]:
    """Tasks, broken tasks as their names, and the reply's text; and whether the text was unfinished."""
    reader = PlanReader()
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.close()
    read: list[Any] = []
    for event in events:
        if isinstance(event, Written):
            read.append(dict(event.raw))
        elif isinstance(event, Broken):
            read.append(("broken", event.raw["task"]))
        elif read and isinstance(read[-1], str):
            read[-1] += event.text
        else:
            read.append(event.text)
    return read, reader.unfinished


def _both() -> str:
    return f"{json.dumps(ONE)}, {json.dumps(TWO, ensure_ascii=False)}"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f'{{"tasks": [{_both()}], "reply": null}}', [ONE, TWO]),
        (f"[{_both()}]", [ONE, TWO]),
        (f"```json\n[{_both()},]\n```", [ONE, TWO]),
        (f"Sure [1]! {{x}} [{_both()}] Done {{}}.", [ONE, TWO]),
        (f"{json.dumps(ONE)}\n{json.dumps(TWO)}", [ONE, TWO]),
        (json.dumps(ONE), [ONE]),
        (json.dumps({"tasks": ONE}), [ONE]),
        (json.dumps({"tasks": [3, None, "x", ONE]}), [("broken", 3), ("broken", None), ("broken", "x"), ONE]),
        (str([TWO, ODD]), [TWO, ODD]),
        ('[{task: "x", id: 0}]', [{"task": "x", "id": 0}]),
        ('[{"task": "x" "id": 0}{"task": "y"}]', [{"task": "x", "id": 0}, {"task": "y"}]),
        ('[{"task": "x", "t": "he said "hi" to me"}]', [{"task": "x", "t": 'he said "hi" to me'}]),
        ('[{"task": "x", "t": "a\nb\tc"}]', [{"task": "x", "t": "a\nb\tc"}]),
        (r'[{"task": "\ud83d\ude00 \ud83d \ude00 \u00e9"}]', [{"task": "😀 \ufffd \ufffd é"}]),
        ('{"tasks": [], "reply": "Hi \\"you\\" } ]"}', ['Hi "you" } ]']),
        ('{"reply": "Hi", "tasks": []}', ["Hi"]),
        ('{"tasks": null, "reply": "Hi"}', ["Hi"]),
        ('{"answer": "Hi"}', ["Hi"]),
        (f'{{"reply": "On it", "tasks": [{json.dumps(TWO)}]}}', [TWO]),
        (f'{{"tasks": [{json.dumps(TWO)}], "reply": "On it"}}', [TWO]),
        ("Hello, I am [a] planner {of sorts}.", ["Hello, I am [a] planner {of sorts}."]),
        ('An example is {"a": 1} or `[]`.', ['An example is {"a": 1} or `[]`.']),
        ("```python\nx = []\n```", ["```python\nx = []\n```"]),
        ("[] Hello!", ["Hello!"]),
        ("```json\n[]\n```\nHello!", ["Hello!"]),
        ("[]", []),
        ("{}", []),
        ("", []),
        (" \n", []),
        ('{"tasks": [], "reply": null}', []),
        ('{"tasks": [], "reply": " \\n"}', []),
        ('{"tasks": [], "reply": "  Hi "}', ["  Hi "]),
        ('{"tasks": []}\n\nHello, I am fine.', ["Hello, I am fine."]),
        ('```json\n{"tasks": [], "reply": ""}\n```\nHello!', ["Hello!"]),
        (f'{{"tasks": []}} or rather {{"tasks": [{json.dumps(TWO)}]}}', [TWO]),
        ('[{"task": "a"}}, {"task": "b"}]', [{"task": "a"}, {"task": "b"}]),
        ('[{"task": "a", "args": {"text": oops}}, {"task": "b"}]', [("broken", "a"), {"task": "b"}]),
        (f"[{json.dumps(ONE)}] or else [{json.dumps(TWO)}]", [ONE]),
    ],
)  # fmt: skip
def test_what_is_read(text: str, read: list[Any]) -> None:
    expected = (read, False)
    assert _read(text) == expected
    assert _read(*text) == expected  # one character at a time


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"tasks": [', []),
        ('{"ta', []),
        ("[", []),
        (f"[{json.dumps(TWO)}, {{", [TWO]),
        (f"[{json.dumps(TWO)}, {json.dumps(ONE)[:-4]}", [TWO]),
        (f"[{json.dumps(TWO)}", [TWO]),
        ('{"tasks": [], "reply": "Hello', ["Hello"]),
        ('{"reply": "Hello', ["Hello"]),
        ('{"reply": "Hello", "tasks": [{"task": "x', []),
        ('{"tasks": [{"id": 0 oops', []),
    ],
)
def test_what_ends_too_early_is_told(text: str, read: list[Any]) -> None:
    assert _read(text) == (read, True)
    assert _read(*text) == (read, True)


def test_a_task_comes_the_moment_its_brace_closes() -> None:
    reader = PlanReader()
    text = json.dumps({"tasks": [ONE, TWO]})
    ends = [text.index(json.dumps(task)) + len(json.dumps(task)) for task in (ONE, TWO)]
    came = [at for at, sign in enumerate(text, 1) for _ in reader.feed(sign)]
    assert came == ends


def test_a_reply_comes_as_it_is_written() -> None:
    reader = PlanReader()
    assert reader.feed('{"tasks": [], "reply": "Hel') == [Reply("Hel")]
    assert reader.feed("lo ") == [Reply("lo ")]
    assert reader.feed("\\u00") == []
    assert reader.feed('e9"}') == [Reply("é")]
    assert reader.close() == []


def test_a_reply_is_held_until_it_is_known_that_there_are_no_tasks() -> None:
    reader = PlanReader()
    assert reader.feed('{"reply": "Hello", "tasks": ') == []
    assert reader.feed("[]") == [Reply("Hello")]


def test_prose_is_held_to_its_end() -> None:
    reader = PlanReader()
    assert reader.feed("Here it is: ") == []
    assert reader.feed(json.dumps([TWO])) == [Written(TWO)]
    assert reader.close() == []


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (json.dumps({"tasks": [ONE], "reply": None}), True),
        (f"Here: [{json.dumps(ONE)}]", True),
        ('{"tasks": [], "reply": "Hi"}', True),
        ('{"reply": "Hi", "tasks": []}', True),
        ('{"tasks": [], "reply": null}', False),  # words may follow
        (json.dumps(ONE), False),
        ("Hi", False),
    ],
)
def test_it_is_told_when_nothing_more_can_come(text: str, whole: bool) -> None:
    reader = PlanReader()
    for sign in text[:-1]:
        reader.feed(sign)
        assert not reader.whole
    reader.feed(text[-1])
    assert reader.whole == whole


DRAFT = json.dumps({"task": "draft"})


@pytest.mark.parametrize(
    "thoughts",
    [
        "Hm, what is wanted?\n",
        f"[{DRAFT}]? No",
        f'{{"tasks": [{DRAFT}, {{"task": "',
        f"{{x}} {DRAFT}\n",
        '{"tasks": [], "reply": " ',
    ],
)
def test_thoughts_without_a_beginning_are_taken_back(thoughts: str) -> None:
    plan = json.dumps({"tasks": [TWO]})
    assert _read(f"{thoughts}</think>\n{plan}") == ([TWO], False)
    reader = PlanReader()
    events = [event for sign in f"{thoughts}</think>{plan}" for event in reader.feed(sign)]
    assert events[-1] == Written(TWO)
    assert _read(f"{thoughts}</think>\n\nHello") == (["Hello"], False)


def test_what_cannot_be_taken_back_stays() -> None:
    reader = PlanReader(lambda: False)
    assert reader.feed(DRAFT) == [Written({"task": "draft"})]
    assert reader.feed("</think>\nHello") == []
    assert reader.close() == []
    reader = PlanReader()
    assert reader.feed('{"tasks": [], "reply": "Hello\n') == [Reply("Hello\n")]
    assert reader.feed("</think>\nyou") == [Reply("\nyou")]


def test_a_text_may_speak_of_thoughts() -> None:
    said = 'Put </think> behind "<think>".'
    assert _read(json.dumps({"tasks": [], "reply": said})) == ([said], False)
    assert _read(json.dumps([ONE | {"args": {"text": f"a\n</think>\n{said}"}}]))[0][0]["id"] == 0
    assert _read(said) == ([said], False)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_NAME = st.text(min_size=1, max_size=9)
_TASKS = st.lists(
    st.fixed_dictionaries({"task": _NAME}, optional={"id": _VALUES, "args": _VALUES}), min_size=1, max_size=4
)
_SCRAPS = [*"{}[]:,\"'\\ \n", '{"task":', '"tasks":', '"reply":', "null", "\\ud83d", "\\n", "x", "é", "```"]
_TEXTS = st.one_of(
    st.builds(lambda tasks: json.dumps({"tasks": tasks, "reply": None}), _TASKS),
    st.builds(str, _TASKS),
    st.builds(lambda words: json.dumps({"tasks": [], "reply": words}), st.text()),
    st.lists(st.sampled_from(_SCRAPS), max_size=25).map("".join),
    st.text(),
)


@settings(max_examples=300, deadline=None)
@given(_TEXTS, st.data())
def test_any_pieces_give_the_same(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = _read(text)
    assert _read(*pieces) == whole
    assert _read(*text) == whole


@settings(max_examples=200, deadline=None)
@given(_TASKS)
def test_what_json_reads_is_read_alike(tasks: list[dict[str, Any]]) -> None:
    for text in (json.dumps(tasks), json.dumps({"tasks": tasks}, ensure_ascii=False, indent=1)):
        assert _read(text) == (tasks, False)


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_what_a_reply_says_is_said(words: str) -> None:
    read, unfinished = _read(json.dumps({"tasks": [], "reply": words}))
    assert (read, unfinished) == ([words] if words.strip() else [], False)


@pytest.mark.parametrize(
    "unit",
    [
        *'[{"',
        '{"a":',
        "[ ]",
        "a[]",
        '{"tasks":[',
        '{"task":1,',
        '[{"task":x ',
        "['\" ",
        '["\\u',
        "```\n",
        "[{},",
    ],
)
def test_the_time_grows_with_the_length_alone(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    short, long = _seconds(text[: len(text) // 8]), _seconds(text)
    assert long < 8 * short * 4 + 0.2


def _seconds(text: str) -> float:
    began = time.thread_time()
    reader = PlanReader()
    for start in range(0, len(text), 3):
        reader.feed(text[start : start + 3])
    reader.close()
    return time.thread_time() - began


def test_brackets_too_deep_are_no_plan() -> None:
    deep = "[" * 100 + "]" * 100
    read, _ = _read(f'[{{"task": "x", "args": {{"text": {deep}}}}}, {json.dumps(TWO)}]')
    assert read == [("broken", "x"), TWO]
