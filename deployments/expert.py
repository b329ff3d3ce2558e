"""The one Serve deployment class for every expert.

A replica loads its model on a thread of its own, which alone ever touches the model. Calls are batched in
front of that thread, so that the event loop stays free for cancellation, health checks and batching.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ray import serve

from deployments.errors import ExpertError, StoppedError
from deployments.inputs import resolve
from deployments.media import Limits
from deployments.result import Call, Input, Result, Upstream
from deployments.runners.registry import resolve as resolve_runner
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")

BATCH_WAIT_S = 0.005
"""How long the first input of a batch waits for neighbours."""

STUCK_S = 30.0
"""How long a model may go on with calls nobody waits for, before its replica is replaced."""


@dataclass(eq=False, slots=True)
class _Job:
    """One call on its way through the model."""

    call: Call
    input: Input
    dropped: bool = field(default=False)


class Expert:
    """A model behind Serve: load, warm up, batch, infer, stop, health."""

    def __init__(self, card: ModelCard, limits: Limits | None = None) -> None:
        """Load the model; the replica is ready when this returns.

        Raises:
            FleetError: there is no runner for the card.
            ExpertError: the model cannot be loaded.

        """
        self._card = card
        self._limits = limits or Limits()
        self._runner = resolve_runner(card.runner or "")()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._lock = threading.Lock()
        self._running: Sequence[_Job] = ()
        self._dropped_at: float | None = None
        began = time.monotonic()
        self._thread.submit(self._load).result()
        self._batch.set_max_batch_size(card.batch_size)
        logger.info("loaded %s in %.2f s", card.id, time.monotonic() - began)

    def _load(self) -> None:
        device = "cuda" if self._card.gpu else "cpu"
        if self._card.gpu:
            _limit_gpu_memory(self._card.gpu)
        self._runner.load(self._card, device)
        self._runner.warm_up()

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
        job = _Job(call, resolved)
        try:
            if self._card.batch_size > 1:
                answer: Result | Exception = await self._batch(job)
            else:
                answer = (await self._work([job]))[0]
        except asyncio.CancelledError:
            self._drop(job)
            raise
        if isinstance(answer, Exception):
            raise answer
        logger.info(
            "run %s task %d (%s) ran %.3f s on %s",
            call.run, call.id, call.task, answer.finished - answer.started, self._card.id,
        )  # fmt: skip
        return answer

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=BATCH_WAIT_S)  # type: ignore[untyped-decorator]
    async def _batch(self, jobs: list[_Job]) -> list[Result | Exception]:
        return await self._work(jobs)

    async def _work(self, jobs: Sequence[_Job]) -> list[Result | Exception]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, jobs)

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
            answers = [self._wrapped(error)] * len(wanted)
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
        return [
            replace(answer, run=job.call.run, model=self._card.id, started=started, finished=finished)
            if isinstance(answer := answers.get(job, stopped), Result)
            else self._wrapped(answer)
            for job in jobs
        ]

    def _wrapped(self, error: Exception) -> Exception:
        """A runner's exception as one of ours, since another process may lack the library that defines it."""
        if type(error).__module__.startswith(("deployments.", "model_catalog.")):
            return error
        logger.error("%s failed", self._card.id, exc_info=error)
        return ExpertError(f"{self._card.id} failed: {type(error).__name__}: {error}"[:500])

    def _drop(self, job: _Job) -> None:
        """Forget a cancelled call; the model is stopped when no call of its batch is wanted any more."""
        with self._lock:
            job.dropped = True
            if job in self._running and all(other.dropped for other in self._running):
                self._dropped_at = time.monotonic()
                self._runner.stop()

    def check_health(self) -> None:
        """Called by Serve; a model that ignores a stop is replaced, so that its GPU share comes back.

        Raises:
            ExpertError: the model thread is stuck in a call that nobody waits for.

        """
        with self._lock:
            dropped_at = self._dropped_at
        if dropped_at is not None and time.monotonic() - dropped_at > STUCK_S:
            raise ExpertError(f"{self._card.id} has gone on for {STUCK_S:.0f} s after it was stopped.")


def _late(call: Call) -> bool:
    return call.deadline is not None and time.time() > call.deadline


def _limit_gpu_memory(share: float) -> None:
    """Hold the process to its share: Ray's fraction of a GPU is bookkeeping only."""
    import torch

    if torch.cuda.is_available() and share < 1:
        torch.cuda.set_per_process_memory_fraction(share)
