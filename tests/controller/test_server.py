"""A local server as other commands find and stop it; Ray itself is left out."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller import locksmith
from controller import server as module
from controller.errors import ControllerError
from controller.server import Server, announced, any_port, free, running, serving, stop, url
from controller.settings import Settings
from deployments.history import keys
from model_catalog.card import ModelCard

ME = Server(os.getpid(), "http://127.0.0.1:8000", "http://127.0.0.1:8265")


@pytest.fixture(autouse=True)
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a server leaves word, for one test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    return tmp_path / "state" / "hugginggpt" / "server.json"


def _settings(**more: Any) -> Settings:
    ports = {name: any_port("127.0.0.1") for name in ("port", "dashboard_port")}
    return Settings(**{**ports, **more})


@contextmanager
def _sleeper(on_term: str) -> Iterator[subprocess.Popen[str]]:
    code = f"import signal; signal.signal(signal.SIGTERM, {on_term}); print(1, flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[str]]:
    """A process that ends when it is told to."""
    with _sleeper("lambda *_: exit(0)") as process:
        yield process


# Addresses -----------------------------------------------------------------------------------------------


def test_the_url_of_an_endpoint() -> None:
    assert url(Settings(port=81)) == "http://127.0.0.1:81"
    assert url(Settings(host="::1", port=81)) == "http://[::1]:81"
    assert url(Settings(host="0.0.0.0", port=81)) == "http://127.0.0.1:81", "all addresses are this machine's"
    assert url(Settings(host="::", port=81)) == "http://[::1]:81"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_is_free_until_someone_listens(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        port = any_port(host)
    except OSError:
        pytest.skip("this machine has no such address")
    assert free(host, port)
    with socket.socket(family) as taken:
        taken.bind((host, port))
        taken.listen()
        assert not free(host, port)


def test_a_taken_port_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it would fail
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ControllerError, match=f"Port {port} of 127.0.0.1 is taken"),
            serving(_settings(port=port)),
        ):
            pytest.fail("it must not start")


class FakeRay:
    """Remembers what was asked of Ray and Serve."""

    def __init__(self, error: Exception | None = None) -> None:
        self.done: list[str] = []
        self.options: dict[str, Any] = {}
        self._error = error

    def init(self, **options: Any) -> Any:
        self.done.append("init")
        self.options |= options
        return SimpleNamespace(dashboard_url="127.0.0.1:8265")

    def shutdown(self) -> None:
        self.done.append("shutdown")

    def start(self, **options: Any) -> None:
        self.done.append("start")
        self.options |= options

    def install(self, settings: Settings, *, lasting: bool) -> tuple[list[ModelCard], dict[str, str]]:
        self.done.append("install")
        if self._error is not None:
            raise self._error
        return [], {}


def _put(fake: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray import serve

    from controller import app

    monkeypatch.setattr(ray, "init", fake.init)
    monkeypatch.setattr(ray, "shutdown", fake.shutdown)
    monkeypatch.setattr(serve, "start", fake.start)
    monkeypatch.setattr(app, "install", fake.install)


@pytest.mark.parametrize("dashboard", [True, False])
def test_a_server_starts_on_loopback_and_ends_whole(dashboard: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    _put(fake, monkeypatch)
    settings = _settings()
    with serving(settings, dashboard=dashboard) as server:
        assert fake.done == ["init", "start", "install"]
        assert server.pid == os.getpid()
        assert server.url == url(settings)
        assert server.dashboard == ("http://127.0.0.1:8265" if dashboard else None)
    assert fake.done[-1] == "shutdown"
    assert fake.options["address"] == "local", "never another cluster that happens to run"
    assert fake.options["dashboard_host"] == "127.0.0.1"
    assert fake.options["http_options"] == {"host": "127.0.0.1", "port": settings.port}


def test_a_server_that_cannot_be_deployed_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(ControllerError("no expert"))
    _put(fake, monkeypatch)
    with pytest.raises(ControllerError, match="no expert"), serving(_settings()):
        pytest.fail("it must not start")
    assert fake.done[-1] == "shutdown"


def test_keys_are_kept_from_rays_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    fake = FakeRay()
    monkeypatch.setattr(fake, "start", lambda **options: seen.append(os.environ.get("OPENAI_API_KEY")))
    _put(fake, monkeypatch)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serving(_settings()):
        assert os.environ.get("OPENAI_API_KEY") is None
    assert seen == [None]
    assert os.environ["OPENAI_API_KEY"] == "sk-secret"
    monkeypatch.setattr(fake, "init", None)  # starting Ray fails
    _put(fake, monkeypatch)
    with pytest.raises(TypeError), serving(_settings()):
        pytest.fail("it must not start")
    assert os.environ["OPENAI_API_KEY"] == "sk-secret"


def test_a_server_with_keys_does_not_start_without_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeRay()
    _put(fake, monkeypatch)
    exposed = _settings(host="0.0.0.0", data_dir=tmp_path / "data")
    required = _settings(keys="required", data_dir=tmp_path / "data")
    for settings, why in ((exposed, "reached from other machines"), (required, "keys = required")):
        with pytest.raises(ControllerError, match=f"{why}.*hugginggpt keys create"), serving(settings):
            pytest.fail("it must not start")
    assert fake.done == [], "nothing was started"
    with locksmith.database(exposed) as connection:
        keys.create(connection, "old", ["run"], expires=1.0)
        revoked, _ = keys.create(connection, "gone", ["run"])
        keys.revoke(connection, revoked.id)
    with pytest.raises(ControllerError, match="there is none yet"), serving(exposed):
        pytest.fail("keys that have ended are none")
    with locksmith.database(exposed) as connection:
        keys.create(connection, "good", ["run"])
    with serving(exposed) as server:
        assert server.url == f"http://127.0.0.1:{exposed.port}"
    assert fake.options["http_options"]["host"] == "0.0.0.0"
    assert fake.options["dashboard_host"] == "127.0.0.1", "the dashboard stays where it is"


def test_nothing_starts_without_rays_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ControllerError, match="leaves Ray's ports open"), serving(_settings()):
        pytest.fail("it must not start")


def test_an_address_of_another_machine_is_told() -> None:
    for host in ("203.0.113.7", "no-such-name.invalid"):
        with (
            pytest.raises(ControllerError, match="no address of this machine"),
            serving(_settings(host=host)),
        ):
            pytest.fail("it must not start")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ControllerError, match=r"cannot be made .*choose one by the setting data_dir"),
        serving(_settings(data_dir=tmp_path / "file" / "data")),
    ):
        pytest.fail("it must not start")


def test_ray_is_never_started_without_its_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ControllerError, match="unset it"), serving(_settings()):
        pytest.fail("it must not start")


# The record ----------------------------------------------------------------------------------------------


def test_a_server_is_found_while_it_runs(record: Path) -> None:
    assert running() is None
    with announced(ME):
        assert running() == ME
        assert record.parent.stat().st_mode & 0o777 == 0o700
    assert running() is None
    assert not record.exists()


def test_the_record_goes_when_a_server_fails(record: Path) -> None:
    with pytest.raises(KeyError), announced(ME):
        raise KeyError
    assert not record.exists()


def test_a_later_process_of_the_same_number_is_not_the_server(record: Path) -> None:
    """A server was killed, its record stayed, and its number was given away: that one must not be ended."""
    with announced(ME):
        stale = json.loads(record.read_text(encoding="utf-8"))
        record.write_text(json.dumps(stale | {"began": stale["began"] - 1}), encoding="utf-8")
        assert running() is None


def test_a_server_that_was_killed_is_not_found(record: Path, sleeper: subprocess.Popen[str]) -> None:
    with announced(Server(sleeper.pid, "http://x")):
        assert running() is not None
        sleeper.kill()
        sleeper.wait()
        assert running() is None


KNOWN = asdict(ME) | {"began": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"x"',
        "{}",
        '{"began": 1, "pid": 1}',
        json.dumps(asdict(ME)),
        *(
            json.dumps(KNOWN | changes)
            for changes in (
                {"began": "x"},
                {"more": 2},
                {"pid": -1},
                {"pid": 10**30},
                {"pid": "../self"},
                {"pid": "a\0b"},
                {"pid": None},
            )
        ),
    ],
    ids=range(16),
)
def test_a_broken_record_is_no_server(text: str, record: Path) -> None:
    record.parent.mkdir(parents=True)
    record.write_text(text, encoding="utf-8")
    assert running() is None
    record.write_bytes(b"\xff")
    assert running() is None


# Stopping ------------------------------------------------------------------------------------------------


def test_stop_waits_until_the_process_has_ended(sleeper: subprocess.Popen[str]) -> None:
    assert stop(Server(sleeper.pid, "http://x"))
    assert sleeper.wait() == 0


def test_a_process_that_has_ended_is_stopped(sleeper: subprocess.Popen[str]) -> None:
    sleeper.kill()
    sleeper.wait()
    assert stop(Server(sleeper.pid, "http://x"))


def test_a_process_that_goes_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.0)
    with _sleeper("signal.SIG_IGN") as deaf:
        assert not stop(Server(deaf.pid, "http://x"))
        assert deaf.poll() is None
