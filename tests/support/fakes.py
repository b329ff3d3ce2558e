"""Stand-ins under a test's control: a clock, responses, experts; nothing here waits for real time."""

import asyncio
import functools
import selectors
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, ParamSpec, cast
from unittest import mock

from ray.exceptions import ActorDiedError, ObjectLostError, RayTaskError
from ray.serve.exceptions import BackPressureError, RequestCancelledError

from controller.handles import Response
from controller.roster import Expert
from controller.selector import Fleet, Selector
from deployments.account import Account, Artifact
from deployments.errors import LinkError, NoMemberError, NotFoundError
from deployments.links.reading import Read
from deployments.media import File
from deployments.member import State
from deployments.result import Call, Result
from deployments.standing import Standing
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.tasks import Modality

P = ParamSpec("P")

BEGIN = 1000.0
"""When virtual time begins, in seconds."""

# Time --------------------------------------------------------------------------------------------------


class HangError(AssertionError):
    """Everything waits, and nothing will ever wake it."""


class _Instant(selectors.SelectSelector):
    """Waits for no time at all: it sets the clock forward instead."""

    now = BEGIN

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise HangError("nothing is left that could wake anyone")
        self.now += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else is to be done."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.now


def virtual(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test of runs in virtual time: seconds pass at once, and a hang is an error."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = _Loop()
        clock = SimpleNamespace(time=loop.time, perf_counter=loop.time, monotonic=loop.time)
        with ExitStack() as patches:
            for name, module in list(sys.modules.items()):
                if name.startswith("controller.") and getattr(module, "time", None) is time:
                    patches.enter_context(mock.patch.object(module, "time", clock))
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(cast("Any", test(*args, **kwargs)))

    return run


def now() -> float:
    """The loop's time, in seconds."""
    return asyncio.get_running_loop().time()


async def after(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)


async def turns(count: int = 50) -> None:
    """Let everything happen that needs no time."""
    for _ in range(count):
        await asyncio.sleep(0)


# Calls -------------------------------------------------------------------------------------------------


class Promise:
    """A response that ends when the test says so; behaves as Serve's when it is given up.

    Attributes:
        cancelled: whether somebody gave it up while it was under way.
        assigned: whether a replica has it: Serve tells its end as another exception then.
        on_ready: called when everything upstream has ended well.
        on_cancel: called when somebody gives it up.

    """

    def __init__(self, *upstream: "Promise") -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.future.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.cancelled = False
        self.assigned = True
        self._pending = len(upstream)
        self.ready = self._pending == 0
        self.on_ready: Callable[[], object] = lambda: None
        self.on_cancel: Callable[[], object] = lambda: None
        for other in upstream:
            other.future.add_done_callback(self._upstream)

    def _upstream(self, future: "asyncio.Future[Any]") -> None:
        self._pending -= 1
        if future.cancelled():
            self.future.cancel()
        elif (error := future.exception()) is not None:
            self.fail(error)
        elif not self._pending and not self.future.done():
            self.ready = True
            self.on_ready()

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.shield(self.future).__await__()

    @property
    def ended(self) -> bool:
        """Whether nothing of it goes on."""
        return self.future.done()

    def give(self, value: Any) -> None:
        """End well, where it has not ended."""
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """End badly, where it has not ended."""
        if not self.future.done():
            self.future.set_exception(error)

    async def arrived(self) -> None:
        await asyncio.wait({self.future})

    def cancel(self) -> None:
        self.cancelled |= not self.future.done()
        self.on_cancel()
        if self.assigned:
            self.fail(RequestCancelledError())
        else:
            self.future.cancel()


@dataclass(slots=True, eq=False)
class Called:
    """One call on an expert."""

    card: ModelCard
    call: Call
    upstream: tuple[Promise, ...]
    response: Promise
    at: float

    @property
    def name(self) -> str:
        """The model's name without its owner."""
        return self.card.id.rpartition("/")[2]

    def give(self, text: str = "") -> None:
        """Answer with words."""
        self.response.give(answer(self.card, text))

    def fail(self, error: BaseException) -> None:
        """Fail as a replica does."""
        self.response.fail(error)


Script = Callable[[Called], Result | BaseException | None]
"""What a call ends with once its inputs are there; None leaves it open."""


@dataclass
class FakeExperts:
    """Experts and artifacts whose answers a test gives, at once by a script or one by one.

    Attributes:
        script: answers calls.
        keep: stores a result: its account, or what went wrong; None leaves the storing open.
        missing: paths of files that are not there.
        slow_files: whether files never arrive.
        asleep: ids of models that sleep while they are idle.
        room: ends the wait for such a one: None where it is awake at once.
        held: the models that are held awake now.
        woken: the models that were told to wake, and those that were leased.

    """

    script: Script = lambda called: None
    keep: Callable[[Result], Account | BaseException | None] = Account.of
    missing: set[str] = field(default_factory=set)
    slow_files: bool = False
    calls: list[Called] = field(default_factory=list)
    fetched: list[tuple[str, Promise]] = field(default_factory=list)
    stored: list[tuple[Promise, Promise]] = field(default_factory=list)
    asleep: set[str] = field(default_factory=set)
    room: Callable[[ModelCard], Promise | None] = lambda card: None
    held: list[str] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)

    def sleeps(self, card: ModelCard) -> bool:
        """See ``controller.handles.Experts``."""
        return card.id in self.asleep

    @asynccontextmanager
    async def lease(self, card: ModelCard, wait: float, until: float) -> AsyncIterator[None]:
        """See ``controller.handles.Experts``."""
        self.woken.append(card.id)
        if (waiting := self.room(card)) is not None:
            await waiting
        self.held.append(card.id)
        try:
            yield
        finally:
            self.held.remove(card.id)

    def wake(self, card: ModelCard) -> None:
        """See ``controller.handles.Experts``."""
        self.woken.append(card.id)

    def infer(self, card: ModelCard, call: Call, upstream: Sequence[Response]) -> Promise:
        """See ``controller.handles.Experts``."""
        sources = tuple(cast("Promise", source) for source in upstream)
        called = Called(card, call, sources, Promise(*sources), now())
        self.calls.append(called)
        called.response.on_ready = lambda: _end(called.response, self.script(called))
        if called.response.ready:
            called.response.on_ready()
        return called.response

    def fetch(self, path: str) -> Promise:
        """See ``controller.handles.Experts``."""
        promise = Promise()
        self.fetched.append((path, promise))
        if path in self.missing:
            promise.fail(wrapped(NotFoundError(f"no {path}")))
        elif not self.slow_files:
            promise.give(File(b"", "text/plain"))
        return promise

    def store(self, response: Response) -> Promise:
        """See ``controller.handles.Experts``."""
        source = cast("Promise", response)
        promise = Promise(source)
        self.stored.append((source, promise))
        promise.on_ready = lambda: _end(promise, self.keep(source.future.result()))
        return promise

    def named(self, name: str) -> list[Called]:
        """The calls on one model."""
        return [called for called in self.calls if called.name == name]

    def names(self) -> list[str]:
        """The models called, in order."""
        return [called.name for called in self.calls]

    @property
    def promises(self) -> list[Promise]:
        """Every response so far."""
        return [
            *(called.response for called in self.calls),
            *(promise for _, promise in self.fetched),
            *(promise for _, promise in self.stored),
        ]


def _end(promise: Promise, value: Any) -> None:
    if isinstance(value, BaseException):
        promise.fail(value)
    elif value is not None:
        promise.give(value)


def answer(card: ModelCard, text: str = "") -> Result:
    """What an expert gives: words, and when it worked."""
    return Result(text=text or f"by {card.id}", model=card.id, started=now(), finished=now())


def answers(called: Called) -> Result:
    """The script of experts that answer at once."""
    return answer(called.card)


def _row(model: str) -> Expert:
    return Expert(model=model, tasks=[], application="app", status="RUNNING", state=State.WARM)


@dataclass
class FakeCluster(FakeExperts):
    """A cluster whose fleet, files and experts a test names."""

    files: dict[str, Modality] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=Fleet)
    stat_error: Exception | None = None
    web: dict[str, Modality | Exception] = field(default_factory=dict)
    read: list[tuple[str, tuple[Modality, ...]]] = field(default_factory=list)

    async def link(self, url: str, wanted: Sequence[Modality]) -> Read:
        """See ``controller.handles.Cluster``; what a link gives, or how it fails, is in ``web``."""
        self.read.append((url, tuple(wanted)))
        path = f"/files/{len(self.read):032x}.txt"
        await asyncio.sleep(1)
        found = self.web.get(url, LinkError("There is no host of that name."))
        if isinstance(found, Exception):
            raise wrapped(found)
        self.files[path] = found
        return Read(artifact=await FakeCluster.stat(self, path), url=f"{url}#end", title="A title")

    def told(self, changed: Sequence[Standing], gone: Sequence[str]) -> Fleet:
        """See ``controller.handles.Cluster``."""
        return self.fleet

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> Fleet:
        """See ``controller.handles.Cluster``."""
        return replace(self.fleet, learned=tuple(cards)) if cards else self.fleet

    async def experts(self) -> list[Expert]:
        """See ``controller.handles.Cluster``."""
        return [_row(model) for model in sorted(self.fleet.running)]

    async def add(self, card: ModelCard) -> Expert:
        """See ``controller.handles.Cluster``."""
        self.fleet = replace(self.fleet, running=self.fleet.running | {card.id})
        return _row(card.id)

    async def remove(self, model: str) -> None:
        """See ``controller.handles.Cluster``."""
        if model not in self.fleet.running:
            raise wrapped(NoMemberError(f"{model} is not of the fleet."))
        self.fleet = replace(self.fleet, running=self.fleet.running - {model})

    async def act(self, model: str, action: str) -> Expert:
        """See ``controller.handles.Cluster``."""
        if model not in self.fleet.running:
            raise wrapped(NoMemberError(f"{model} is not of the fleet."))
        return _row(model)

    async def stat(self, path: str) -> Artifact:
        """See ``controller.handles.Cluster``."""
        await asyncio.sleep(0)
        if self.stat_error is not None:
            raise self.stat_error
        if path not in self.files:
            raise wrapped(NotFoundError(f"There is no file {path!r} here."))
        return Artifact(path=path, modality=self.files[path], media_type="x/y", size=1)


def selector(cards: Sequence[ModelCard], top_k: int = 3) -> Selector:
    """A selector over these cards, all of which run."""
    made = Selector(Catalog(cards), top_k)
    made.fleet = Fleet(frozenset(card.id for card in cards))
    return made


# Failures, as Ray and Serve raise them -----------------------------------------------------------------


def wrapped(error: Exception) -> Exception:
    """An exception of another process, as Ray brings it here."""
    made: Exception = RayTaskError("infer", "traceback", error).as_instanceof_cause()
    return made


def died() -> Exception:
    """A replica died."""
    error: Exception = ActorDiedError()
    return error


def lost() -> Exception:
    """An object went with its node."""
    error: Exception = wrapped(ObjectLostError("ab" * 14, b"", ""))
    return error


def busy() -> Exception:
    """Too many calls wait already."""
    error: Exception = BackPressureError(3, 3)
    return error
