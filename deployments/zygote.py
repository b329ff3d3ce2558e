"""The zygote of this node and user: a process that has imported what models need, and forks theirs.

To import torch, transformers and diffusers takes seconds, and with every process of its own more memory. The
zygote does it once; a model's process is then forked from it in milliseconds, and shares the libraries'
memory. The first who needs it starts it. It ends by itself a minute after the last model and the last Ray
node that asked are gone. ``deployments.forking`` is its program.

It is found by a stamp of all that its imports hang on: the interpreter, the libraries, our program, the
environment, the priority. After an upgrade the old one is not found any more, and ends.
"""

import hashlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock
from filelock import Timeout as LockTimeout

from deployments import aside, forking, notes, ram

STARTING_S = 120.0
"""How long the zygote may take to be ready, imports and all."""

_SEEN_BY_LIBRARIES = (
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|PYTORCH|TORCH|TRANSFORMERS|DIFFUSERS|ACCELERATE|SAFETENSORS|NVIDIA|CUDA|NCCL)"
    r"_\w+|HF_HOME|XDG_(CACHE|CONFIG|RUNTIME)\w*|(HF|HUGGINGFACE)_\w*(CACHE|OFFLINE|DISABLE|ENABLE)\w*"
)
_OF_ONE_MODEL = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_SECRET = re.compile(r"(?i)PASSWORD|PASSWD|PASSPHRASE|PASS(?:_|$)|_PWD$|SECRET|TOKEN(?!IZ)|KEY|CREDENTIAL")
_LOGIN = re.compile(r"://[^/?#\s@:]*:[^/?#\s@]+@")
_OF_DOWNLOADS = re.compile(r"(?i:https?_proxy|all_proxy)|HF_ENDPOINT")  # a login may belong to them
_LONGEST_PATH = 100  # of a socket; the kernel takes 107 bytes


class Unavailable(Exception):  # noqa: N818 - no failure of a model
    """There is no zygote, and none can be started; its words say why."""


@dataclass(slots=True)
class Birth:
    """A child of the zygote: its number, and the line on which the zygote tells how it ended."""

    pid: int
    line: socket.socket


def ensure() -> None:
    """Start the zygote of this node, if it does not run; returns before its imports are done.

    Raises:
        Unavailable: it cannot be started.

    """
    _ask({"do": "hello"}).close()


def fork(module: str, files: Sequence[int]) -> Birth:
    """A child of the zygote that runs ``main`` of a module with the first of the files.

    It has this process's directory, import path and environment, secrets aside.

    Args:
        module: the module's name.
        files: its channel, standard output and standard error.

    Raises:
        Unavailable: there is none to be had.

    """
    note = {
        "do": "fork",
        "module": module,
        "env": surroundings(),
        "cwd": str(Path.cwd()),
        "path": [str(Path(entry).absolute()) for entry in sys.path],
    }
    for _ in range(2):  # one that was found may just have ended
        line = _ask(note, files)
        with suppress(EOFError, OSError, ValueError):
            answer, _ = notes.receive(line)
            if "pid" in answer:
                line.settimeout(None)
                return Birth(int(answer["pid"]), line)
            line.close()
            raise Unavailable(str(answer.get("error")))
        line.close()
    raise Unavailable(f"it ended while it was asked ({_last_words(place())})")


def figures() -> dict[str, Any] | None:
    """What the zygote of this node says of itself, once its imports are done; None where none runs.

    Its number (``pid``), ``import_s``, ``children``, ``held_bytes``, and ``locked_bytes`` of these.
    """
    return _told({"do": "figures"})


def stop() -> None:
    """End the zygote of this node; models go on."""
    _told({"do": "stop"})


def surroundings() -> dict[str, str]:
    """The environment of this process, without what is a secret by its name, or a URL with a password.

    A proxy and the Hub's address stay as they are: a model that is not here yet is fetched by way of them.
    """
    return {
        key: value
        for key, value in os.environ.items()
        if not _secret(key, "" if _OF_DOWNLOADS.fullmatch(key) else value)
    }


def _secret(name: str, value: str) -> bool:
    return _SECRET.search(name) is not None or _LOGIN.search(value) is not None


def place() -> Path:
    """The zygote's socket.

    Raises:
        Unavailable: no folder is ours alone.

    """
    return _folder() / f"zygote-{_stamp()}.sock"


def _told(note: dict[str, Any]) -> dict[str, Any] | None:
    with suppress(Unavailable, OSError, EOFError, ValueError):
        line = _connected(place())
        if line is not None:
            with line:
                notes.send(line, note)
                return notes.receive(line)[0]
    return None


def _ask(note: dict[str, Any], files: Sequence[int] = ()) -> socket.socket:
    """Say something to the zygote, which is started if it does not run; its answer comes on the line."""
    path = place()
    for _ in range(2):
        line = _connected(path) or _started(path)
        try:
            notes.send(line, {**note, "holder": _holder()}, files)
        except OSError:
            line.close()
            continue
        return line
    raise Unavailable(f"it does not listen at {path}")


def _connected(path: Path) -> socket.socket | None:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(STARTING_S)
    try:
        line.connect(str(path))
        if notes.is_own(line):
            return line
    except OSError:
        pass  # none is there, or no more
    line.close()
    return None


def _started(path: Path) -> socket.socket:
    """A line to a zygote started now, or by someone who was quicker."""
    try:
        with FileLock(path.with_suffix(".lock"), timeout=STARTING_S, mode=0o600):
            line = _connected(path)
            if line is None:
                path.unlink(missing_ok=True)
                _start(path)
                line = _connected(path)
    except (OSError, LockTimeout) as error:
        raise Unavailable(f"it cannot be started: {error}") from error
    if line is None:
        raise Unavailable(f"it did not start ({_last_words(path)})")
    return line


def _start(path: Path) -> None:
    """Start the program, and wait until it listens."""
    with path.with_suffix(".log").open("wb") as log:
        subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", forking.__name__, str(path), *forking.MODULES],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            timeout=STARTING_S,
            check=False,
        )


def _last_words(path: Path) -> str:
    try:
        lines = path.with_suffix(".log").read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "without a word")


def _environment() -> dict[str, str]:
    """What the zygote sees: paths, language, and what the libraries read; no secrets."""
    seen = aside.environment(_SEEN_BY_LIBRARIES)
    own = {key: seen[key] for key in seen if key not in _OF_ONE_MODEL and not _secret(key, seen[key])}
    return own | {
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "OPENBLAS_NUM_THREADS": "1",  # threads of its own at import would make forks unsafe
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # who asks CUDA itself cannot fork any more
    }


def _stamp() -> str:
    """What a zygote is known by."""
    found: list[Any] = [sys.executable, sys.version, sys.prefix, os.nice(0), forking.MODULES]
    found.append(sorted(_environment().items()))
    for name in forking.LIBRARIES:
        spec = find_spec(name)
        found.append(_version(spec.origin) if spec and spec.origin else None)
    found += [_version(module.__file__) for module in (forking, notes, ram) if module.__file__]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _version(path: str) -> tuple[str, int, int]:
    """A file's name, time and size, of which every upgrade changes one."""
    found = Path(path).stat()
    return path, found.st_mtime_ns, found.st_size


def _folder() -> Path:
    """A folder that no other user can look into."""
    user = os.getuid()
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - checked below
        if not base:
            continue
        folder = Path(base) / f"hugginggpt-{user}"
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            own = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077
            if own and len(str(folder)) + len("/zygote-0123456789abcdef.sock") <= _LONGEST_PATH:
                return folder
    raise Unavailable("no folder for its socket can be made that is ours alone; set XDG_RUNTIME_DIR")


def _holder() -> int:
    """The process for whose sake the zygote stays: a Ray worker's node, else this one."""
    parent = os.getppid()
    with suppress(OSError):
        if Path(f"/proc/{parent}/comm").read_text().strip() == "raylet":
            return parent
    return os.getpid()
