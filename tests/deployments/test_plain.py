"""What an expert gives becomes plain JSON, or is refused."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import ExpertError
from deployments.plain import plain, words

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_plain_data_stays_as_it_is(data: Any) -> None:
    assert plain(data) == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
        (np.array([]), []),
        (np.zeros((2, 1)), [[0.0], [0.0]]),
        ([{"score": np.float64(0.25), "box": np.array([1, 2], np.uint8)}], [{"score": 0.25, "box": [1, 2]}]),
        ((1, "a"), [1, "a"]),
        ({1: "a"}, {"1": "a"}),
        (SimpleNamespace(tolist=lambda: [7]), [7]),
        ({}, {}),
        ([], []),
        (None, None),
        (0, 0),
        ("", ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_libraries_values_become_pythons_own(data: Any, expected: Any) -> None:
    made = plain(data)
    assert made == expected
    assert type(made) is type(expected)
    assert json.loads(json.dumps(made)) == expected


@pytest.mark.parametrize(
    "data",
    [float("nan"), [float("inf")], np.array([np.nan]), {1, 2}, b"bytes", object(), {(1, 2): "x"}, [1j],
     [np.datetime64("2026-01-01")]],
    ids=lambda data: type(data).__name__,
)  # fmt: skip
def test_what_json_cannot_say_is_refused(data: Any) -> None:
    with pytest.raises(ExpertError, match="no JSON"):
        plain(data)


def test_a_ring_and_a_bottomless_list_are_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for data in (ring, deep):
        with pytest.raises(ExpertError):
            plain(data)


@pytest.mark.parametrize("text", ["a\ud800b", "\udcff", "\ud83d x"])
def test_halves_of_characters_are_replaced(text: str) -> None:
    made = words(text)
    assert made is not None
    assert made.encode()
    assert "?" in made
    data = plain({text: [text]})
    assert json.dumps(data, ensure_ascii=False).encode()


@given(st.text())
def test_other_words_stay_as_they_are(text: str) -> None:
    assert words(text) == text
    assert words(None) is None
