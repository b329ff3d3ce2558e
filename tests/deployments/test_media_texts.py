"""Texts and tables of files."""

from dataclasses import replace

import pytest

from deployments.decode import check, decode
from deployments.errors import MediaError, TooLargeError
from deployments.media import LIMITS, File, Limits, Table, media_type
from model_catalog.tasks import Modality


def file(data: bytes, name: str = "") -> File:
    return File(data, media_type(data, name))


def table(text: str, limits: Limits = LIMITS) -> Table:
    value = decode(file(text.encode(), "t.csv"), Modality.TABLE, limits)
    assert isinstance(value, Table)
    return value


def test_texts_are_utf8_with_or_without_a_mark() -> None:
    assert decode(file("Grüße".encode()), Modality.TEXT) == "Grüße"
    assert decode(file("Grüße".encode("utf-8-sig")), Modality.TEXT) == "Grüße"
    assert decode(file(b'{"a": 1}', "x.json"), Modality.TEXT) == '{"a": 1}'
    late = b"a" * 5000 + b"\xff"
    for look in (check, lambda f: decode(f, Modality.TEXT)):
        with pytest.raises(MediaError, match="not in UTF-8; save it"):
            look(file(late))
    with pytest.raises(MediaError, match="file of data was given where table"):
        decode(file(b"[]", "x.json"), Modality.TABLE)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_tables_are_read_with_the_delimiter_they_use(mark: str) -> None:
    text = f'name{mark}price\r\n\r\n"A{mark}B"{mark}2\r\nC\r\nD{mark}4{mark}\r\n'
    assert table(text) == Table(("name", "price"), ((f"A{mark}B", "2"), ("C", ""), ("D", "4")))


def test_faulty_tables_say_what_to_put_right() -> None:
    with pytest.raises(MediaError, match="Line 3 of the table has more cells"):
        table("a,b\n1,2\n1,2,3\n")
    with pytest.raises(MediaError, match="empty"):
        table("\n\n")
    with pytest.raises(MediaError, match="damaged"):
        table("a,b\n" + "x" * 200_000)


def test_a_table_over_the_cell_limit_is_refused_on_the_way() -> None:
    limits = replace(LIMITS, max_table_cells=6)
    assert len(table("a,b\n1,2\n3,4", limits).rows) == 2
    with pytest.raises(TooLargeError, match="over 6 cells"):
        table("a,b\n1,2\n3,4\n5,6", limits)
    with pytest.raises(TooLargeError, match="over 6 cells"):
        table(",".join("abcdefg"), limits)
