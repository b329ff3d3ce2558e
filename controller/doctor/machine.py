"""The machine as the checks see it; tests give them another."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from controller.errors import ControllerError
from controller.locksmith import good_keys
from controller.server import Server, free, running
from controller.settings import Settings

_MIB = 1 << 20
_QUERY = "name,memory.total,memory.free,driver_version"
_TORCH = (
    "import json, torch; found = torch.cuda.is_available();"
    "print(json.dumps({'cuda': torch.version.cuda, 'available': found}))"
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU; its memory in bytes."""

    name: str
    memory: int
    free: int
    driver: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: its status, and its body where that is JSON."""

    status: int
    body: Any = None


class UnreachableError(ControllerError):
    """Nobody answers there; the message says how it failed."""


class Machine:
    """The machine that this process runs on."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment."""
        return os.environ

    def gpus(self) -> list[Gpu]:
        """The GPUs that the driver lists; none where there is no driver.

        Raises:
            ControllerError: there is a driver, and it fails; the message is its own.

        """
        program = shutil.which("nvidia-smi")
        if program is None:
            return []
        try:
            done = subprocess.run(  # noqa: S603 - a program of the driver, with words of ours
                [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            raise ControllerError("nvidia-smi does not answer") from None
        if done.returncode != 0:
            said = " ".join((done.stdout or done.stderr).split())[:200]
            if "No devices were found" in said:
                return []
            raise ControllerError(f"nvidia-smi fails ({said or f'status {done.returncode}'})")
        return [_gpu(line) for line in done.stdout.splitlines() if line.count(",") == 3]

    def torch(self) -> tuple[str | None, bool]:
        """The CUDA that torch was built for, if any, and whether it reaches a GPU.

        Raises:
            ControllerError: torch cannot be imported.

        """
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-P", "-c", _TORCH], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no word"])[-1][:200]
            raise ControllerError(f"torch cannot be imported ({said})")
        found = json.loads(done.stdout.splitlines()[-1])
        return found["cuda"], found["available"]

    def memory(self) -> tuple[int, int]:
        """Bytes of memory, and those that are available; of the container where that has less."""
        import psutil

        found = psutil.virtual_memory()
        limit = _number(Path("/sys/fs/cgroup/memory.max"))
        if limit is None or limit >= found.total:
            return found.total, found.available
        used = _number(Path("/sys/fs/cgroup/memory.current")) or 0
        return limit, max(0, min(found.available, limit - used))

    def disk(self, folder: Path) -> tuple[int, int]:
        """Bytes of the disk on which a folder lies or would be made, and those that are free."""
        there = next(path for path in (folder, *folder.parents) if path.exists())
        found = shutil.disk_usage(there)
        return found.total, found.free

    def device(self, folder: Path) -> int:
        """A number that folders of the same disk share."""
        return next(path for path in (folder, *folder.parents) if path.exists()).stat().st_dev

    def writable(self, folder: Path) -> bool:
        """Whether a folder may be written, or made."""
        there = next(path for path in (folder, *folder.parents) if path.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)

    def open_files(self) -> int:
        """How many files a process may hold open."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return hard if soft == resource.RLIM_INFINITY else max(soft, hard)  # Ray raises it as far as it may

    def good_keys(self, settings: Settings) -> int:
        """How many API keys are good.

        Raises:
            HistoryError: their database cannot be used.

        """
        return good_keys(settings)

    def free_port(self, host: str, port: int) -> bool:
        """Whether nobody listens there."""
        return free(host, port)

    def server(self) -> Server | None:
        """The server that this user started, if it runs."""
        return running()

    def python(self) -> tuple[int, int]:
        """The version of Python."""
        return sys.version_info[:2]

    def version(self, package: str) -> str | None:
        """The installed version of a package."""
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    def requirements(self) -> list[str]:
        """What this project asks for, as its own metadata has it."""
        try:
            return metadata.requires("hugginggpt-serve") or []
        except metadata.PackageNotFoundError:
            return []

    def mode(self, file: Path) -> int | None:
        """The rights of a file; None where there is none."""
        try:
            return file.stat().st_mode & 0o777
        except OSError:
            return None

    def get(self, url: str, headers: Mapping[str, str], seconds: float = 5.0) -> Answer:
        """Ask a server.

        Raises:
            UnreachableError: nobody answers there in time.

        """
        import httpx2

        try:
            answer = httpx2.get(url, headers=dict(headers), timeout=seconds)
        except httpx2.TimeoutException:
            raise UnreachableError(f"no answer within {seconds:.0f} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise UnreachableError(type(error).__name__) from None
        try:
            return Answer(answer.status_code, answer.json())
        except ValueError:
            return Answer(answer.status_code)


def _gpu(line: str) -> Gpu:
    name, memory, available, driver = (part.strip() for part in line.rsplit(",", 3))
    return Gpu(name, _mebibytes(memory), _mebibytes(available), driver)


def _mebibytes(text: str) -> int:
    """Bytes; 0 where the driver has no figure, as for GPUs that share the machine's memory."""
    return int(text) * _MIB if text.isdecimal() else 0


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
