"""The whole product on a real cluster: memory, overlap, streams, disconnects, what the dashboard shows."""

import io
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import PIL.Image
import psutil
import pytest
import ray
from ray import serve

from controller.events import EVENT, Event, RunDone, TaskDone, TaskStarted
from deployments import fleet
from model_catalog.catalog import Catalog
from tests.support.cluster import EXTRA, card, deployed, replicas
from tests.support.signal import Signals


def _run(http: httpx2.Client, text: str, **more: Any) -> Any:
    answer = http.post("/v1/runs", json={"messages": [{"role": "user", "content": text}], **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def echoes(product: str) -> Iterator[None]:
    """Two more experts that give back the picture they get."""
    with deployed(EXTRA):
        yield


def test_a_large_picture_through_three_experts_leaves_the_controllers_memory_flat(
    http: httpx2.Client, echoes: None
) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (1900, 1800, 3), dtype=np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(noise).save(stream, "PNG", compress_level=0)
    assert len(stream.getvalue()) > 10_000_000
    request = (
        "Estimate the depth of {}, then segment the resulting image, then show me the edges of the result."
    )
    _run(http, request.format("/examples/sign.png"))
    path = http.post("/v1/files", files={"file": ("noise.png", stream.getvalue())}).json()["path"]
    (pid,) = replicas("hugginggpt")
    process = psutil.Process(pid)
    before = process.memory_full_info().uss
    for _ in range(4):
        outcomes = _run(http, request.format(path))["run"]["outcomes"]
        assert [outcome["status"] for outcome in outcomes] == ["done"] * 3
    grown = process.memory_full_info().uss - before
    assert grown < 8 << 20, f"the controller grew by {grown} bytes over four runs of 3 × 10 MB"


def test_every_step_is_told_as_it_happens(http: httpx2.Client) -> None:
    events = list(_events(http, "Show me the edges of /examples/sign.png and tell me what it says"))
    kinds = [event.type for event in events]
    assert kinds[0] == "run.created"
    assert kinds[-1] == "run.done"
    assert kinds.count("plan.task") == kinds.count("task.chosen") == kinds.count("task.done") == 2
    assert len({event.run for event in events}) == 1
    started = {event.id: event.time for event in events if isinstance(event, TaskStarted)}
    ended = {event.outcome.id: event.time for event in events if isinstance(event, TaskDone)}
    assert max(started.values()) < min(ended.values()), "independent tasks overlap in time"
    done = events[-1]
    assert isinstance(done, RunDone)
    assert {"plan", "execute", "respond", "total"} <= set(done.seconds)
    assert done.answer == "".join(event.text for event in events if event.type == "answer.delta")


def _events(http: httpx2.Client, text: str) -> Iterator[Event]:
    body = {"messages": [{"role": "user", "content": text}], "stream": True}
    with http.stream("POST", "/v1/runs", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data:"):
                yield EVENT.validate_json(line.removeprefix("data:"))


def test_a_streamed_run_that_is_refused_ends_with_its_cause(http: httpx2.Client) -> None:
    events = list(_events(http, "Show me the edges of /examples/absent.png"))
    assert events[-1].type == "run.failed"
    assert "upload" in events[-1].error.message


def test_an_attachment_need_not_be_named(http: httpx2.Client) -> None:
    sign = (Path(__file__).resolve().parent.parent / "examples" / "sign.png").read_bytes()
    path = http.post("/v1/files", files={"file": ("sign.png", sign)}).json()["path"]
    told = _run(http, "Read this aloud", attachments=[path])
    assert [task["task"] for task in told["plan"]["plan"]] == ["image-to-text", "text-to-speech"]
    assert told["run"]["outcomes"][0]["text"] == "HARBOUR FERRY\nLEAVES AT NOON"


def test_a_stored_text_is_read_by_the_expert(http: httpx2.Client) -> None:
    text = "What a wonderful, lovely and brilliant day this is!"
    path = http.post("/v1/files", files={"file": ("day.txt", text.encode())}).json()["path"]
    told = _run(http, f"Read {path} aloud")
    (outcome,) = told["run"]["outcomes"]
    assert outcome["status"] == "done", outcome
    assert outcome["args"] == {"text": path}
    seconds = outcome["artifacts"][0]["size"] / 2 / 22050
    assert 2 < seconds < 10, "the words of the file are spoken, not its name"


@pytest.fixture
def hanging(product: str) -> Iterator[Signals]:
    """An expert that works until it is stopped; the signals that it gives."""
    signals = Signals()
    model = card("hanging", "depth-estimation", "Hangs", description=signals.name)
    with deployed([model.model_copy(update={"id": EXTRA[0].id})]):
        yield signals


async def test_a_client_that_goes_away_stops_the_model(product: str, hanging: Signals) -> None:
    body = {
        "messages": [{"role": "user", "content": "Estimate the depth of /examples/sign.png"}],
        "stream": True,
    }
    async with (
        httpx2.AsyncClient(base_url=product, timeout=60) as http,
        http.stream("POST", "/v1/runs", json=body),
    ):
        await hanging.wait("begun")
    await hanging.wait("stopped")


def test_applications_and_deployments_are_named_by_task_and_model(product: str) -> None:
    applications = serve.status().applications
    for expert in Catalog.shipped():
        if expert.embedded:
            (deployment,) = applications[fleet.app_name(expert)].deployments
            name = expert.id.partition("/")[2]
            assert fleet.app_name(expert) == f"{expert.tasks[0]}--embedded--{name}"
            assert deployment == f"{expert.tasks[0]}--{name}"


def test_each_replica_logs_with_the_runs_id(http: httpx2.Client, home: Path) -> None:
    run = _run(http, "Read the text in /examples/sign.png aloud")["run"]["run"]
    logs = Path(ray._private.worker._global_node.get_session_dir_path()) / "logs" / "serve"
    named = {path.name for path in logs.glob("replica_*.log") if run in path.read_text(encoding="utf-8")}
    assert any("rapidocr" in name for name in named), named
    assert any("espeak" in name for name in named), named
    assert any("artifacts" in name for name in named), named
    assert any("hugginggpt" in name for name in named), named


def test_experts_and_readiness_are_told(http: httpx2.Client) -> None:
    experts = http.get("/v1/experts").json()["data"]
    states = {expert["model"]: (expert["status"], expert["replicas"]) for expert in experts}
    assert states["embedded/rapidocr"] == ("RUNNING", 1)
    ready = http.get("/readyz")
    assert ready.status_code == 200
    assert "embedded/espeak-ng" in ready.json()["experts"]
    assert http.get("/healthz").json()["status"] == "ok"


def test_the_openapi_document_lists_the_doors(http: httpx2.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/tasks", "/results", "/hugginggpt", "/v1/files", "/v1/runs", "/healthz", "/readyz"} <= set(paths)


def test_metrics_are_exported(http: httpx2.Client) -> None:
    _run(http, "Read the text in /examples/sign.png aloud")
    text = _metrics(r'hugginggpt_tasks\w*\{[^}]*status="done"')
    assert re.search(r'hugginggpt_runs\w*\{[^}]*outcome="done"', text)
    assert re.search(r'hugginggpt_tasks\w*\{[^}]*status="done"[^}]*task="text-to-speech"', text)
    assert re.search(r'hugginggpt_choices\w*\{[^}]*model="embedded/espeak-ng"', text)
    assert re.search(r'hugginggpt_stage_seconds\w*\{[^}]*stage="execute"', text)


def _metrics(awaited: str) -> str:
    """What the node's metrics agent exports, once it holds what is awaited: it is told every few seconds."""
    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    pause = threading.Event()
    with httpx2.Client(timeout=10) as client:
        for _ in range(120):
            text = client.get(url).text
            if re.search(awaited, text):
                return text
            pause.wait(0.25)
    raise AssertionError(f"{awaited} was not exported")


def test_the_dashboard_asks_for_a_token_and_knows_the_applications(product: str, home: Path) -> None:
    address = ray._private.worker._global_node.webui_url
    token = (home / ".ray" / "auth_token").read_text(encoding="utf-8").strip()
    with httpx2.Client(base_url=f"http://{address}", timeout=30) as client:
        assert client.get("/api/serve/applications/").status_code == 401
        answer = client.get("/api/serve/applications/", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    names = set(json.loads(answer.text)["applications"])
    assert {"hugginggpt", "artifacts", "text-to-speech--embedded--espeak-ng"} <= names
