"""The zygote: found, started, told apart, and ended."""

import gc
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deployments import forking, notes, zygote
from tests.deployments.odd_experts import BOUND_S, light
from tests.deployments.test_ram import mapped


@pytest.fixture(autouse=True)
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hg-", dir="/tmp") as made, light(Path(made)):
        yield Path(made) / f"hugginggpt-{os.getuid()}"


def _running() -> int:
    zygote.ensure()
    found = zygote.figures()
    assert found is not None
    return int(found["pid"])


def test_many_who_need_it_at_once_start_one(folder: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: zygote.ensure(), range(4)))
    pid = _running()
    assert [path.suffix for path in sorted(folder.iterdir())] == [".lock", ".log", ".sock"]
    threads_of_it = list(Path(f"/proc/{pid}/task").iterdir())
    assert len(threads_of_it) == 1
    assert Path(f"/proc/{pid}/stat").read_text().split()[3] != str(os.getpid()), "it is not our child"


def test_nobody_else_may_look_into_its_folder(folder: Path) -> None:
    zygote.ensure()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    zygote.stop()
    folder.chmod(0o755)
    assert folder not in zygote.place().parents, "one that others may look into is not used"


def test_another_version_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    old = _running()
    monkeypatch.setattr(forking, "MODULES", ("numpy", "pydantic.main", "json"))
    assert zygote.figures() is None
    new = _running()
    assert new != old
    zygote.stop()
    monkeypatch.setattr(forking, "MODULES", ("numpy", "pydantic.main"))
    assert _running() == old


def test_what_its_imports_read_tells_zygotes_apart_and_what_is_of_one_model_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = zygote.place()
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "1")
        assert zygote.place() == place, name
    for name in ("PYTORCH_ALLOC_CONF", "HF_HOME", "LD_LIBRARY_PATH", "TMPDIR"):
        monkeypatch.setenv(name, "/tmp")
        assert zygote.place() != place, name
        monkeypatch.delenv(name)


def test_it_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HF_TOKEN",
        "HUGGINGFACE_ACCESS_TOKEN",
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "CUDA_X_TOKEN",
        "PGPASSWORD",
        "MYSQL_PWD",
        "SSHPASS",
        "DB_PASS",
        "apikey",
        "NVIDIA_MYCREDENTIALS",
        "TORCH_TOKENS",
    ):
        monkeypatch.setenv(name, "a-secret")
    for name in ("DATABASE_URL", "TORCH_MIRROR", "CUDA_STORE"):
        monkeypatch.setenv(name, "see postgres://me:a-secret@db:5432/x")
    monkeypatch.setenv("REDIS", "redis://:a-secret@cache/0")
    pid = _running()
    assert "a-secret" not in Path(f"/proc/{pid}/environ").read_text()
    assert not [key for key, value in zygote.surroundings().items() if "a-secret" in value]


def test_what_a_model_needs_of_the_environment_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {
        "TOKENIZERS_PARALLELISM": "false",
        "PWD": "/home/me",
        "OLDPWD": "/home",
        "NO_PROXY": "localhost:80,me@here",
        "MIRROR": "http://mirror:8080/path?by=me@here",
        "https_proxy": "http://me:word@proxy:3128",  # models are fetched by way of it
        "HF_ENDPOINT": "https://me:word@mirror",
    }
    for name, value in needed.items():
        monkeypatch.setenv(name, value)
    assert needed.items() <= zygote.surroundings().items()
    pid = _running()
    assert "word" not in Path(f"/proc/{pid}/environ").read_text(), "the zygote fetches nothing"


def test_it_gives_up_weights_that_were_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(forking, "TOUCH_S", 0.01)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 8192)
    made = forking.Zygote(str(Path(tempfile.mkdtemp(prefix="hg-", dir="/tmp")) / "z.sock"))
    made.prepare([])
    server = threading.Thread(target=made.serve)
    server.start()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(made._path))
        notes.send(line, {"do": "hold", "files": [str(path)], "budget": 1 << 20})
        assert notes.receive(line)[0] == {"held": 1}
        assert mapped(path)
        path.unlink()
        end = time.monotonic() + BOUND_S
        while mapped(path):  # nobody asks: it sees by itself
            assert time.monotonic() < end
        notes.send(line, {"do": "stop"})
        assert notes.receive(line)[0]["held_bytes"] == 0
    server.join(BOUND_S)
    assert not server.is_alive()


def test_one_that_died_and_left_its_socket_is_replaced() -> None:
    pid = _running()
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + BOUND_S
    while zygote.figures() is not None:
        assert time.monotonic() < end
    assert zygote.place().exists()
    assert _running() != pid


def test_what_cannot_be_started_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such machine >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(zygote.Unavailable, match="no such machine"):
        zygote.ensure()


def test_threads_of_a_library_forbid_to_fork(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "threading_at_import.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    environment = zygote._environment()
    monkeypatch.setattr(
        zygote,
        "_environment",
        lambda: environment | {"PYTHONPATH": f"{environment['PYTHONPATH']}:{tmp_path}"},
    )
    monkeypatch.setattr(forking, "MODULES", ("threading_at_import",))
    with pytest.raises(zygote.Unavailable, match="1 threads, with which it cannot fork"):
        zygote.fork("deployments.child", [0, 1, 2])
    zygote.stop()


def test_it_ends_when_nobody_is_left_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "TOUCH_S", 0.01)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    with subprocess.Popen(["sleep", "60"]) as holder:
        made = forking.Zygote(str(Path(tempfile.mkdtemp(prefix="hg-", dir="/tmp")) / "z.sock"))
        made.prepare([])
        server = threading.Thread(target=made.serve)
        server.start()
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(made._path))
            notes.send(line, {"do": "hello", "holder": holder.pid})
            assert notes.receive(line)[0]["children"] == 0
        monkeypatch.setattr(forking, "LINGER_S", 0.05)
        server.join(0.5)
        assert server.is_alive(), "its Ray node lives"
        holder.kill()
        server.join(BOUND_S)
        assert not server.is_alive()
        assert not made._path.exists()
