"""Uploads in OpenAI's shape, and files served with their type and ranges."""

import re
from pathlib import Path

import httpx2
import pytest

SIGN = (Path(__file__).resolve().parents[2] / "examples" / "sign.png").read_bytes()


@pytest.fixture(scope="module")
def path(http: httpx2.Client) -> str:
    """The path of an uploaded picture."""
    found: str = http.post("/v1/files", files={"file": ("sign.png", SIGN)}).json()["path"]
    return found


def test_an_upload_is_told_in_openais_shape(http: httpx2.Client) -> None:
    upload = http.post("/v1/files", files={"file": ("Ä sign.png", SIGN)}, data={"purpose": "vision"}).json()
    assert upload["object"] == "file"
    assert upload["bytes"] == len(SIGN)
    assert upload["filename"] == "Ä sign.png"
    assert upload["purpose"] == "vision"
    assert isinstance(upload["created_at"], int)
    assert re.fullmatch(r"file-[0-9a-f]{32}", upload["id"])
    assert re.fullmatch(r"/images/[0-9a-f]{32}\.png", upload["path"])
    assert http.get(upload["url"]).content == SIGN


def test_the_name_does_not_decide_what_a_file_is(http: httpx2.Client) -> None:
    upload = http.post("/v1/files", files={"file": ("noname", SIGN)}).json()
    assert upload["path"].startswith("/images/")
    page = http.post("/v1/files", files={"file": ("x.html", b"<script>alert(1)</script>")}).json()
    served = http.get(page["path"])
    assert served.headers["content-type"].startswith("text/plain")
    assert served.headers["content-disposition"] == 'attachment; filename="x.html"'
    assert served.headers["x-content-type-options"] == "nosniff"


def test_a_whole_file(http: httpx2.Client, path: str) -> None:
    served = http.get(path)
    assert served.content == SIGN
    assert served.headers["content-type"] == "image/png"
    assert served.headers["accept-ranges"] == "bytes"
    assert int(served.headers["content-length"]) == len(SIGN)


def test_head(http: httpx2.Client, path: str) -> None:
    served = http.head(path)
    assert served.status_code == 200
    assert served.content == b""
    assert int(served.headers["content-length"]) == len(SIGN)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-99", SIGN[:100]), ("bytes=100-", SIGN[100:]), ("bytes=-50", SIGN[-50:]),
     ("bytes=10-10", SIGN[10:11]), ("bytes=5-999999999", SIGN[5:])],
)  # fmt: skip
def test_ranges(http: httpx2.Client, path: str, asked: str, expected: bytes) -> None:
    served = http.get(path, headers={"range": asked})
    assert served.status_code == 206
    assert served.content == expected
    assert served.headers["content-range"].endswith(f"/{len(SIGN)}")


def test_a_range_behind_the_end(http: httpx2.Client, path: str) -> None:
    served = http.get(path, headers={"range": f"bytes={len(SIGN)}-"})
    assert served.status_code == 416
    assert served.headers["content-range"] == f"bytes */{len(SIGN)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "items=0-1", "bytes=-", "bytes=x-y"])
def test_a_range_that_is_not_understood_gives_the_whole_file(
    http: httpx2.Client, path: str, asked: str
) -> None:
    served = http.get(path, headers={"range": asked})
    assert served.status_code == 200
    assert served.content == SIGN


def test_a_stored_file_may_be_kept_for_ever(http: httpx2.Client, path: str) -> None:
    first = http.get(path)
    assert "immutable" in first.headers["cache-control"]
    again = http.get(path, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize("name", ["sign.png", "a.jpg", "g.jpg", "noisy.wav"])
def test_examples_are_served(http: httpx2.Client, name: str) -> None:
    served = http.get(f"/examples/{name}")
    assert served.status_code == 200
    assert served.content == (Path(__file__).resolve().parents[2] / "examples" / name).read_bytes()
