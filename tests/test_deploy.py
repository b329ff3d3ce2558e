"""``hugginggpt deploy``: the product on a Ray cluster that runs already, guarded by a token."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from controller.server import any_port
from tests.support.command import command_line, environment


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a Ray head of its own, started as cluster.yaml starts it, and its user's home."""
    home = Path(tmp_path_factory.mktemp("head"))
    port = any_port("127.0.0.1")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("0123456789abcdef" * 4, encoding="utf-8")
    options = {
        "port": port,
        "dashboard-port": any_port("127.0.0.1"),
        "dashboard-agent-listen-port": any_port("127.0.0.1"),
        "ray-client-server-port": any_port("127.0.0.1"),
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 4,
        "object-store-memory": 200 << 20,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats",
         "--dashboard-host=127.0.0.1", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(home) | {"HOME": str(home), "RAY_AUTH_MODE": "token"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                break
        else:
            pytest.fail("".join(said))
        yield f"127.0.0.1:{port}", home
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _deploy(address: str, home: Path, *words: str, port: int = 0) -> subprocess.CompletedProcess[str]:
    more = {"HOME": str(home), "HUGGINGGPT_PORT": str(port)} if port else {"HOME": str(home)}
    return command_line("deploy", "--address", address, *words, folder=home, more=more)


def test_deploy_installs_and_then_adds(head: tuple[str, Path]) -> None:
    address, home = head
    port = any_port("127.0.0.1")
    (home / "hugginggpt.toml").write_text('experts = ["embedded/canny"]\n', encoding="utf-8")
    done = _deploy(address, home, port=port)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 expert is deployed: embedded/canny\n"
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        assert http.get("/readyz").json()["experts"] == ["embedded/canny"]
        done = _deploy(address, home, "--expert", "embedded/vader", "--json", port=port)
        assert done.stdout == '{"experts": ["embedded/vader"]}\n', done.stderr
        assert http.get("/readyz").json()["experts"] == ["embedded/canny", "embedded/vader"], (
            "told, not polled"
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--expert", "no/such"), "no/such"), (("--expert", "coqui/XTTS-v2"), "no runner")],
)
def test_deploy_tells_what_it_cannot_deploy(
    head: tuple[str, Path], words: tuple[str, ...], said: str
) -> None:
    address, home = head
    done = _deploy(address, home, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_deploy_without_the_token_is_refused(head: tuple[str, Path], tmp_path: Path) -> None:
    address, _ = head
    done = _deploy(address, tmp_path)
    assert done.returncode == 1
    assert "token" in done.stderr


def test_deploy_where_nobody_listens(tmp_path: Path) -> None:
    done = _deploy(f"127.0.0.1:{any_port('127.0.0.1')}", tmp_path)
    assert done.returncode == 1
    assert "No Ray cluster answers" in done.stderr
