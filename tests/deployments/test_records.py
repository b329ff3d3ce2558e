"""Records: what their names hold, and what no name may do."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.media import _KINDS
from deployments.records import Record, inside, name_inside, named, new, owned, parse

HEX = "0123456789abcdef"


@given(
    st.builds(
        Record,
        id=st.text(HEX, min_size=32, max_size=32),
        ending=st.sampled_from(sorted(ending for _, ending in _KINDS.values())),
        size=st.integers(0, 1 << 40),
        digest=st.text(HEX, min_size=64, max_size=64),
        created=st.integers(0, 10**13).map(lambda thousandths: thousandths / 1000),
        until=st.integers(0, 10**10).map(float),
        owner=st.text(max_size=20).map(owned),
        name=st.sampled_from(["", None]),
    )
)
def test_a_name_holds_every_fact(record: Record) -> None:
    name = record.key.rpartition("/")[2]
    assert parse(name) == record
    assert record.key.startswith(f"{record.blob}.")
    assert len(name.encode()) <= 200, "file systems take 255"


@pytest.mark.parametrize("name", ["", "x", "ab" * 32, f"{'ab' * 32}.{'cd' * 16}.png", f"{'ab' * 32}.part"])
def test_other_names_are_no_records(name: str) -> None:
    assert parse(name) is None


def test_owners_are_told_apart_and_not_told() -> None:
    assert owned("") == "0"
    assert len({owned(owner) for owner in ("", "0", "alice", "bob")}) == 4
    record = new("image/png", 1, "ab" * 32, "alice", "a.png")
    assert "alice" not in record.key
    assert (record.owner, record.name) == (owned("alice"), "a.png")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.png", "a.png"),
        ("", ""),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a/b/", ""),
        ("a\r\nset-cookie: x.png", "aset-cookie: x.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("絵 – Bild.png", "絵 – Bild.png"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
        ("ß" * 200 + ".png", "ß" * 125 + ".png"),
        ("a\ud800b.png", "ab.png"),
    ],
)
def test_names_are_kept_bare(name: str, kept: str) -> None:
    assert named(name) == kept
    assert name_inside(inside(named(name), "run-1")) == kept


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"name": 1}', b"\xff"])
def test_a_damaged_record_has_no_name(data: bytes) -> None:
    found: Any = name_inside(data)
    assert found == ""
