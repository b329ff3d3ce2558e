"""The expert deployment's class, without Serve around it."""

import asyncio
import sys
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from deployments import expert as module
from deployments import inputs
from deployments.errors import ExpertError, FleetError, InputError, MediaError, StoppedError, TooLargeError
from deployments.expert import Expert
from deployments.media import File, Image, Limits
from deployments.result import Call, Input, Result
from deployments.runners.base import Runner
from model_catalog.card import ModelCard
from tests.deployments.samples import PICTURES
from tests.support.cluster import card
from tests.support.logs import recorded

HERE = "tests.deployments.test_expert"
BOUND_S = 20.0


class Held(Runner):
    """Runs until it is released or stopped, and remembers what it saw and where."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.release = threading.Event()
        self.deaf = False
        self.seen: list[list[str]] = []
        self.threads: list[str] = []

    def load(self, card: ModelCard, device: str) -> None:
        super().load(card, device)
        self.threads.append(threading.current_thread().name)

    def warm_up(self) -> None:
        self.threads.append(threading.current_thread().name)

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        assert not self.stopping.is_set(), "cleared before each run"
        self.seen.append([item.text() for item in inputs])
        self.threads.append(threading.current_thread().name)
        self.begun.set()
        while not self.release.wait(0.002) and (self.deaf or not self.stopping.is_set()):
            pass
        return [Result(text=item.text().upper()) for item in inputs]


class Answers(Runner):
    """Answers as the input says."""

    def run(self, inputs: Sequence[Input]) -> Any:
        answers: dict[str, Any] = {
            "foreign": ValueError("not of ours"),
            "ours": InputError("too long for this model"),
            "nothing": None,
            "well": Result(text="well"),
        }
        if inputs[0].text() == "raises":
            raise RuntimeError("x" * 900)
        if inputs[0].text() == "refuses":
            raise InputError("nothing of this batch")
        if inputs[0].text() == "forgets":
            return []
        return [answers[item.text()] for item in inputs]


class Unloadable(Runner):
    """Cannot be loaded."""

    def load(self, card: ModelCard, device: str) -> None:
        raise ExpertError("weights are missing")

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        raise AssertionError("never loaded")


def _expert(name: str, **more: Any) -> Expert:
    runner = name if ":" in name else f"{HERE}:{name}"
    changes = {"runner": runner, **more}
    return Expert(card("m", "image-to-text", "Echo").model_copy(update=changes))


def _call(text: str = "", **more: Any) -> Call:
    return Call("run-1", "image-to-text", 7, {"text": text} if text else {}, **more)


def _held(**more: Any) -> tuple[Expert, Held]:
    expert = _expert("Held", **more)
    assert isinstance(expert._runner, Held)
    return expert, expert._runner


async def _until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, BOUND_S)


# Calls -------------------------------------------------------------------------------------------------


async def test_a_result_says_who_made_it_for_which_run_and_when() -> None:
    expert = _expert("tests.support.runners:Echo")
    before = time.time()
    result = await expert.infer(_call("hello"))
    assert (result.text, result.model, result.run) == ("hello+m", "test/m", "run-1")
    assert before <= result.started <= result.finished <= time.time()


async def test_only_the_model_thread_touches_the_model() -> None:
    expert, runner = _held()
    runner.release.set()
    await expert.infer(_call("a"))
    await expert.infer(_call("b"))
    assert len(runner.threads) == 4
    (name,) = set(runner.threads)
    assert name.startswith("model")


async def test_upstream_results_and_files_fill_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    expert = _expert("tests.support.runners:Echo")
    where: list[bool] = []

    def watched(*args: Any) -> Input:
        where.append(threading.current_thread() is threading.main_thread())
        return inputs.resolve(*args)

    monkeypatch.setattr(module, "resolve", watched)
    call = Call("r", "image-to-text", 0, {"image": "/images/x.png", "text": "see <GENERATED>-3"},
                ("<GENERATED>-3", "/images/x.png"))  # fmt: skip
    result = await expert.infer(call, Result(text="this"), File(PICTURES["image/png"], "image/png"))
    assert result.text == "see this+m"
    assert isinstance(result.image, Image)
    assert where == [False], "files are decoded off the event loop"
    await expert.infer(_call("x", sources=("<GENERATED>-3",)), Result(text="this"))
    assert where == [False, True], "what needs no decoding is spared the hop"


async def test_what_cannot_be_resolved_is_told_as_it_is() -> None:
    expert, runner = _held()
    asks = {"image": "<GENERATED>-0"}
    call = Call("r", "image-to-text", 1, asks, ("<GENERATED>-0",))
    with pytest.raises(InputError, match="gave no image"):
        await expert.infer(call, Result(text="words alone"))
    call = Call("r", "image-to-text", 1, {"image": "/images/x.png"}, ("/images/x.png",))
    with pytest.raises(MediaError):
        await expert.infer(call, File(b"no picture", "text/plain"))
    small = Expert(card("m", "image-to-text", "Echo"), Limits(max_pixels=10))
    with pytest.raises(TooLargeError):
        await small.infer(call, File(PICTURES["image/png"], "image/png"))
    assert runner.seen == []


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("foreign", ExpertError, "test/m failed with ValueError; its replica's log has the details."),
        ("ours", InputError, "too long for this model"),
        ("refuses", InputError, "nothing of this batch"),
        ("nothing", ExpertError, "test/m failed with AttributeError; its replica's log has the details."),
        ("forgets", ExpertError, "test/m gave 0 answers to 1 inputs."),
    ],
)
async def test_what_goes_wrong_in_a_model_comes_out_in_our_words(
    text: str, error: type[Exception], message: str
) -> None:
    expert = _expert("Answers")
    with pytest.raises(error) as caught:
        await expert.infer(_call(text))
    assert type(caught.value) is error
    assert str(caught.value) == message
    assert (await expert.infer(_call("well"))).text == "well", "the next call is answered"


async def test_a_models_own_words_stay_in_the_log() -> None:
    with recorded(module.logger) as records, pytest.raises(ExpertError) as caught:
        await _expert("Answers").infer(_call("raises"))
    assert "RuntimeError" in caught.value.message
    assert len(caught.value.message) < 100
    assert [record.exc_info is not None for record in records] == [True]


def test_what_cannot_be_loaded_says_why() -> None:
    with pytest.raises(ExpertError, match="weights are missing"):
        _expert("Unloadable")
    with pytest.raises(FleetError, match="no runner"):
        _expert(" ", runner=None)


# Cancel, deadlines, health -----------------------------------------------------------------------------


async def test_a_call_past_its_deadline_does_not_reach_the_model() -> None:
    expert, runner = _held()
    with pytest.raises(StoppedError, match="given up before"):
        await expert.infer(_call("late", deadline=time.time() - 1))
    runner.release.set()
    assert (await expert.infer(_call("timely", deadline=time.time() + 60))).text == "TIMELY"
    assert runner.seen == [["timely"]]


async def test_a_call_cancelled_in_the_queue_does_not_reach_the_model() -> None:
    expert, runner = _held()
    first = asyncio.create_task(expert.infer(_call("first")))
    await _until(runner.begun)
    second = asyncio.create_task(expert.infer(_call("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    assert second.cancelled()
    assert not runner.stopping.is_set(), "the first is still wanted"
    runner.release.set()
    assert (await first).text == "FIRST"
    assert (await expert.infer(_call("third"))).text == "THIRD"
    assert runner.seen == [["first"], ["third"]]


async def test_cancel_stops_the_model_and_the_next_call_runs() -> None:
    expert, runner = _held()
    task = asyncio.create_task(expert.infer(_call("a")))
    await _until(runner.begun)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert runner.stopping.is_set()
    runner.release.set()
    assert (await expert.infer(_call("b"))).text == "B"
    assert not runner.stopping.is_set()
    expert.check_health()


async def test_a_model_that_ignores_a_stop_is_unwell_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    expert, runner = _held()
    runner.deaf = True
    clock = SimpleNamespace(monotonic=lambda: 100.0, time=time.time)
    monkeypatch.setattr(module, "time", clock)
    expert.check_health()
    task = asyncio.create_task(expert.infer(_call("a")))
    await _until(runner.begun)
    expert.check_health()
    task.cancel()
    await asyncio.wait({task})
    clock.monotonic = lambda: 100.0 + module.STUCK_S
    expert.check_health()
    clock.monotonic = lambda: 100.1 + module.STUCK_S
    with pytest.raises(ExpertError, match="30 s after it was stopped"):
        expert.check_health()
    runner.release.set()
    await expert.infer(_call("b"))
    expert.check_health()


async def test_a_long_call_that_somebody_waits_for_is_no_illness(monkeypatch: pytest.MonkeyPatch) -> None:
    expert, runner = _held()
    monkeypatch.setattr(module, "STUCK_S", -1.0)
    task = asyncio.create_task(expert.infer(_call("a")))
    await _until(runner.begun)
    expert.check_health()
    runner.release.set()
    assert (await task).text == "A"


# Batches -----------------------------------------------------------------------------------------------


async def _together(expert: Expert, texts: Sequence[str]) -> list[asyncio.Task[Result]]:
    tasks = [asyncio.create_task(expert.infer(_call(text))) for text in texts]
    await asyncio.sleep(0)
    return tasks


async def test_one_of_a_batch_fails_alone() -> None:
    tasks = await _together(_expert("Answers", batch_size=4), ["well", "foreign", "ours", "well"])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Result, ExpertError, InputError, Result]


@pytest.mark.parametrize(("text", "error"), [("refuses", InputError), ("forgets", ExpertError)])
async def test_a_whole_batch_fails_together(text: str, error: type[Exception]) -> None:
    tasks = await _together(_expert("Answers", batch_size=2), [text, "well"])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [error, error]


async def test_a_batch_is_stopped_when_nobody_waits_for_any_of_it() -> None:
    expert, runner = _held(batch_size=2)
    first, second = await _together(expert, ["a", "b"])
    await _until(runner.begun)
    assert runner.seen == [["a", "b"]]
    first.cancel()
    await asyncio.wait({first})
    assert not runner.stopping.is_set(), "its neighbour still waits"
    second.cancel()
    await asyncio.wait({second})
    assert runner.stopping.is_set()


async def test_a_late_call_is_left_out_of_its_batch() -> None:
    expert, runner = _held(batch_size=2)
    runner.release.set()
    late, timely = await asyncio.gather(
        expert.infer(_call("late", deadline=time.time() - 1)),
        expert.infer(_call("b")),
        return_exceptions=True,
    )
    assert isinstance(late, StoppedError)
    assert isinstance(timely, Result)
    assert runner.seen == [["b"]]


# GPU ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "there", "fractions"), [(0.25, True, [0.25]), (1.0, True, []), (0.5, False, [])]
)
def test_a_replica_is_held_to_its_share_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, share: float, there: bool, fractions: list[float]
) -> None:
    held: list[float] = []
    cuda = SimpleNamespace(is_available=lambda: there, set_per_process_memory_fraction=held.append)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    _, runner = _held(gpu=share)
    assert held == fractions
    assert runner.device == "cuda"
