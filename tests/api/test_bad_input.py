"""Bad input: a clear 4xx that says what to do, and never a 500."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DOORS = ("/tasks", "/results", "/hugginggpt", "/v1/runs")


def _messages(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def _refused(answer: httpx2.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert all(word in error["message"] for word in words), error["message"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {},
        {"messages": "hello"},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": "   "}]},
        {"messages": [{"role": "assistant", "content": "hello"}]},
        {"messages": [{"role": "robot", "content": "hello"}]},
        {"messages": [{"role": "user", "content": 7}]},
        [],
        "text",
    ],
)
def test_a_body_of_the_wrong_form(http: httpx2.Client, door: str, body: Any) -> None:
    _refused(http.post(door, json=body), 400)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe\x00", b'{"messages": ', b"[" * 100_000])
def test_a_body_that_is_not_json(http: httpx2.Client, door: str, body: bytes) -> None:
    _refused(http.post(door, content=body, headers={"content-type": "application/json"}), 400, "JSON")


def test_a_body_without_its_type(http: httpx2.Client) -> None:
    _refused(http.post("/tasks", content=b"{}"), 400, "Content-Type: application/json")


@pytest.mark.parametrize(
    "path",
    [
        "/examples/absent.png",
        "/images/00000000000000000000000000000000.png",
        "holiday.png",
        "http://cat.internal/cat.png",
        "http://169.254.169.254/latest/meta-data.png",
        "file:///etc/hostname.png",
    ],
)
@pytest.mark.parametrize("door", ["/results", "/hugginggpt", "/v1/runs"])
def test_a_file_that_is_not_here(http: httpx2.Client, door: str, path: str) -> None:
    answer = http.post(door, json=_messages(f"Show me the edges of {path}"))
    assert answer.status_code in (400, 422), answer.text
    assert "upload" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/examples/../pyproject.png", "/images/..%2f..%2fetc.png", "public/../../a.png"]
)
def test_a_path_that_leaves_its_folder(http: httpx2.Client, path: str) -> None:
    answer = http.post("/hugginggpt", json=_messages(f"Show me the edges of {path}"))
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/images/../../../etc/passwd",
        "/examples/..%2F..%2Fpyproject.toml",
        "/examples/%2e%2e/pyproject.toml",
        "/uploads/x",
        "/etc/passwd",
        "/nowhere",
    ],
)
def test_what_is_not_served(http: httpx2.Client, path: str) -> None:
    assert http.get(path).status_code == 404


def test_planning_alone_does_not_ask_for_files(http: httpx2.Client) -> None:
    answer = http.post("/tasks", json=_messages("Show me the edges of /examples/absent.png"))
    assert answer.status_code == 200
    assert answer.json()[0]["args"] == {"image": "/examples/absent.png"}


def test_a_request_that_plans_two_thousand_tasks(http: httpx2.Client) -> None:
    many = ", ".join(f"/examples/{number}.jpg" for number in range(2000))
    for door in DOORS:
        _refused(http.post(door, json=_messages(f"Show me the edges of {many}")), 422, "12 tasks", "split")


def test_a_request_over_its_size(http: httpx2.Client) -> None:
    _refused(http.post("/tasks", json=_messages("x" * (300 << 10))), 413, "256 KiB")


def _zeros(count: int) -> Any:
    piece = bytes(1 << 20)
    return (piece for _ in range(count))


def test_an_upload_of_200_megabytes(http: httpx2.Client, tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    with big.open("wb") as stream:
        stream.truncate(200 << 20)
    with big.open("rb") as stream:
        _refused(http.post("/v1/files", files={"file": ("big.png", stream)}), 413, "MiB")


def test_an_upload_that_hides_its_size(http: httpx2.Client) -> None:
    headers = {"content-type": "multipart/form-data; boundary=xx"}

    def body() -> Any:
        yield b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        yield from _zeros(150)
        yield b"\r\n--xx--\r\n"

    _refused(http.post("/v1/files", content=body(), headers=headers), 413, "MiB")


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("a.png", b"this is no picture", 415),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, 415),
        ("a.wav", b"RIFF\0\0\0\0WAVE", 415),
        ("a.bin", b"\0\1\2\3" * 10, 415),
        ("a.png", b"", 415),
        ("a.wav", (EXAMPLES / "sign.png").read_bytes(), 415),
    ],
)
def test_an_upload_that_is_not_what_it_says(http: httpx2.Client, name: str, data: bytes, status: int) -> None:
    _refused(http.post("/v1/files", files={"file": (name, data)}), status)


def test_an_upload_without_a_file(http: httpx2.Client) -> None:
    _refused(http.post("/v1/files", data={"purpose": "vision"}), 400, "file")
    _refused(http.post("/v1/files", json={"file": "x"}), 400, "file")


def test_a_picture_where_a_recording_is_needed(http: httpx2.Client) -> None:
    body = {
        "messages": [{"role": "user", "content": "Remove the noise from it"}],
        "attachments": ["/nowhere"],
    }
    assert http.post("/v1/runs", json=body).status_code == 422


def test_foreign_hosts_and_origins_are_refused(http: httpx2.Client) -> None:
    _refused(http.get("/healthz", headers={"host": "rebound.example"}), 403, "127.0.0.1")
    evil = http.post("/tasks", json=_messages("hi"), headers={"origin": "https://evil.example"})
    _refused(evil, 403, "origins")
    local = http.post("/tasks", json=_messages("hi"), headers={"origin": "http://localhost:3000"})
    assert local.status_code == 200
    assert local.headers["access-control-allow-origin"] == "http://localhost:3000"


def test_unknown_routes_and_methods(http: httpx2.Client) -> None:
    _refused(http.get("/v1/nothing"), 404)
    _refused(http.delete("/hugginggpt"), 405)
