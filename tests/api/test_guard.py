"""The guard alone, at the level of ASGI: hosts, origins, sizes, slashes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from controller.api.guard import Guard
from deployments.errors import NotFoundError
from model_catalog.errors import HuggingGPTError

LIMIT, UPLOAD = 2048, 1 << 20
ENVELOPE = 64 << 10


@dataclass
class Behind:
    """The application behind the guard: reads the whole body, and answers 200."""

    scopes: list[Scope] = field(default_factory=list)
    read: int = 0
    error: Exception | None = None
    answers_first: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if self.answers_first:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            self.read += len(message.get("body", b""))
            more = message.get("more_body", False)
        if self.error is not None:
            raise self.error
        if not self.answers_first:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Answer:
    """What a client gets, and how much of its body was read for it."""

    status: int
    headers: dict[str, str]
    body: bytes
    received: int

    @property
    def message(self) -> str:
        """The sentence of an error."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "code", "param"}
        said: str = error["message"]
        return said


async def _ask(
    behind: Behind,
    method: str = "POST",
    path: str = "/tasks",
    body: Iterable[bytes] = (b"{}",),
    headers: Iterable[tuple[str, str]] = (("host", "127.0.0.1:8000"),),
    disconnects: bool = False,
) -> Answer:
    """A request, its body in these pieces; a client that disconnects never sends the last one."""
    guard = Guard(
        behind, hosts=["127.8.8.8"], origins=["https://ui.example"], max_body=LIMIT, max_upload=UPLOAD
    )
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope: Scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": raw}
    pieces, received, sent = iter(body), 0, []

    async def receive() -> Message:
        nonlocal received
        piece = next(pieces, None)
        if piece is None:
            return {"type": "http.disconnect"} if disconnects else {"type": "http.request", "body": b""}
        received += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    start, *rest = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(message["body"] for message in rest), received)


# Hosts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:65535", "127.8.8.8:8000"],
)
async def test_this_servers_names_are_answered_to(host: str) -> None:
    behind = Behind()
    assert (await _ask(behind, headers=[("host", host)])).status == 200
    assert behind.read == 2


@pytest.mark.parametrize(
    "host",
    ["", "rebound.example", "rebound.example:8000", "localhost.", "localhost.evil.com", "evil-localhost",
     "127.0.0.1.evil.com", "127.0.0.1@evil.com", "evil.com:80@127.0.0.1", "127.0.0.1:", "127.0.0.1:80:80",
     "localhost:abc",
     "localhost:80 ", "0.0.0.0", "::1", "[::1", "[::1]evil.com", "[::ffff:127.0.0.1]", "127.1", "2130706433",
     "localhost/evil.com", "localhost#", "x" * 5000],
)  # fmt: skip
async def test_no_other_name_is(host: str) -> None:
    behind = Behind()
    answer = await _ask(behind, headers=[("host", host)])
    assert answer.status == 403
    assert "use 127.0.0.1 or localhost" in answer.message
    assert len(answer.message) < 250
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert behind.scopes == []


async def test_a_request_without_a_host_is_refused() -> None:
    assert (await _ask(Behind(), headers=[])).status == 403


# Origins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "POSTED"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://localhost",
        "http://127.0.0.1",
        "http://[::1]:8000",
        "https://ui.example",
    ],
)
async def test_pages_that_may_change_something(method: str, origin: str) -> None:
    headers = [("host", "localhost"), ("origin", origin)]
    assert (await _ask(Behind(), method, headers=headers)).status == 200


@pytest.mark.parametrize(
    "origin",
    ["null", "", "https://evil.example", "http://localhost.evil.com", "http://localhost:8000.evil.com",
     "http://localhost@evil.com", "http://localhost:", "http://localhost:123456", "http://127.0.0.1:8000/", "http://127.0.0.10",
     "http://127x0x0x1", "file://", "ftp://localhost", "localhost", "http://localhost\nhttp://evil.com",
     "https://ui.example.evil.com", "http://ui.example", "https://UI.example", "x" * 5000],
)  # fmt: skip
async def test_pages_that_may_not(origin: str) -> None:
    behind = Behind()
    headers = [("host", "localhost"), ("origin", origin)]
    answer = await _ask(behind, headers=headers)
    assert answer.status == 403
    assert "add the origin to the setting 'origins'" in answer.message
    assert len(answer.message) < 250
    assert behind.scopes == []
    for method in ("GET", "HEAD", "OPTIONS"):
        assert (await _ask(behind, method, headers=headers)).status == 200, "it cannot read the answer"


# Sizes ---------------------------------------------------------------------------------------------------


def _sized(size: int | str, path: str = "/tasks") -> dict[str, Any]:
    return {"path": path, "headers": [("host", "localhost"), ("content-length", str(size))]}


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/tasks", LIMIT), ("/v1/files", UPLOAD + ENVELOPE), ("//v1/files", UPLOAD + ENVELOPE),
     ("/v1/files/", LIMIT), ("/v1/filesx", LIMIT), ("/v1//files", LIMIT)],
)  # fmt: skip
async def test_each_door_has_its_limit(path: str, limit: int) -> None:
    piece = bytes(1024)
    fits = [piece] * (limit // 1024)
    behind = Behind()
    assert (await _ask(behind, path=path, body=fits)).status == 200
    assert behind.read == limit
    over = await _ask(Behind(), path=path, body=[*fits, b"x"])
    assert over.status == 413
    assert (await _ask(Behind(), body=fits, **_sized(limit, path))).status == 200


async def test_the_limit_is_told_in_words() -> None:
    assert "larger than 2 KiB" in (await _ask(Behind(), **_sized(LIMIT + 1))).message
    assert "larger than 1 MiB" in (await _ask(Behind(), **_sized(1 << 40, "/v1/files"))).message


@pytest.mark.parametrize("length", [LIMIT + 1, 10**17, 10**18, "9" * 5000])
async def test_a_length_over_the_limit_is_refused_unread_by_the_application(length: int | str) -> None:
    behind = Behind()
    answer = await _ask(behind, body=[bytes(LIMIT), b"x"], **_sized(length))
    assert answer.status == 413
    assert behind.scopes == []
    assert answer.received == LIMIT + 1, "what is on its way is read, so that the client comes to read too"


@pytest.mark.parametrize("length", [0, 1, "-1", "+5", "abc", "", "1e9", "²", "0x10"])
async def test_a_length_that_lies_does_not_help(length: int | str) -> None:
    answer = await _ask(Behind(), body=[bytes(LIMIT), b"x"], **_sized(length))
    assert answer.status == 413
    assert (await _ask(Behind(), body=[b"x"], **_sized(length))).status == 200


async def test_a_body_without_an_end_is_read_for_a_while_only() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(8 << 20)

    answer = await _ask(Behind(), body=endless())
    assert answer.status == 413
    assert answer.received <= (64 << 20) + LIMIT + (8 << 20)


async def test_a_client_that_goes_away_while_it_is_refused() -> None:
    answer = await _ask(Behind(), body=[bytes(LIMIT + 1), b"x"], disconnects=True)
    assert (answer.status, answer.received) == (413, LIMIT + 2)


async def test_a_body_over_its_limit_when_the_answer_has_begun_is_not_answered_twice() -> None:
    with pytest.raises(HuggingGPTError):
        await _ask(Behind(answers_first=True), body=[bytes(LIMIT + 1)])


# Everything else -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ("/tasks", "/tasks"),
        ("//tasks", "/tasks"),
        ("////v1/runs", "/v1/runs"),
        ("/v1//runs", "/v1//runs"),
        ("/tasks/", "/tasks/"),
        ("", "/"),
        ("///", "/"),
        ("//é", "/é"),
    ],
)
async def test_slashes_in_front_are_one(asked: str, passed: str) -> None:
    behind = Behind()
    await _ask(behind, path=asked)
    (scope,) = behind.scopes
    assert (scope["path"], scope["raw_path"]) == (passed, passed.encode())


async def test_an_error_of_ours_becomes_an_answer_and_another_goes_on() -> None:
    answer = await _ask(Behind(error=NotFoundError("nothing here")))
    assert (answer.status, answer.message) == (404, "nothing here")
    assert json.loads(answer.body)["error"]["code"] == "not_found"
    with pytest.raises(KeyError):
        await _ask(Behind(error=KeyError("inner")))


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_not_http_is_passed_on_untouched(kind: str) -> None:
    seen: list[Any] = []

    async def behind(*arguments: Any) -> None:
        seen.append(arguments)

    async def unused(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent")

    guard = Guard(behind, hosts=[], origins=[], max_body=1, max_upload=1)
    scope: Scope = {"type": kind, "path": "//x"}
    await guard(scope, unused, unused)
    assert seen == [(scope, unused, unused)]
