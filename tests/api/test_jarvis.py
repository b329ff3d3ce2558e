"""HuggingGPT's own dialect, over HTTP, with real experts."""

import io
import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest
import soundfile

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIGN_WORDS = ("HARBOUR", "FERRY", "LEAVES", "NOON")
README = "based on pose of /examples/d.jpg and content of /examples/e.jpg, please show me a new image"


def _ask(http: httpx2.Client, text: str, door: str = "/hugginggpt") -> Any:
    answer = http.post(door, json={"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def _paths(message: str) -> list[str]:
    """What HuggingGPT's web client finds in an answer."""
    pattern = r"(?:http(?:s?):|/)(?:[/|.|\w|\s|-])*?\.(?:jpg|jpeg|tiff|gif|png|flac|wav|mp4)"
    return re.findall(pattern, message)


def _speech_seconds(data: bytes) -> float:
    samples, rate = soundfile.read(io.BytesIO(data))
    assert np.abs(samples).max() > 0.05, "silence"
    return float(len(samples) / rate)


def test_the_text_of_a_sign_is_read_aloud(http: httpx2.Client) -> None:
    message = _ask(http, "Read the text in /examples/sign.png aloud")["message"]
    assert all(word in message for word in SIGN_WORDS)
    (wav,) = [path for path in _paths(message) if path.endswith(".wav")]
    served = http.get(wav)
    assert served.headers["content-type"] == "audio/wav"
    assert _speech_seconds(served.content) > 1


def test_edges_and_words_of_a_picture_run_at_once(http: httpx2.Client) -> None:
    results = _ask(http, "Show me the edges of /examples/sign.png and tell me what it says", "/results")
    assert {result["task"]["task"] for result in results.values()} == {"canny-control", "image-to-text"}
    edges = next(r["inference result"] for r in results.values() if r["task"]["task"] == "canny-control")
    assert http.get(edges["generated image"]).headers["content-type"] == "image/png"
    read = next(r["inference result"] for r in results.values() if r["task"]["task"] == "image-to-text")
    assert all(word in read["generated text"] for word in SIGN_WORDS)


def test_an_uploaded_recording_named_by_its_url_is_cleaned(http: httpx2.Client) -> None:
    recording = (EXAMPLES / "noisy.wav").read_bytes()
    upload = http.post("/v1/files", files={"file": ("noisy.wav", recording)}).json()
    message = _ask(http, f"Clean the noise from {upload['url']}")["message"]
    cleaned = [path for path in _paths(message) if path.endswith(".wav") and path not in upload["url"]]
    assert len(cleaned) == 1
    before, _ = soundfile.read(io.BytesIO(recording))
    after, _ = soundfile.read(io.BytesIO(http.get(cleaned[0]).content))
    assert len(before) == len(after)
    assert np.abs(after).mean() < np.abs(before).mean()


def test_a_review_is_judged_and_read_aloud(http: httpx2.Client) -> None:
    review = "I loved every minute of it, wonderful!"
    message = _ask(http, f"Is this review positive: '{review}'? And read it aloud")["message"]
    assert "positive" in message.lower()
    (wav,) = [path for path in _paths(message) if path.endswith(".wav")]
    assert _speech_seconds(http.get(wav).content) > 1


def test_results_have_jarviss_shape(http: httpx2.Client) -> None:
    results = _ask(http, "Read the text in /examples/sign.png aloud", "/results")
    assert list(results) == ["0", "1"]
    first, second = results["0"], results["1"]
    assert set(first) == {"task", "inference result", "choose model result"}
    assert first["task"] == {
        "task": "image-to-text",
        "id": 0,
        "dep": [-1],
        "args": {"image": "/examples/sign.png"},
    }
    assert first["choose model result"]["id"] == "embedded/rapidocr"
    assert first["choose model result"]["reason"]
    assert second["task"]["args"]["text"] == first["inference result"]["generated text"], "args are resolved"
    assert re.fullmatch(r"/audios/[0-9a-f]{32}\.wav", second["inference result"]["generated audio"])


def test_tasks_gives_the_plan_that_jarviss_readme_shows(http: httpx2.Client) -> None:
    assert _ask(http, README, "/tasks") == [
        {"task": "openpose-control", "id": 0, "dep": [-1], "args": {"image": "/examples/d.jpg"}},
        {"task": "image-to-text", "id": 1, "dep": [-1], "args": {"image": "/examples/e.jpg"}},
        {
            "task": "openpose-text-to-image",
            "id": 2,
            "dep": [1, 0],
            "args": {"image": "<GENERATED>-0", "text": "<GENERATED>-1"},
        },
    ]


def test_what_no_model_can_run_is_told_with_its_cause_and_what_to_do(http: httpx2.Client) -> None:
    results = _ask(http, README, "/results")
    assert set(results) == {"0", "1", "2"}
    pose = results["0"]["inference result"]["error"]["message"]
    assert "openpose-control" in pose
    assert "pip install 'hugginggpt-serve[annotators]'" in pose
    assert "leave that part out" in pose
    assert "error" in results["2"]["inference result"]
    message = _ask(http, README)["message"]
    assert "openpose-control" in message
    assert "leave that part out" in message


def test_mere_talk_is_answered_by_a_message(http: httpx2.Client) -> None:
    for door in ("/tasks", "/results", "/hugginggpt"):
        assert set(_ask(http, "Hello, how are you?", door)) == {"message"}


def test_no_model_can_put_html_into_jarviss_page(http: httpx2.Client) -> None:
    text = "What a <img src=x onerror=alert(1)> wonderful day, and it is good."
    message = _ask(http, f"Summarize this text: '{text}'")["message"]
    assert re.search(r"(&lt;|‹)img src=x", message)
    assert "<img" not in message


def test_preflight_and_a_doubled_slash(http: httpx2.Client) -> None:
    for path in ("/hugginggpt", "//hugginggpt"):
        status, headers = _raw(http, "OPTIONS", path, {
            "Origin": "http://localhost:9999",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        })  # fmt: skip
        assert status == 200
        assert headers["access-control-allow-origin"] in ("*", "http://localhost:9999")
        assert "content-type" in headers["access-control-allow-headers"].lower()
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    status, _ = _raw(http, "POST", "//hugginggpt", headers, body)
    assert status == 200


def _raw(
    http: httpx2.Client, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, dict[str, str]]:
    """A request with its path exactly as given, which HTTP clients would tidy up."""
    address = urlsplit(str(http.base_url))
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection((address.hostname, address.port or 80), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    told = dict(line.lower().split(": ", 1) for line in head[1:])
    return int(head[0].split()[1]), told


@pytest.mark.parametrize("field", ["api_key", "api_endpoint", "api_type"])
def test_a_clients_llm_is_refused(http: httpx2.Client, field: str) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], field: "http://evil.example"}
    for door in ("/tasks", "/results", "/hugginggpt"):
        answer = http.post(door, json=body)
        assert answer.status_code == 403
        assert "allow_client_llm" in answer.json()["error"]["message"]
