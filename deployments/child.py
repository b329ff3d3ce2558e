"""The program of a model's own process: it loads the model, and answers batches until its replica is gone.

The model is on the main thread, alone. A second one reads what the replica says: calls as they come, so that
they are here before their batch is, calls that nobody waits for any more, and the end.

    python -P -m deployments.child FD
"""

import logging
import os
import queue
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from pydantic import SecretStr

from deployments import heap
from deployments.channel import Channel, Closed
from deployments.errors import ExpertError
from deployments.figures import Clock, Loaded
from deployments.media import Audio, Image, Video
from deployments.result import Call, Input, Result
from deployments.runners.registry import resolve
from deployments.seat import Job, Seat
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

SWITCH_S = 0.0005
"""After how long the reader gives way to the model's thread, which needs Python between two operations."""

_OURS = ("deployments", "model_catalog")

# What the replica says --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model: the first message. ``ahead`` are modules to import before, where that is still to do."""

    card: ModelCard
    runner: str
    token: SecretStr | None
    ahead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """A call that a batch will name by its number; ``keyed`` where the replica needs its key."""

    number: int
    call: Call
    input: Input
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Run a batch of calls that were offered."""

    number: int
    jobs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """Nobody waits for a call any more; ``forgotten`` where it is in no batch."""

    job: int
    forgotten: bool


# What it says -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A line for the replica's log."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded; the files of its weights may be held in RAM."""

    loaded: Loaded
    weights: tuple[str, ...]
    peak: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The model cannot be loaded."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Keyed:
    """The key of a call, as a number that equal keys share."""

    job: int
    key: int


@dataclass(frozen=True, slots=True)
class Done:
    """A batch's answers, the most memory held so far, and whether the process can go on."""

    number: int
    answers: Sequence[Result | Exception]
    peak: int
    broken: bool


class Forward(logging.Handler):
    """Sends what is logged to the replica, whose log it belongs to."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record as text."""
        try:
            self._channel.send(Said(int(record.levelno), self.format(record)))
        except Closed:
            pass  # and so this process ends
        except Exception:  # a log is no reason to fail
            self.handleError(record)


class Child:
    """The process: its conversation, and its model."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._jobs: dict[int, Job] = {}
        self._runs: queue.SimpleQueue[Run] = queue.SimpleQueue()

    def live(self) -> None:
        """Load the model and run batches until the replica is gone, which ends the process."""
        order = self._channel.receive()
        seat = self._loaded(order)
        if seat is None:
            return
        while True:
            self._run(seat, self._runs.get())

    def _loaded(self, order: Load) -> Seat | None:
        clock = Clock()
        try:
            for name in order.ahead:
                __import__(name)
            seat = Seat(resolve(order.runner)(), order.card)
            import_s = clock.lap()
            threading.Thread(target=self._read, args=(seat,), name="reader", daemon=True).start()
            loaded = replace(seat.load(order.token), import_s=import_s)
            heap.trim()
        except Exception as error:  # a model may raise anything; the replica gets it in our words
            if not isinstance(error, HuggingGPTError):
                logging.getLogger("ray.serve").error("%s cannot be loaded", order.card.id, exc_info=error)
            self._channel.send(Failed(ours(error, order.card.id)))
            return None
        weights = tuple(map(str, seat.runner.weights()))
        self._channel.send(Ready(loaded, weights, seat.peak()))
        return seat

    def _read(self, seat: Seat) -> None:
        """Follow the replica; where it is gone, so is this process, at once and with all it holds."""
        try:
            while True:
                self._heard(self._channel.receive(), seat)
        except BaseException as error:
            if not isinstance(error, Closed):
                sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(0)

    def _heard(self, message: object, seat: Seat) -> None:
        match message:
            case Offer():
                job = self._jobs[message.number] = Job(message.call, message.input)
                if message.keyed:
                    self._channel.send(Keyed(message.number, hash(seat.key(job))))
            case Run():
                self._runs.put(message)
            case Drop():
                dropped = self._jobs.get(message.job)
                if dropped is not None:
                    seat.drop(dropped)
                if message.forgotten:
                    self._jobs.pop(message.job, None)
            case _:
                raise TypeError(type(message).__name__)

    def _run(self, seat: Seat, run: Run) -> None:
        answers = seat.run([self._jobs[number] for number in run.jobs])
        for number in run.jobs:
            del self._jobs[number]
        told = [_packed(item) if isinstance(item, Result) else ours(item) for item in answers]
        done = Done(run.number, told, seat.peak(), seat.broken)
        try:
            self._channel.send(done)
        except Closed:
            raise
        except Exception as error:  # what a runner gives may be anything, and need not travel
            failure = ExpertError(f"The model gave what cannot be sent ({type(error).__name__}).")
            self._channel.send(replace(done, answers=[failure] * len(told)))


def _packed(result: Result) -> Result:
    """A result whose arrays are whole and plain, so that they travel as they lie in memory."""
    image, mask = (
        Image(np.ascontiguousarray(value.pixels)) if isinstance(value, Image) else value
        for value in (result.image, result.mask)
    )
    audio, video = result.audio, result.video
    if isinstance(audio, Audio):
        audio = replace(audio, samples=np.ascontiguousarray(audio.samples))
    if isinstance(video, Video):
        video = replace(video, frames=np.ascontiguousarray(video.frames))
    return replace(result, image=image, mask=mask, audio=audio, video=video)


def ours(error: Exception, model: str = "") -> HuggingGPTError:
    """An exception as the nearest of those that every replica has."""
    for kind in type(error).__mro__:
        if issubclass(kind, HuggingGPTError) and kind.__module__.partition(".")[0] in _OURS:
            with suppress(TypeError):  # it is made of more than words
                return kind(str(error))
    return ExpertError(
        f"{model} cannot be loaded: {type(error).__name__}; its replica's log has the details."
    )


def main(channel: int) -> None:
    """Be a model's process, with the open file of its channel."""
    sys.setswitchinterval(SWITCH_S)
    heap.keep()
    conversation = Channel(socket.socket(fileno=channel), trusted=True)
    handler = Forward(conversation)
    logging.getLogger().addHandler(handler)
    ours = logging.getLogger("ray.serve")
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    ours.propagate = False  # as Ray wants it, should a plugin import it
    with suppress(Closed):  # the replica is gone
        Child(conversation).live()


if __name__ == "__main__":
    from deployments import child  # so that messages have the same classes on both sides

    child.main(int(sys.argv[1]))
