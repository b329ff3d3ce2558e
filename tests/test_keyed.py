"""A server that other machines reach, as processes of its own: keys from the first to the last."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controller.cli.client import KEY
from controller.keyring import STALE_S
from controller.server import any_port
from tests.support.command import command_line, environment

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parent.parent
ASKED = "Find the edges in /examples/sign.png"


def _key(folder: Path, name: str, *more: str) -> str:
    done = command_line("keys", "create", "--name", name, *more, folder=folder, seconds=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """A server on all addresses of this machine: its folder, what it told, and a key for everything."""
    folder = tmp_path_factory.mktemp("exposed")
    admin = _key(folder, "boss", "--scope", "admin")
    (folder / "hugginggpt.toml").write_text(
        f'host = "0.0.0.0"\nport = {any_port("127.0.0.1")}\ndashboard_port = {any_port("127.0.0.1")}\n'
        'experts = ["embedded/canny", "embedded/vader"]\n'
    )
    command = [sys.executable, "-c", "from controller.cli import main; main()", "up", "--json"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told, process.stderr and process.stderr.read()
        yield folder, json.loads(told), admin
        process.terminate()
        process.wait(timeout=90)


def _wait(done: Any, seconds: float) -> float:
    """How long it takes until something holds, in seconds; at most so long."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < seconds
        time.sleep(0.05)
    return time.monotonic() - begun


def test_strangers_stay_out_and_keys_work_from_the_first_to_the_last(
    exposed: tuple[Path, dict[str, Any], str],
) -> None:
    folder, told, admin = exposed
    url = told["url"]
    with httpx2.Client(base_url=url, timeout=30) as stranger:
        for path in (
            "/",
            "/openapi.json",
            "/v1/models",
            "/mcp",
            "/v1/runs",
            "/v1/files",
            "/examples/sign.png",
        ):
            assert stranger.get(path).status_code == 401
        for size in (10, 40 << 20):
            refused = stranger.post("/v1/files", files={"file": ("a.bin", bytes(size))})
            assert refused.status_code == 401, "also where much is on its way"
        token = _key(folder, "jane")
        mine = {"authorization": f"Bearer {token}"}
        _wait(lambda: stranger.get("/v1/models", headers=mine).status_code == 200, 5)
        asked = command_line("ask", ASKED, "--url", url, "--json", folder=folder, more={KEY: token})
        assert asked.returncode == 0, asked.stderr
        (made,) = json.loads(asked.stdout)["outcomes"][0]["artifacts"]
        path = made["path"]
        assert stranger.get(path).status_code == 401
        file = stranger.get(f"/v1/files/file-{path.split('/')[2].partition('.')[0]}", headers=mine).json()
        assert stranger.get(file["url"]).content[:4] == b"\x89PNG"
        refused = stranger.post("/v1/experts", json={"model": "a/b"}, headers=mine)
        assert refused.status_code == 403
        boss = {"x-api-key": admin}
        assert stranger.get(path, headers=boss).status_code == 200
        assert command_line("keys", "end-links", folder=folder).returncode == 0
        _wait(lambda: stranger.get(file["url"]).status_code == 401, STALE_S + 3)
        assert command_line("keys", "revoke", "jane", folder=folder).returncode == 0
        _wait(lambda: stranger.get("/v1/models", headers=mine).status_code == 401, STALE_S + 3)
        assert stranger.get("/v1/models", headers=boss).status_code == 200


def test_rays_dashboard_and_jobs_stay_on_loopback_behind_its_token(
    exposed: tuple[Path, dict[str, Any], str],
) -> None:
    _, told, _ = exposed
    port = int(told["dashboard"].rpartition(":")[2])
    assert told["dashboard"] == f"http://127.0.0.1:{port}"
    for method, path in (("GET", "/api/jobs/"), ("POST", "/api/jobs/"), ("GET", "/api/serve/applications/")):
        answer = httpx2.request(method, f"{told['dashboard']}{path}", json={"entrypoint": "id"})
        assert answer.status_code in (401, 403), path
    for address in _addresses():
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect((address, port))


def _addresses() -> list[str]:
    """The addresses of this machine that others may reach."""
    found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    return sorted({str(row[4][0]) for row in found if not str(row[4][0]).startswith("127.")})
