"""A machine of any kind, as the doctor's checks see it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from controller.doctor.machine import Answer, Gpu, Machine, UnreachableError
from controller.errors import ControllerError
from controller.server import Server
from controller.settings import Settings
from model_catalog.errors import HuggingGPTError

GB = 10**9

T = TypeVar("T")


class FakeMachine(Machine):
    """A sound machine with a GPU and a network, unless told otherwise.

    Attributes:
        pages: what is answered, by the beginning of a URL; all else cannot be reached.
        asked: the URLs that were asked, with their headers.

    """

    def __init__(self, **facts: Any) -> None:
        self.cards: list[Gpu] | ControllerError = [Gpu("NVIDIA L4", 24 * GB, 23 * GB, "580.65")]
        self.cuda: tuple[str | None, bool] | ControllerError = ("13.0", True)
        self.ram = (64 * GB, 60 * GB)
        self.disks: dict[str, tuple[int, int]] = {"/": (1000 * GB, 500 * GB)}
        self.locked: tuple[str, ...] = ()
        self.most_files = 65536
        self.taken: set[int] = set()
        self.found: Server | None = None
        self.keys: int | HuggingGPTError = 1
        self.own_python = (3, 11)
        self.installed: Mapping[str, str] = {"torch": "2.13.0", "ray": "2.60.0"}
        self.asks = ["ray[serve]<2.61,>=2.60", "torch==2.13.0"]
        self.modes: Mapping[str, int] = {}
        self.variables: Mapping[str, str] = {"HOME": "/home/me"}
        self.pages: dict[str, Answer] = {"https://huggingface.co/api/models": Answer(200, [])}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        unknown = facts.keys() - vars(self).keys()
        assert not unknown, unknown
        vars(self).update(facts)

    @property
    def environ(self) -> Mapping[str, str]:
        return self.variables

    def gpus(self) -> list[Gpu]:
        return _given(self.cards)

    def torch(self) -> tuple[str | None, bool]:
        return _given(self.cuda)

    def memory(self) -> tuple[int, int]:
        return self.ram

    def disk(self, folder: Path) -> tuple[int, int]:
        return next(self.disks[str(path)] for path in (folder, *folder.parents) if str(path) in self.disks)

    def writable(self, folder: Path) -> bool:
        return str(folder) not in self.locked

    def open_files(self) -> int:
        return self.most_files

    def free_port(self, host: str, port: int) -> bool:
        return port not in self.taken

    def good_keys(self, settings: Settings) -> int:
        return _given(self.keys)

    def server(self) -> Server | None:
        return self.found

    def python(self) -> tuple[int, int]:
        return self.own_python

    def version(self, package: str) -> str | None:
        return self.installed.get(package)

    def requirements(self) -> list[str]:
        return self.asks

    def mode(self, file: Path) -> int | None:
        return self.modes.get(str(file))

    def get(self, url: str, headers: Mapping[str, str], seconds: float = 5.0) -> Answer:
        self.asked.append((url, headers))
        for begins, answer in self.pages.items():
            if url.startswith(begins):
                return answer
        raise UnreachableError("ConnectError")


def _given(value: T | HuggingGPTError) -> T:
    if isinstance(value, HuggingGPTError):
        raise value
    return value
