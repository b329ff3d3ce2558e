"""The OpenAPI document is true: schemathesis asks every route what the document allows, and what it does not.

The application runs in this process with the embedded brain, a real store, and an expert for each task that
answers at once; the requests come over a socket.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from controller.api.app import build
from controller.recorder import Recorder
from deployments.history.history import History
from model_catalog.tasks import TASKS
from tests.deployments.samples import PICTURES
from tests.support.serving import threaded
from tests.support.whole import backend

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ensure_resource_availability",
)
"""What holds for every answer; what is asked in vain may be refused in more ways than a schema can say."""

_SETTINGS = """\
[dictionaries]
models.values = {models}
owners.values = ["test"]
names.values = {names}
tasks.values = {names}
runs.values = {runs}
talks.values = {talks}
files.values = {files}
stored.values = {stored}

[parameters]
"path.model" = {{ dictionary = "models", probability = 0.7 }}
"body.model" = {{ dictionary = "models", probability = 0.9 }}
"path.owner" = {{ dictionary = "owners", probability = 0.8 }}
"path.name" = {{ dictionary = "names", probability = 0.8 }}
"path.task" = {{ dictionary = "tasks", probability = 0.8 }}
"path.run_id" = {{ dictionary = "runs", probability = 0.7 }}
"path.conversation" = {{ dictionary = "talks", probability = 0.7 }}
"path.file" = {{ dictionary = "files", probability = 0.7 }}
"body.text" = {{ dictionary = "stored", probability = 0.1 }}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application on a socket, with a history."""
    folder = tmp_path_factory.mktemp("files")
    with closing(History(SecretStr(f"sqlite:///{folder}/history.db"))) as history:
        whole = replace(backend(folder), recorder=Recorder(history))
        with threaded(build(whole)) as address:
            yield address


@pytest.fixture(scope="module")
def settings(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings of schemathesis: ids of what is there, so that it comes further than to the door."""
    with httpx2.Client(base_url=url) as http:
        file = http.post("/v1/files", files={"file": ("a.png", PICTURES["image/png"])}).json()
        asked = {"messages": [{"role": "user", "content": "Is this a good day?"}]}
        run = http.post("/v1/runs", json=asked).json()["run"]["run"]
        talk = http.post("/v1/conversations", json={}).raise_for_status().json()["id"]
    path = tmp_path_factory.mktemp("schema") / "schemathesis.toml"
    told = _SETTINGS.format(
        models=json.dumps(["hugginggpt", *(f"test/{task}" for task in TASKS)]),
        names=json.dumps(list(TASKS)),
        runs=json.dumps([run]),
        talks=json.dumps([talk]),
        files=json.dumps([file["id"]]),
        stored=json.dumps([file["url"]]),
    )
    path.write_text(told, encoding="utf-8")
    return path


def _asked(url: str, settings: Path, *options: str) -> None:
    """Have schemathesis ask every route; what it finds fails the test, with the requests to repeat."""
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
        "--config-file", str(settings), "run", f"{url}/openapi.json", "--checks", ",".join(CHECKS),
        "--suppress-health-check", "all", "--warnings", "off", "--no-color",
        *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=settings.parent, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


@pytest.mark.timeout(300)
def test_every_route_does_as_the_document_says(url: str, settings: Path) -> None:
    _asked(
        url, settings, "--phases", "coverage,fuzzing", "--max-examples", "5", "--generation-deterministic",
    )  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_ten_minutes_of_requests_find_nothing(url: str, settings: Path) -> None:
    _asked(
        url, settings, "--phases", "coverage,fuzzing,stateful", "--max-examples", "1000", "--max-time", "600",
        "--generation-database", "none",
    )  # fmt: skip


def test_methods_that_a_route_does_not_take_are_told_with_those_it_does(url: str) -> None:
    with httpx2.Client(base_url=url) as http:
        paths = http.get("/openapi.json").json()["paths"]
        for path, methods in paths.items():
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {name.upper() for name in methods}:
                answer = http.request(method, path)
                assert answer.status_code == 405, (method, path)
                assert answer.headers["allow"], (method, path)
                assert "error" in answer.json()


@pytest.mark.parametrize(
    ("method", "path", "status", "form"),
    [
        ("POST", "/nowhere", 404, dict),
        ("GET", "/v1/images/edits", 405, dict),
        ("POST", "/models/a/b%2Fc", 404, str),
        ("GET", "/pipeline/fill-mask", 405, str),
        ("POST", "/models/a/b/v1/chat/completions", 400, dict),
    ],
)
def test_errors_of_no_route_have_the_form_of_their_dialect(
    method: str, path: str, status: int, form: type[object], url: str
) -> None:
    with httpx2.Client(base_url=url, headers={"content-type": "application/json"}) as http:
        answer = http.request(method, path, content=b"\xff")
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], form)
