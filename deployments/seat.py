"""Where calls become answers: a runner, and the batch that it has just now.

A seat is used in a replica, or in a process of the model's own; the same rules hold in both.
"""

import logging
import os
import threading
import time
import traceback
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import SecretStr

from deployments import memory
from deployments.errors import ExpertError, StoppedError
from deployments.figures import Clock, Loaded
from deployments.plain import plain, words
from deployments.result import Call, Input, Result
from deployments.runners.base import AsyncRunner, Runner
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

logger = logging.getLogger("ray.serve")


@dataclass(eq=False, slots=True)
class Job:
    """One call on its way through the model; those of one ``key`` may share a batch."""

    call: Call
    input: Input
    key: Hashable = None
    dropped: bool = False
    number: int = 0


class Seat:
    """A runner that is loaded, asked and stopped."""

    def __init__(self, runner: Runner, card: ModelCard) -> None:
        self.runner = runner
        self._card = card
        self._device = "cpu"
        self._lock = threading.Lock()
        self._running: Sequence[Job] = ()

    @property
    def broken(self) -> bool:
        """Whether its process cannot go on."""
        return self.runner.broken

    def load(self, token: SecretStr | None) -> Loaded:
        """Load the model and warm it up.

        Raises:
            ExpertError: it cannot be loaded.

        """
        clock = Clock()
        self._device = memory.device(self._card.gpu or 0.0)
        self.runner.token = token
        self.runner.load(self._card, self._device)
        if not isinstance(self.runner, AsyncRunner):
            self.runner.token = None
        load_s = clock.lap()
        self.runner.warm_up()
        return Loaded(device=self._device, pid=os.getpid(), load_s=load_s, warm_s=clock.lap())

    def peak(self) -> int:
        """The most memory it has taken so far, in bytes; see ``Figures``."""
        return memory.peak(self._device)

    def key(self, job: Job) -> Hashable:
        """What a call's batch has in common; a call whose key cannot be told has a batch of its own."""
        try:
            key = (job.input.task, self.runner.key(job.input))
            hash(key)
        except Exception:  # the model itself says what is wrong with the input
            return object()
        return key

    def run(self, jobs: Sequence[Job]) -> list[Result | Exception]:
        """Run a batch; each job has an answer, be it an exception. One thread at a time."""
        with self._lock:
            wanted = [job for job in jobs if not job.dropped and not late(job.call)]
            self._running = wanted
            self.runner.stopping.clear()
        started = time.time()
        try:
            answers = list(self.runner.run([job.input for job in wanted])) if wanted else []
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
        return told(self._card.id, jobs, dict(zip(wanted, answers, strict=True)), started)

    def drop(self, job: Job) -> None:
        """Forget a call; the model is stopped when no call of its batch is wanted any more."""
        with self._lock:
            job.dropped = True
            if job in self._running and all(other.dropped for other in self._running):
                self.runner.stop()


def late(call: Call) -> bool:
    """Whether its run has given it up."""
    return call.deadline is not None and time.time() > call.deadline


def told(
    model: str, jobs: Sequence[Job], answers: Mapping[Job, Result | Exception], started: float
) -> list[Result | Exception]:
    """The answers as callers may have them, in the order of their jobs: plain values, and errors of ours.

    Args:
        model: the model's id.
        jobs: the batch.
        answers: those of the jobs that the model came to.
        started: when it began, seconds since the epoch.

    """
    finished = time.time()
    stopped = StoppedError("The call was given up before the model came to it.")
    found: list[Result | Exception] = []
    for job in jobs:
        answer = answers.get(job, stopped)
        try:
            if isinstance(answer, Exception):
                raise answer
            done = replace(answer, text=words(answer.text), data=plain(answer.data))
            found.append(replace(done, run=job.call.run, model=model, started=started, finished=finished))
        except Exception as error:  # one input's failure is not its neighbours'
            found.append(wrapped(error, model, job.call))
    return found


def wrapped(error: Exception, model: str, call: Call) -> Exception:
    """A runner's exception as one of ours: others may hold secrets, or classes that callers lack."""
    where = f"run {call.run} task {call.id} failed on {model}"
    if isinstance(error, HuggingGPTError):
        logger.warning("%s: %s", where, error.message)
        return error
    logger.error(where, exc_info=error)
    traceback.clear_frames(error.__traceback__)  # they may hold tensors
    return ExpertError(f"{model} failed with {type(error).__name__}; its replica's log has the details.")
