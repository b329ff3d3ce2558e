"""A model in a process of its own: what an expert has in its place.

Calls are sent there as they come, so that their media are in place before their batch is. Where the process
dies, the batch that it was at fails, a new process takes over, and gets the calls that still wait. After
some deaths within a while the replica is given up, and Serve replaces it.
"""

import asyncio
import itertools
import logging
import pickle
import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import SecretStr

from deployments import forking
from deployments.channel import Closed
from deployments.child import Done, Drop, Failed, Keyed, Load, Offer, Ready, Run, Said
from deployments.errors import ExpertError
from deployments.figures import Clock, Loaded
from deployments.process import Process
from deployments.result import Result
from deployments.runners.base import Runner
from deployments.seat import Job
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")

DEATHS = 3
"""After how many deaths within ``DEATHS_S`` the replica is given up."""

DEATHS_S = 600.0

T = TypeVar("T")

Answers = list[Result | Exception]


@dataclass(slots=True)
class _Batch:
    """A batch that was sent, and who waits for it."""

    run: Run
    answers: "Future[Answers]"


class Apart:
    """A runner's stand-in in the replica: the same verbs, done by a process of the model's own.

    Args:
        runner: the runner, not loaded here.
        name: the runner's name in the registry.
        card: the model's card.
        budget: the most bytes of weights that this node keeps in RAM; None for the default.

    """

    def __init__(self, runner: Runner, name: str, card: ModelCard, budget: int | None = None) -> None:
        self._card = card
        self._name = name
        self._keyed = card.batch_size > 1 and type(runner).key is not Runner.key
        self._budget = budget
        self._token: SecretStr | None = None
        self._process: Process | None = None
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="sender")
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._offers: dict[int, Offer] = {}
        self._keys: dict[int, Future[Hashable]] = {}
        self._batches: dict[int, _Batch] = {}
        self._drops: dict[int, Drop] = {}
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._peak = 0
        self._loaded = Loaded("cpu", 0)
        self._closed = False
        self.broken = False

    def load(self, token: SecretStr | None) -> Loaded:
        """Begin the process and load the model there.

        Raises:
            ExpertError: it cannot be loaded.

        """
        self._token = token
        process, self._loaded = self._begun()
        self._process = process
        threading.Thread(target=self._follow, args=(process,), name="reader", daemon=True).start()
        return self._loaded

    @property
    def loaded(self) -> Loaded:
        """How the process that is there now came to be ready."""
        return self._loaded

    def peak(self) -> int:
        """The most memory the process has taken so far, in bytes; see ``Figures``."""
        return self._peak

    async def key(self, job: Job) -> Hashable:
        """Send a call, and tell what its batch has in common."""
        job.number = next(self._numbers)
        offer = Offer(job.number, job.call, job.input, self._keyed)
        key: Future[Hashable] = Future()
        with self._lock:
            if self.broken:
                return object()
            self._offers[job.number] = offer
            if self._keyed:
                self._keys[job.number] = key
            self._post(offer)
        return await asyncio.wrap_future(key) if self._keyed else job.input.task

    async def run(self, jobs: Sequence[Job]) -> Answers:
        """The answers of a batch of calls whose keys were asked."""
        batch = _Batch(Run(next(self._numbers), tuple(job.number for job in jobs)), Future())
        with self._lock:
            if self.broken:
                return _failures(batch.run, f"{self._card.id} cannot go on; its replica is replaced.")
            self._batches[batch.run.number] = batch
            self._post(batch.run)
        return await asyncio.wrap_future(batch.answers)

    def drop(self, job: Job) -> None:
        """Forget a call; the model is stopped when no call of its batch is wanted any more."""
        job.dropped = True
        with self._lock:
            asked = any(job.number in batch.run.jobs for batch in self._batches.values())
            drop = Drop(job.number, forgotten=not asked)
            if asked:
                self._drops[job.number] = drop
            else:
                self._offers.pop(job.number, None)
                self._keys.pop(job.number, None)
            self._post(drop)

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self._sender.shutdown(wait=False)
        if self._process is not None:
            self._process.close()

    def _post(self, message: Offer | Run | Drop) -> None:
        """Send in order, off the event loop, with the lock held.

        What meets a dead process is sent again to its successor: all of it is in the books by then.
        """
        if self._process is not None and not self._closed:
            self._sender.submit(_sent, self._process, message)

    def _begun(self) -> tuple[Process, Loaded]:
        """A process with the model loaded.

        Raises:
            ExpertError: the model cannot be loaded.

        """
        clock = Clock()
        process = Process()
        try:
            ready = self._ready(process)
            loaded = replace(ready.loaded, start_s=clock.lap() - ready.loaded.ready_s)
            self._peak = ready.peak
            process.hold(ready.weights, self._budget)
        except BaseException:
            process.close()
            raise
        return process, loaded

    def _ready(self, process: Process) -> Ready:
        """Have the model loaded there.

        Raises:
            ExpertError: it cannot be loaded.

        """
        ahead = () if process.forked else forking.MODULES
        cannot = f"{self._card.id} cannot be loaded: its process"
        try:
            process.channel.send(Load(self._card, self._name, self._token, ahead))
            while isinstance(message := process.channel.receive(), Said):
                logger.log(message.level, "%s", message.text)
        except Closed:
            raise ExpertError(f"{cannot} {process.ended()}; its replica's log has more.") from None
        except pickle.UnpicklingError as error:
            raise ExpertError(f"{cannot} gave what its replica does not take: {error}") from None
        if isinstance(message, Failed):
            raise message.error
        assert isinstance(message, Ready)  # noqa: S101 - there are no other messages before
        return message

    # What the process says, on a thread of its own ---------------------------------------------------------

    def _follow(self, process: Process) -> None:
        """Take what the process says; begin another where it dies, or talks nonsense.

        Whatever goes wrong, this thread goes on or the replica is given up: else calls would wait for ever.
        """
        followed: Process | None = process
        while followed is not None:
            try:
                self._heard(followed.channel.receive())
            except Closed:
                followed = self._next(followed)
            except pickle.UnpicklingError as error:
                self._fail_first(f"{self._card.id} gave what its replica does not take: {error}")
            except Exception as error:
                logger.error("what the process of %s said means nothing", self._card.id, exc_info=error)
                followed.channel.close()  # with which it ends
                followed = self._next(followed)

    def _next(self, dead: Process) -> Process | None:
        """The process to follow after a dead one; None where the replica ends or is given up."""
        if self._closed:
            return None
        try:
            return self._succeeded(dead)
        except Exception as error:
            logger.error("the process of %s cannot be replaced", self._card.id, exc_info=error)
            self._give_up(f"its process cannot be replaced ({type(error).__name__})")
            if self._process is not None:
                self._process.close()
            return None

    def _heard(self, message: object) -> None:
        match message:
            case Said():
                logger.log(message.level, "%s", message.text)
            case Keyed():
                with self._lock:
                    key = self._keys.pop(message.job, None)
                if key is not None:
                    _settle(key, message.key)
            case Done():
                self._peak = max(self._peak, message.peak)
                self.broken = self.broken or message.broken
                self._settled(message.number, list(message.answers))

    def _settled(self, number: int, answers: Answers) -> None:
        with self._lock:
            batch = self._batches.pop(number, None)
            for job in batch.run.jobs if batch else ():
                self._offers.pop(job, None)
                self._drops.pop(job, None)
        if batch is not None:
            _settle(batch.answers, answers)

    def _succeeded(self, dead: Process) -> Process | None:
        """A new process in place of a dead one; None where there shall be none."""
        ended = dead.ended()
        dead.close()
        logger.error("the process of %s (%d) %s", self._card.id, dead.pid, ended)
        self._fail_first(f"The process of {self._card.id} {ended} while it ran this; ask again.")
        self._deaths.append(time.monotonic())
        if len(self._deaths) == DEATHS and self._deaths[-1] - self._deaths[0] < DEATHS_S:
            self._give_up(f"its process died {DEATHS} times within {DEATHS_S / 60:.0f} minutes")
            return None
        try:
            process, loaded = self._begun()
        except Exception as error:
            self._give_up(str(error))
            return None
        logger.info("the process of %s is replaced after %.2f s", self._card.id, loaded.ready_s)
        with self._lock:  # what comes from now on goes there; what came before is sent again
            self._process = process
            self._loaded = loaded
            runs = [batch.run for batch in self._batches.values()]
            again: list[Offer | Run | Drop] = [*self._offers.values(), *self._drops.values(), *runs]
            for message in again:
                self._post(message)
        if self._closed:
            process.close()
        return process

    def _give_up(self, reason: str) -> None:
        logger.error("%s is given up: %s", self._card.id, reason)
        with self._lock:
            self.broken = True
            numbers = list(self._batches)
            keys = list(self._keys.values())
            self._keys.clear()
        for number in numbers:
            self._fail(number, f"{self._card.id} cannot go on: {reason}")
        for key in keys:
            _settle(key, None)

    def _fail_first(self, message: str) -> None:
        """Fail the batch that the process was at; those behind it are not to blame."""
        with self._lock:
            number = next(iter(self._batches), None)
        if number is not None:
            self._fail(number, message)

    def _fail(self, number: int, message: str) -> None:
        with self._lock:
            run = self._batches[number].run
        self._settled(number, _failures(run, message))


def _failures(run: Run, message: str) -> Answers:
    return [ExpertError(message) for _ in run.jobs]


def _sent(process: Process, message: Offer | Run | Drop) -> None:
    with suppress(Closed):  # whoever reads sees it too, and begins another
        process.channel.send(message)


def _settle(future: "Future[T]", value: T) -> None:
    with suppress(InvalidStateError):  # who waited has gone
        future.set_result(value)
