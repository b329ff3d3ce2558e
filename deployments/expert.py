"""The one Serve deployment class for every expert.

A replica loads its model on a thread of its own, which alone ever touches the model. Calls are batched in
front of that thread, so that the event loop stays free for cancellation, health checks and batching.
"""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from pydantic import SecretStr
from ray.serve.metrics import Gauge

from deployments import memory
from deployments.errors import ExpertError, StoppedError
from deployments.figures import Clock, Figures, Loaded
from deployments.inputs import resolve
from deployments.media import Limits
from deployments.plain import plain, words
from deployments.result import Call, Input, Result, Upstream
from deployments.runners.base import AsyncRunner
from deployments.runners.registry import resolve as resolve_runner
from deployments.runners.routing import runner_of
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

logger = logging.getLogger("ray.serve")

SWITCH_S = 0.0005
"""After how long the event loop gives way to the model thread, which needs Python between two operations."""

STUCK_S = 30.0
"""How long a model may go on with calls nobody waits for, before its replica is replaced."""


@dataclass(eq=False, slots=True)
class _Job:
    """One call on its way through the model; those of one ``key`` may share a batch."""

    call: Call
    input: Input
    key: Hashable = None
    dropped: bool = field(default=False)


class Expert:
    """A model behind Serve: load, warm up, batch, infer, stop, health."""

    def __init__(self, card: ModelCard, limits: Limits | None = None, token: SecretStr | None = None) -> None:
        """Load the model; the replica is ready when this returns.

        Raises:
            FleetError: there is no runner for the card.
            ExpertError: the model cannot be loaded.

        """
        self._card = card
        self._limits = limits or Limits()
        self._runner = resolve_runner(runner_of(card) or "")()
        self._runner.token = token
        sys.setswitchinterval(SWITCH_S)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._lock = threading.Lock()
        self._running: Sequence[_Job] = ()
        self._dropped_at: float | None = None
        self._pending: deque[tuple[_Job, asyncio.Future[Result | Exception]]] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(card.batch_size)
        self._loaded = self._thread.submit(self._load).result()
        self._publish()

    def _load(self) -> Loaded:
        clock = Clock()
        device = memory.device(self._card.gpu or 0.0)
        self._runner.load(self._card, device)
        if not isinstance(self._runner, AsyncRunner):
            self._runner.token = None
        load_s = clock.lap()
        self._runner.warm_up()
        return Loaded(device=device, pid=os.getpid(), load_s=load_s, warm_s=clock.lap())

    def _publish(self) -> None:
        """Tell the figures of a fresh replica, in the log and to Ray's metrics."""
        found = self._figures()
        logger.info(
            "%s is ready on %s after %.2f s: process %.2f, imports %.2f, weights %.2f, warm-up %.2f; "
            "peak memory %.0f MiB",
            found.model, found.device, found.ready_s, found.start_s, found.import_s, found.load_s,
            found.warm_s, found.peak_bytes / 2**20,
        )  # fmt: skip
        for name, value, told in (
            ("load_seconds", found.ready_s, "Seconds a replica took to become ready."),
            ("peak_memory_bytes", found.peak_bytes, "The most memory a replica held after its warm-up."),
        ):
            gauge = Gauge(f"hugginggpt_expert_{name}", description=told, tag_keys=("model", "device"))
            gauge.set(value, tags={"model": found.model, "device": found.device})

    def _figures(self) -> Figures:
        return Figures.of(self._card.id, self._loaded, memory.peak(self._loaded.device))

    async def card(self) -> ModelCard:
        """The card it was deployed with, for a controller that does not know it."""
        return self._card

    async def figures(self) -> Figures:
        """What this replica has measured of itself so far."""
        return self._figures()

    async def infer(self, call: Call, *upstream: Upstream) -> Result:
        """Run one task; upstream results and files arrive resolved by Ray, in the order of ``call.sources``.

        Raises:
            InputError: the model cannot use what it was given.
            MediaError: a file is not what the task needs.
            ExpertError: the model failed.
            StoppedError: nobody waits for the call any more.

        """
        if any(not isinstance(source, Result) for source in upstream):
            resolved = await asyncio.to_thread(resolve, call, upstream, self._limits)
        else:
            resolved = resolve(call, upstream, self._limits)
        if isinstance(self._runner, AsyncRunner):
            answer = await self._awaited(self._runner, _Job(call, resolved))
        else:
            answer = await self._computed(_Job(call, resolved, self._key(resolved)))
        if isinstance(answer, Exception):
            raise answer
        logger.info(
            "run %s task %d (%s) ran %.3f s on %s",
            call.run, call.id, call.task, answer.finished - answer.started, self._card.id,
        )  # fmt: skip
        return answer

    def _key(self, item: Input) -> Hashable:
        """What a call's batch has in common; a call whose key cannot be told has a batch of its own."""
        try:
            key = (item.task, self._runner.key(item))
            hash(key)
        except Exception:  # the model itself says what is wrong with the input
            return object()
        return key

    async def _awaited(self, runner: AsyncRunner, job: _Job) -> Result | Exception:
        """Wait for a model elsewhere; a cancelled call is cancelled there too."""
        async with self._slots:
            started = time.time()
            if _late(job.call):
                return self._answers([job], {}, started)[0]
            answer: Result | Exception
            try:
                answer = await runner.answer(job.input)
            except Exception as error:  # a model may raise anything; the caller gets it in our words
                answer = error
            return self._answers([job], {job: answer}, started)[0]

    async def _computed(self, job: _Job) -> Result | Exception:
        """Wait for the model thread; a cancelled call is dropped there."""
        try:
            return await self._queued(job)
        except asyncio.CancelledError:
            self._drop(job)
            raise

    async def _queued(self, job: _Job) -> Result | Exception:
        """Wait for the model: what comes while it is busy forms the next batch."""
        answer: asyncio.Future[Result | Exception] = asyncio.get_running_loop().create_future()
        self._pending.append((job, answer))
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._drain())
        return await answer

    async def _drain(self) -> None:
        """Run the pending calls, as many at once as fit together, until none is left."""
        loop = asyncio.get_running_loop()
        while self._pending:
            if self._card.batch_wait_s:
                await self._fill(loop.time() + self._card.batch_wait_s)
            batch = self._batch()
            if not batch:
                continue
            answers = await loop.run_in_executor(self._thread, self._run, [job for job, _ in batch])
            for (_, waiting), answer in zip(batch, answers, strict=True):
                if not waiting.done():
                    waiting.set_result(answer)

    async def _fill(self, until: float) -> None:
        """Wait for the oldest call's batch to fill, with a bound."""
        loop = asyncio.get_running_loop()
        while self._alike() < self._card.batch_size and (left := until - loop.time()) > 0:
            self._arrival = loop.create_future()
            await asyncio.wait({self._arrival}, timeout=left)

    def _alike(self) -> int:
        """How many pending calls go with the oldest one."""
        key = self._pending[0][0].key
        return sum(job.key == key for job, _ in self._pending)

    def _batch(self) -> list[tuple[_Job, "asyncio.Future[Result | Exception]"]]:
        """Take the oldest call and those that go with it; the others keep their turn. Dropped ones go."""
        batch: list[tuple[_Job, asyncio.Future[Result | Exception]]] = []
        kept: deque[tuple[_Job, asyncio.Future[Result | Exception]]] = deque()
        for job, answer in self._pending:
            if answer.done():
                continue
            if len(batch) < self._card.batch_size and (not batch or job.key == batch[0][0].key):
                batch.append((job, answer))
            else:
                kept.append((job, answer))
        self._pending = kept
        return batch

    def _run(self, jobs: Sequence[_Job]) -> list[Result | Exception]:
        """Run a batch on the model thread; each job has an answer, be it an exception."""
        with self._lock:
            wanted = [job for job in jobs if not job.dropped and not _late(job.call)]
            self._running = wanted
            self._runner.stopping.clear()
        started = time.time()
        try:
            answers = list(self._runner.run([job.input for job in wanted])) if wanted else []
            if len(answers) != len(wanted):
                raise ExpertError(f"{self._card.id} gave {len(answers)} answers to {len(wanted)} inputs.")
        except Exception as error:  # a model may raise anything; the caller gets it in our words
            answers = [error] * len(wanted)
        except BaseException as error:  # such as a panic of a library; the thread and the others go on
            logger.error("%s met %r", self._card.id, error)
            failure = ExpertError(f"{self._card.id} failed with {type(error).__name__}; ask again.")
            answers = [failure] * len(wanted)
        finally:
            with self._lock:
                self._running = ()
                self._dropped_at = None
        return self._answers(jobs, dict(zip(wanted, answers, strict=True)), started)

    def _answers(
        self, jobs: Sequence[_Job], answers: dict[_Job, Result | Exception], started: float
    ) -> list[Result | Exception]:
        finished = time.time()
        stopped = StoppedError("The call was given up before the model came to it.")
        told: list[Result | Exception] = []
        for job in jobs:
            answer = answers.get(job, stopped)
            try:
                if isinstance(answer, Exception):
                    raise answer
                done = replace(answer, text=words(answer.text), data=plain(answer.data))
                told.append(
                    replace(done, run=job.call.run, model=self._card.id, started=started, finished=finished)
                )
            except Exception as error:  # one input's failure is not its neighbours'
                told.append(self._wrapped(error, job.call))
        return told

    def _wrapped(self, error: Exception, call: Call) -> Exception:
        """A runner's exception as one of ours: others may hold secrets, or classes that callers lack."""
        where = f"run {call.run} task {call.id} failed on {self._card.id}"
        if isinstance(error, HuggingGPTError):
            logger.warning("%s: %s", where, error.message)
            return error
        logger.error(where, exc_info=error)
        traceback.clear_frames(error.__traceback__)  # they may hold tensors
        name = type(error).__name__
        return ExpertError(f"{self._card.id} failed with {name}; its replica's log has the details.")

    def _drop(self, job: _Job) -> None:
        """Forget a cancelled call; the model is stopped when no call of its batch is wanted any more."""
        with self._lock:
            job.dropped = True
            if job in self._running and all(other.dropped for other in self._running):
                self._dropped_at = time.monotonic()
                self._runner.stop()

    def check_health(self) -> None:
        """Called by Serve; a model that ignores a stop or has lost its GPU is replaced.

        Raises:
            ExpertError: the model thread is stuck in a call that nobody waits for, or cannot go on.

        """
        if self._runner.broken:
            raise ExpertError(f"{self._card.id} has lost its device; its replica is replaced.")
        with self._lock:
            dropped_at = self._dropped_at
        if dropped_at is not None and time.monotonic() - dropped_at > STUCK_S:
            raise ExpertError(f"{self._card.id} has gone on for {STUCK_S:.0f} s after it was stopped.")


def _late(call: Call) -> bool:
    return call.deadline is not None and time.time() > call.deadline
