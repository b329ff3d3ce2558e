"""A PostgreSQL server of the tests' own: the one they are given, or one that is started for them."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

URL = "HUGGINGGPT_TEST_POSTGRESQL"
"""The variable that names a server for the tests, as ``.ci/run`` starts one."""

_START_S = 60


def _tool(name: str) -> str | None:
    """A tool of a PostgreSQL server; Debian keeps them off the path."""
    found = shutil.which(name)
    if found is not None:
        return found
    return next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)


def _unprivileged() -> pwd.struct_passwd | None:
    """Who runs the server where the tests run as root, which PostgreSQL refuses; None for themselves."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


class Server:
    """A server in a folder of its own, reached by a Unix socket there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = _unprivileged()
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._run(
            "initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "tests", "-E", "UTF8", "--no-sync"
        )
        self.start()

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"postgresql://tests@/postgres?host={self._folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}' -c fsync=off"
        log = str(self._folder / "log")
        self._ctl("-l", log, "-o", options, "-w", "-t", str(_START_S), "start")

    def stop(self) -> None:
        """Stop it at once, as a crash would."""
        self._ctl("-m", "immediate", "-w", "stop")

    def _ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-s", *arguments)

    def _run(self, name: str, *arguments: str) -> None:
        tool = _tool(name)
        assert tool is not None
        who = self._user
        subprocess.run(
            [tool, *arguments],
            check=True,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a server that stays keeps a pipe open
            stderr=subprocess.DEVNULL,
            timeout=2 * _START_S,
            user=None if who is None else who.pw_uid,
            group=None if who is None else who.pw_gid,
            extra_groups=None if who is None else [],
        )


@contextmanager
def server() -> Iterator[Server]:
    """A server that is stopped at the end; the test is skipped where this machine has none."""
    if _tool("initdb") is None or _tool("pg_ctl") is None:
        pytest.skip("PostgreSQL is not installed here; .ci/run installs it")
    folder = Path(tempfile.mkdtemp(prefix="hg-pg-", dir="/tmp"))  # a socket's path must be short
    try:
        running = Server(folder)
        try:
            yield running
        finally:
            with suppress(subprocess.CalledProcessError):  # the test may have stopped it
                running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def emptied(url: str) -> Iterator[str]:
    """An empty database of a server, for one test; its URL."""
    import psycopg
    from sqlalchemy import make_url

    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
