"""A body over its limit that hides its length is refused as such at every door."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controller.api.app import Backend, build
from controller.settings import Settings
from deployments.artifacts import Artifacts
from tests.support.stage import Stage

BODY = json.dumps({"model": "hugginggpt", "input": "x" * 4_000, "messages": [], "prompt": "x"}).encode()
FORM = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tasks", "application/json"),
        ("/v1/runs", "application/json"),
        ("/v1/embeddings", "application/json"),
        ("/v1/images/generations", "application/json"),
        ("/v1/chat/completions", "application/json"),
        ("/v1/responses", "application/json"),
        ("/v1/audio/transcriptions", "multipart/form-data; boundary=xx"),
        ("/v1/files", "multipart/form-data; boundary=xx"),
        ("/pipeline/summarization", "application/json"),
        ("/mcp", "application/json"),
    ],
)
async def test_a_body_that_hides_its_length(tmp_path: Path, path: str, kind: str) -> None:
    settings = Settings(max_body_bytes=2_048, max_upload_bytes=2_048)
    store: Any = Artifacts(str(tmp_path))
    app = build(Backend(Stage(settings=settings).controller, store))

    async def pieces() -> AsyncIterator[bytes]:
        yield FORM if kind.startswith("multipart") else BODY[:-1]
        for _ in range(20):
            yield b" " * 10_000
        yield b"\r\n--xx--\r\n" if kind.startswith("multipart") else BODY[-1:]

    headers = {
        "content-type": kind, "accept": "application/json, text/event-stream", "origin": "http://localhost:1",
    }  # fmt: skip
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        answer = await http.post(path, content=pieces(), headers=headers)
    assert answer.status_code == 413, answer.text
    assert "larger than" in answer.text
    assert answer.headers["access-control-allow-origin"]
