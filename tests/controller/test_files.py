"""Paths that requests name: what leads to a stored file, and what leads nowhere."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.errors import AttachmentError, RequestError
from controller.files import local_path

ID = "0123456789abcdef" * 2
PATH = f"/images/{ID}.png"


@pytest.mark.parametrize(
    "value",
    [
        PATH,
        PATH[1:],
        f"public{PATH}",
        f"/public{PATH}",
        f"  {PATH}\n",
        f"//images/{ID}.png",
        f"http://127.0.0.1:8000{PATH}",
        f"HTTP://LOCALHOST{PATH}",
        f"https://localhost:1{PATH}?download=1#top",
        f"http://[::1]:8000{PATH}",
        f"http://127.0.0.1/public{PATH}",
        f"http://user:word@127.0.0.1{PATH}",
        f"http://gpu.example:8000{PATH}",
        f"http://GPU.example{PATH}",
    ],
)
def test_every_way_to_write_it_is_one_path(value: str) -> None:
    assert local_path(value, host="gpu.example:8000") == PATH


def test_examples_and_deeper_folders_are_paths_too() -> None:
    assert local_path("/examples/sign.png") == "/examples/sign.png"
    assert local_path("public/examples/a.jpg") == "/examples/a.jpg"
    assert local_path("/a/b/c.d.wav") == "/a/b/c.d.wav"


@pytest.mark.parametrize(
    "value",
    [
        f"http://example.com{PATH}",
        f"http://127.0.0.1@evil.com{PATH}",
        f"http://127.0.0.1:80@evil.com{PATH}",
        f"http://127.0.0.1\\@evil.com{PATH}",
        f"http://127.0.0.1#@evil.com{PATH}".replace("#", "%23"),
        f"http://localhost.evil.com{PATH}",
        f"http://evil.com/http://127.0.0.1{PATH}",
        f"http://evil-localhost{PATH}",
        f"http://0.0.0.0{PATH}",
        f"http://2130706433{PATH}",
        f"http://127.1{PATH}",
        f"http://169.254.169.254{PATH}",
        f"http://[::ffff:127.0.0.1]{PATH}",
        f"http://[::1{PATH}",
        f"http://{PATH}",
        "http://",
        f"http://localhost。{PATH}",
        f"http://ⓛocalhost{PATH}",
        f"https://gpu.example.evil.com{PATH}",
    ],
)
def test_links_to_other_hosts_are_refused_with_what_to_do(value: str) -> None:
    with pytest.raises(AttachmentError, match="here links are not fetched; upload the file"):
        local_path(value, host="gpu.example:8000")


@pytest.mark.parametrize(
    "value",
    [
        "/images/../../etc/passwd",
        "../secret.png",
        "/images/..%2f..%2fetc/passwd",
        "/images/%2e%2e/x.png",
        "/images\\..\\x.png",
        "/images\\x.png",
        "/images/x.png\0.txt",
        f"http://127.0.0.1/images/../{ID}.png",
        "http://localhost/images/%2e%2e/x.png",
        "/images/a..png",
    ],
)
def test_a_path_that_would_leave_its_folder_is_refused(value: str) -> None:
    with pytest.raises(RequestError, match="is not allowed") as caught:
        local_path(value)
    assert caught.value.status == 400
    assert "\0" not in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "/",
        "holiday.png",
        "/holiday.png",
        "images/",
        f"{PATH}/",
        f"{PATH}?x=1",
        "file:///etc/passwd",
        "ftp://127.0.0.1/images/x.png",
        "//evil.com/images/x.png",
        "/images//x.png",
        "/images/x y.png",
        "/images/é.png",
        "/images/x.png\n/etc/passwd",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "~/x.png",
        "http://127.0.0.1",
        "http://127.0.0.1/",
        "http://127.0.0.1/x.png",
    ],
)
def test_what_is_no_path_of_this_server_says_how_to_upload(value: str) -> None:
    with pytest.raises(AttachmentError, match="upload it with POST /v1/files"):
        local_path(value)


def test_without_a_host_only_this_machines_names_are_its_own() -> None:
    with pytest.raises(AttachmentError):
        local_path(f"http://gpu.example{PATH}")
    assert local_path(f"http://[::1]{PATH}", host="[::1]:8000") == PATH


def test_a_long_value_is_shown_short() -> None:
    for value in ("x" * 10_000, "http://evil/" + "x" * 10_000, "/../" + "x" * 10_000):
        with pytest.raises(RequestError) as caught:
            local_path(value)
        assert len(caught.value.message) < 300


_PIECES = st.sampled_from(
    ["/", "//", "\\", "..", ".", "%2e", "%2f", "%00", "\0", "\n", "\t", " ", "@", ":", "?", "#", "http://",
     "https://", "127.0.0.1", "localhost", "[::1]", "[", "]", "evil.com", "public", "images", ID, ".png", "é"]
)  # fmt: skip


def _read(value: str) -> str | RequestError:
    try:
        return local_path(value, host="localhost:8000")
    except RequestError as error:
        return error


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=60))
@example(f"http://127.0.0.1\t/images\n/{ID}.png")
def test_a_path_has_the_form_that_is_served_or_is_refused(value: str) -> None:
    read = _read(value)
    if isinstance(read, RequestError):
        assert read.status in (400, 422)
        assert "\n" not in read.message
    else:
        assert re.fullmatch(r"(/[A-Za-z0-9_-]+)+/[A-Za-z0-9_.-]+", read)
        assert ".." not in read
