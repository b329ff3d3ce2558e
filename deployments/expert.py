"""The one Serve deployment class for every expert.

Calls are batched in front of the model, which is on a thread that alone touches it, or in a process of its
own; so the event loop stays free for cancellation, health checks and batching.
"""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Sequence

import ray
from pydantic import SecretStr
from ray.serve.metrics import Gauge

from deployments.apart import Apart
from deployments.errors import ExpertError
from deployments.figures import Figures
from deployments.here import Here
from deployments.inputs import resolve
from deployments.media import Limits
from deployments.result import Call, Result, Upstream
from deployments.runners.base import AsyncRunner
from deployments.runners.registry import resolve as resolve_runner
from deployments.runners.routing import runner_of
from deployments.seat import Job, late, told, wrapped
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")

SWITCH_S = 0.0005
"""After how long the event loop gives way to the model thread, which needs Python between two operations."""

STUCK_S = 30.0
"""How long a model may go on with calls nobody waits for, before its replica is replaced."""


_AHEAD = 2
"""How many batches are given to a model at once: the next one waits beside it, if it is full."""

_Waiting = tuple[Job, "asyncio.Future[Result | Exception]"]


class Expert:
    """A model behind Serve: load, warm up, batch, infer, stop, health."""

    def __init__(
        self,
        card: ModelCard,
        limits: Limits | None = None,
        token: SecretStr | None = None,
    ) -> None:
        """Load the model; the replica is ready when this returns.

        Args:
            card: the model's card.
            limits: what one file may be, and of weights in RAM the most.
            token: the operator's, see ``fleet.expert_app``.

        Raises:
            FleetError: there is no runner for the card.
            ExpertError: the model cannot be loaded.

        """
        self._card = card
        self._limits = limits or Limits()
        name = runner_of(card) or ""
        self._runner = resolve_runner(name)()
        sys.setswitchinterval(SWITCH_S)
        self._dropped_at: float | None = None
        self._pending: deque[_Waiting] = deque()
        self._under_way: list[list[Job]] = []
        self._arrival: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(card.batch_size)
        self._place: Here | Apart = (
            Apart(self._runner, name, card, self._limits.max_weights_ram)
            if self._runner.apart
            else Here(self._runner, card)
        )
        self._place.load(token)
        self._publish()

    def __del__(self) -> None:
        """Called by Serve when the replica is stopped; a process of the model's own ends then."""
        place = getattr(self, "_place", None)
        if place is not None:
            place.close()

    def _publish(self) -> None:
        """Tell the figures of a fresh replica, in the log and to Ray's metrics."""
        found = self._figures()
        logger.info(
            "%s is ready on %s after %.2f s: process %.2f, imports %.2f, weights %.2f, warm-up %.2f; "
            "peak memory %.0f MiB",
            found.model, found.device, found.ready_s, found.start_s, found.import_s, found.load_s,
            found.warm_s, found.peak_bytes / 2**20,
        )  # fmt: skip
        for name, value, what in (
            ("load_seconds", found.ready_s, "Seconds a replica took to become ready."),
            ("peak_memory_bytes", found.peak_bytes, "The most memory a replica held after its warm-up."),
        ):
            gauge = Gauge(f"hugginggpt_expert_{name}", description=what, tag_keys=("model", "device"))
            gauge.set(value, tags={"model": found.model, "device": found.device})

    def _figures(self) -> Figures:
        loaded, (node, gpus) = self._place.loaded, _where()
        return Figures(
            model=self._card.id,
            device=loaded.device,
            peak_bytes=self._place.peak(),
            start_s=loaded.start_s,
            import_s=loaded.import_s,
            load_s=loaded.load_s,
            warm_s=loaded.warm_s,
            pid=loaded.pid,
            node=node,
            gpus=gpus,
            share=self._card.gpu or 0.0,
        )

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
        job = Job(call, resolved)
        if isinstance(self._runner, AsyncRunner):
            answer = await self._awaited(self._runner, job)
        else:
            answer = await self._computed(job)
        if isinstance(answer, Exception):
            raise answer
        logger.info(
            "run %s task %d (%s) ran %.3f s on %s",
            call.run, call.id, call.task, answer.finished - answer.started, self._card.id,
        )  # fmt: skip
        return answer

    async def _awaited(self, runner: AsyncRunner, job: Job) -> Result | Exception:
        """Wait for a model elsewhere; a cancelled call is cancelled there too."""
        async with self._slots:
            started = time.time()
            if late(job.call):
                return told(self._card.id, [job], {}, started)[0]
            answer: Result | Exception
            try:
                answer = await runner.answer(job.input)
            except Exception as error:  # a model may raise anything; the caller gets it in our words
                answer = error
            return told(self._card.id, [job], {job: answer}, started)[0]

    async def _computed(self, job: Job) -> Result | Exception:
        """Wait for the model; a cancelled call is dropped there."""
        try:
            job.key = await self._place.key(job)
            return await self._queued(job)
        except asyncio.CancelledError:
            self._drop(job)
            raise

    async def _queued(self, job: Job) -> Result | Exception:
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
        running: set[asyncio.Task[None]] = set()
        while self._pending or running:
            if self._card.batch_wait_s and not running:
                await self._fill(loop.time() + self._card.batch_wait_s)
            while self._may_run(len(running)) and (batch := self._batch()):
                running.add(asyncio.create_task(self._deliver(batch)))
            if running:
                self._arrival = loop.create_future()
                await asyncio.wait({*running, self._arrival}, return_when=asyncio.FIRST_COMPLETED)
                running = {task for task in running if not task.done()}

    def _may_run(self, running: int) -> bool:
        """Whether to give the model a batch: an idle one takes any, and a busy one the next that is full."""
        if not running or not self._pending:
            return bool(self._pending)
        return running < _AHEAD and self._alike() >= self._card.batch_size

    async def _deliver(self, batch: Sequence[_Waiting]) -> None:
        """Run a batch and hand out its answers."""
        jobs = [job for job, _ in batch]
        self._under_way.append(jobs)
        try:
            answers = await self._place.run(jobs)
        except Exception as error:  # of ours; nobody shall wait for ever
            answers = [wrapped(error, self._card.id, job.call) for job in jobs]
        finally:
            self._under_way.remove(jobs)
            self._dropped_at = None
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

    def _batch(self) -> list[_Waiting]:
        """Take the oldest call and those that go with it; the others keep their turn. Dropped ones go."""
        batch: list[_Waiting] = []
        kept: deque[_Waiting] = deque()
        for job, answer in self._pending:
            if answer.done():
                continue
            if len(batch) < self._card.batch_size and (not batch or job.key == batch[0][0].key):
                batch.append((job, answer))
            else:
                kept.append((job, answer))
        self._pending = kept
        return batch

    def _drop(self, job: Job) -> None:
        """Forget a cancelled call; the model is stopped when no call of its batch is wanted any more."""
        self._place.drop(job)
        first = self._under_way[0] if self._under_way else []
        if job in first and all(other.dropped for other in first):
            self._dropped_at = time.monotonic()

    def check_health(self) -> None:
        """Called by Serve; a model that ignores a stop or has lost its GPU is replaced.

        Raises:
            ExpertError: the model thread is stuck in a call that nobody waits for, or cannot go on.

        """
        if self._place.broken:
            raise ExpertError(f"{self._card.id} has lost its device; its replica is replaced.")
        dropped_at = self._dropped_at
        if dropped_at is not None and time.monotonic() - dropped_at > STUCK_S:
            raise ExpertError(f"{self._card.id} has gone on for {STUCK_S:.0f} s after it was stopped.")


def _where() -> tuple[str, tuple[str, ...]]:
    """The node of this process, and the GPUs that Ray gave to it."""
    if not ray.is_initialized():
        return "", ()
    context = ray.get_runtime_context()
    return context.get_node_id(), tuple(map(str, context.get_accelerator_ids().get("GPU", ())))
