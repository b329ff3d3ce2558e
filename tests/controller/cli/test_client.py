"""The command line's HTTP side: what it sends, what it reads, and what goes wrong, in one sentence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controller.cli.client import Client
from controller.errors import ControllerError
from controller.request import Message
from tests.support.web import IMAGE, URL, Handler, Web, account, client, sse

ASKED = (Message(role="user", content="Grüße :smile: 世界"),)


def _raises(error: Exception) -> Handler:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise error

    return handler


def _answers(status: int, **content: Any) -> Handler:
    return lambda request: httpx2.Response(status, **content)


class Broken(httpx2.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        raise httpx2.ReadError("gone")


# What is sent and read -----------------------------------------------------------------------------------


def test_an_upload_sends_the_file_and_gives_its_path(tmp_path: Path) -> None:
    web = Web()
    (tmp_path / "Ä b.png").write_bytes(b"PNG!")
    assert client(web).upload(tmp_path / "Ä b.png") == "/images/upload1.png"
    assert b"PNG!" in web.uploads[0]
    assert b'name="file"' in web.uploads[0]


def test_a_run_sends_the_talk_and_gives_the_events() -> None:
    web = Web()
    events = list(client(web).run(ASKED, ["/images/a.png"]))
    assert events == web.events
    (request,) = web.runs
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {
        "messages": [{"role": "user", "content": "Grüße :smile: 世界"}],
        "attachments": ["/images/a.png"],
        "stream": True,
    }


def test_comments_and_other_fields_of_a_stream_are_passed_over() -> None:
    body = b": ping\n\nretry: 5\n" + sse(account()).replace(b"data: ", b"data:")
    assert len(list(client(_answers(200, content=body)).run(ASKED))) == 4


def test_a_file_is_saved_in_a_folder_that_is_made(tmp_path: Path) -> None:
    saved = client(Web()).download(IMAGE.path, tmp_path / "deep" / "out")
    assert saved == (tmp_path / "deep" / "out" / IMAGE.path.rpartition("/")[2]).resolve()
    assert saved.read_bytes() == b"PNG!"


def test_the_experts_are_listed() -> None:
    assert client(Web()).experts() == [{"model": "embedded/canny"}]


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://127.0.0.1:8000", "https://gpu.example"])
def test_an_address_needs_no_scheme(url: str) -> None:
    with Client(url) as made:
        assert str(made._http.base_url).startswith(("http://127.0.0.1:8000", "https://gpu.example"))
    assert made._http.is_closed


# What goes wrong -----------------------------------------------------------------------------------------


def _each(handler: Handler, tmp_path: Path) -> Iterator[str]:
    """What each of the client's calls says."""
    (tmp_path / "a.png").touch()
    made = client(handler)
    for call in (
        lambda: made.upload(tmp_path / "a.png"),
        lambda: list(made.run(ASKED)),
        lambda: made.download(IMAGE.path, tmp_path / "out"),
        lambda: made.experts(),
    ):
        with pytest.raises(ControllerError) as caught:
            call()
        assert "\n" not in caught.value.message
        yield caught.value.message
    assert not list(tmp_path.rglob("out/*")), "nothing is left"


def test_a_refusal_is_told_in_the_servers_words(tmp_path: Path) -> None:
    assert set(_each(Web(refuses="Send less."), tmp_path)) == {"Send less."}


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"error": {}}', b"null", b"\xff"]
)
def test_a_refusal_without_words_is_told_by_its_status(content: bytes, tmp_path: Path) -> None:
    assert set(_each(_answers(502, content=content), tmp_path)) == {"The server answered 502."}


@pytest.mark.parametrize(
    "error", [httpx2.ConnectError("x"), httpx2.ReadTimeout("x"), httpx2.RemoteProtocolError("x")]
)
def test_a_server_that_does_not_answer(error: Exception, tmp_path: Path) -> None:
    said = f"The server at {URL} does not answer ({type(error).__name__})."
    assert set(_each(_raises(error), tmp_path)) == {said}


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b"7", b""])
def test_another_server_at_that_address(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    made = client(_answers(200, content=content))
    for call in (made.experts, lambda: made.upload(tmp_path / "a.png")):
        with pytest.raises(ControllerError, match="is no server of this release"):
            call()
    for data in (content, b'{"type": "run.paused", "run": "r"}'):
        other = client(_answers(200, content=b"data: " + data + b"\n\n"))
        with pytest.raises(ControllerError, match="is no server of this release"):
            list(other.run(ASKED))


@pytest.mark.parametrize("url", ["http://[::1", "http://a:b", "http://\0"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ControllerError, match="is no URL"):
        Client(url)


def test_a_scheme_that_is_not_spoken() -> None:
    with Client("ftp://server.example") as made, pytest.raises(ControllerError, match="does not answer"):
        made.experts()


def test_a_stream_that_breaks_off_is_told_after_its_events() -> None:
    made = client(_answers(200, stream=Broken(sse(account()[:2]))))
    events = made.run(ASKED)
    assert [next(events).type, next(events).type] == ["run.created", "plan.task"]
    with pytest.raises(ControllerError, match="does not answer"):
        next(events)


def test_a_download_that_breaks_off_leaves_no_part(tmp_path: Path) -> None:
    with pytest.raises(ControllerError, match="does not answer"):
        client(_answers(200, stream=Broken(b"PN"))).download(IMAGE.path, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ControllerError, match=r"cannot be written: (Not a directory|File exists)"):
        client(Web()).download(IMAGE.path, tmp_path / "file")
    with pytest.raises(ControllerError, match="cannot be written: Is a directory"):
        client(Web()).download("/images/", tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    web = Web()
    with pytest.raises(ControllerError, match=r"absent\.png cannot be read: No such file"):
        client(web).upload(tmp_path / "absent.png")
    with pytest.raises(ControllerError, match="cannot be read: Is a directory"):
        client(web).upload(tmp_path)
    assert web.uploads == []


def test_the_key_of_the_environment_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, sent in ((None, None), ("", None), (" hgp_x \n", "Bearer hgp_x")):
        monkeypatch.delenv("HUGGINGGPT_API_KEY", raising=False)
        if value is not None:
            monkeypatch.setenv("HUGGINGGPT_API_KEY", value)
        with Client(URL) as made:
            assert made._http.headers.get("authorization") == sent
    for value in ("schlüssel", "two\nlines"):
        monkeypatch.setenv("HUGGINGGPT_API_KEY", value)
        with pytest.raises(ControllerError, match="HUGGINGGPT_API_KEY holds no API key"):
            Client(URL)
