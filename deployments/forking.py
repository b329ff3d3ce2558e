"""The zygote's own program: it imports what models need once, and forks a process for each model.

    python -P -m deployments.forking SOCKET MODULE...

It listens at ``SOCKET`` from the start, so that who asks early waits until the imports are done. It has one
thread, never uses a GPU, and knows no secrets: those come to a model's process by its own channel. What it
has imported its children share. Of our own code a child takes what its replica has: the zygote may serve
more than one version of it.

A note asks for something: ``fork`` (with three files: the channel, standard output and standard error),
``hold`` (weights in RAM, see ``ram``), ``figures``, ``stop``, or nothing (``hello``). Who asked for a fork is
told the child's number at once, and how it ended later.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import random
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments import notes, ram

LIBRARIES = ("numpy", "torch", "transformers", "diffusers", "accelerate", "safetensors", "tokenizers")
"""Packages whose version a zygote is of."""

MODULES = (
    "numpy",
    "pydantic.main",
    "pydantic.types",
    "pydantic.json_schema",
    "pydantic.functional_validators",
    "pydantic._internal._generate_schema",
    "pydantic.plugin._loader",
    "torch",
    "safetensors.torch",
    "transformers",
    "transformers.modeling_utils",
    "transformers.generation.utils",
    "transformers.pipelines",
    "accelerate",
    "PIL.ImageDraw",
    "diffusers",
    "diffusers.pipelines.pipeline_utils",
)
"""What is imported: the libraries, and what they import only when a model is loaded."""

ENOUGH = "accelerate"
"""Who waits for a process gets one when this is imported; what comes after it only some models need."""

LINGER_S = 60.0
"""How long it stays when neither a model nor a Ray node that asked is left."""

TOUCH_S = 5.0
"""How often a piece of the weights that are held is touched, and removed files are given up."""

_HEARING_S = 5.0
_OWN = ("deployments", "model_catalog")


@dataclass(frozen=True, slots=True)
class Birth:
    """What a child begins with: what was asked, and its files."""

    request: dict[str, Any]
    files: list[int]


class Zygote:
    """Listens, forks, and tells how its children ended."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(128)
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, socket.socket] = {}
        self._holders: dict[int, int] = {}
        self._alone_since = time.monotonic()
        self._ram = ram.Ram()
        self._touched = 0.0
        self._import_s = 0.0
        self._left: deque[str] = deque()
        self._ending = False

    def prepare(self, modules: Sequence[str]) -> None:
        """Import what all models need; the rest is imported when nobody asks for anything."""
        self._left = deque(modules)
        while self._left and self._import() != ENOUGH:
            pass
        self._settle()
        self._watch(self._listener, self._accept)

    def _import(self) -> str:
        began = time.monotonic()
        name = self._left.popleft()
        load(name)
        self._import_s += time.monotonic() - began
        return name

    def _settle(self) -> None:
        """After imports: what there is now is shared with children, which the collector would undo."""
        gc.collect()
        gc.freeze()
        self._alone_since = time.monotonic()

    def serve(self) -> Birth | None:
        """Answer until nobody is left; in a child that was born, return what it is to be."""
        while not self._over():
            asked = self._selector.select(0 if self._left else TOUCH_S)
            for key, _ in asked:
                birth = key.data()
                if birth is not None:
                    return birth  # type: ignore[no-any-return]
            if self._left and not asked:
                self._import()
                if not self._left:
                    self._settle()
            if time.monotonic() - self._touched > TOUCH_S:
                self._ram.touch()
                self._touched = time.monotonic()
        self._path.unlink(missing_ok=True)
        self._leave()
        return None

    def _over(self) -> bool:
        if self._children or self._holders:
            self._alone_since = time.monotonic()
        return self._ending or time.monotonic() - self._alone_since > LINGER_S

    def _watch(self, file: Any, act: Callable[[], Birth | None]) -> None:
        self._selector.register(file, selectors.EVENT_READ, act)

    def _accept(self) -> None:
        end, _ = self._listener.accept()
        if not notes.is_own(end):
            end.close()
            return
        end.settimeout(_HEARING_S)
        self._watch(end, lambda: self._hear(end))

    def _hear(self, end: socket.socket) -> Birth | None:
        try:
            note, files = notes.receive(end)
        except (OSError, EOFError, ValueError):
            self._forget(end)
            return None
        try:
            answer = self._answer(note, files, end)
        except OSError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        if isinstance(answer, Birth):
            return answer
        for file in files:
            os.close(file)
        with contextlib.suppress(OSError):  # who asked is gone
            notes.send(end, answer)
        return None

    def _answer(self, note: dict[str, Any], files: list[int], end: socket.socket) -> dict[str, Any] | Birth:
        asked = note.get("do")
        if "holder" in note:
            self._keep_for(int(note["holder"]))
        if asked == "fork":
            return self._fork(note, files, end)
        if asked == "hold":
            budget = note.get("budget")
            held = self._ram.hold(note["files"], ram.default_budget() if budget is None else int(budget))
            return {"held": held}
        if asked == "stop":
            self._ending = True
        self._ram.tidy()
        return self._figures()

    def _figures(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "import_s": self._import_s,
            "children": len(self._children),
            "held_bytes": self._ram.held_bytes,
            "locked_bytes": self._ram.locked_bytes,
        }

    def _fork(self, note: dict[str, Any], files: list[int], end: socket.socket) -> dict[str, Any] | Birth:
        threads = sum(1 for _ in Path("/proc/self/task").iterdir())
        if threads != 1:
            return {"error": f"a library has started {threads - 1} threads, with which it cannot fork"}
        pid = os.fork()
        if not pid:
            self._leave()
            return Birth(note, files)
        child = os.pidfd_open(pid)
        self._children[child] = end
        self._watch(child, lambda: self._reap(child, pid))
        return {"pid": pid}

    def _reap(self, child: int, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(child)
        os.close(child)
        end = self._children.pop(child)
        with contextlib.suppress(OSError):  # who asked is gone
            notes.send(end, {"status": os.waitstatus_to_exitcode(status)})

    def _keep_for(self, pid: int) -> None:
        """Stay while a process lives: the Ray node for whose models it works."""
        if pid in self._holders.values():
            return
        with contextlib.suppress(OSError):  # it is gone already
            holder = os.pidfd_open(pid)
            self._holders[holder] = pid
            self._watch(holder, lambda: self._let_go(holder))

    def _let_go(self, holder: int) -> None:
        self._selector.unregister(holder)
        os.close(holder)
        del self._holders[holder]

    def _forget(self, end: socket.socket) -> None:
        """Who asked is gone; its child sees that by itself."""
        self._selector.unregister(end)
        end.close()

    def _leave(self) -> None:
        """Close what is the zygote's, in a child or at the end."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, int):
                os.close(key.fileobj)
            else:
                key.fileobj.close()  # type: ignore[attr-defined]
        for end in self._children.values():
            end.close()
        self._selector.close()


def load(name: str) -> None:
    """Import a module, where it is installed; what is broken is told by the model that needs it."""
    try:
        importlib.import_module(name)
    except Exception as error:  # an extension may raise anything
        sys.stderr.write(f"{name} is not imported ahead: {type(error).__name__}: {error}\n")


def live(birth: Birth) -> None:
    """Be the child: take the place that was asked for, and run the function that was named there."""
    os.setsid()
    channel, out, err = birth.files
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    ctypes.CDLL(None).prctl(15, b"hugginggpt-model", 0, 0, 0)  # PR_SET_NAME
    asked = birth.request
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.path[:] = asked["path"]
    for name in [name for name in sys.modules if name.partition(".")[0] in _OWN]:
        del sys.modules[name]
    importlib.invalidate_caches()
    _reseed()
    gc.enable()
    module = importlib.import_module(asked["module"])
    module.main(channel)


def _reseed() -> None:
    """Random numbers of its own; those of torch are as in any fresh process until they are seeded."""
    random.seed()
    for name, seed in (("numpy", "random.seed"), ("torch", "default_generator.seed")):
        found: Any = sys.modules.get(name)
        for part in seed.split("."):
            found = getattr(found, part, None)
        if found is not None:
            found()


def _detach() -> None:
    """Leave the process that started this one: Ray ends a worker's children with the worker."""
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")


def main() -> None:
    """Be the zygote until nobody needs it, or one of its children until its model ends."""
    zygote = Zygote(sys.argv[1])  # it listens before the process that waits for this one goes on
    _detach()
    zygote.prepare(sys.argv[2:])
    birth = zygote.serve()
    if birth is None:
        return
    status = 1
    try:
        live(birth)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
