"""The expert deployment's class, without Serve around it."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from deployments import expert as module
from deployments import inputs
from deployments.errors import ExpertError, FleetError, InputError, MediaError, StoppedError, TooLargeError
from deployments.expert import Expert
from deployments.media import File, Image, Limits
from deployments.result import Call, Input, Result
from tests.deployments.experts import (
    call,
    expert_of,
    held,
    until,
)
from tests.deployments.samples import PICTURES
from tests.support.cluster import card
from tests.support.logs import recorded

# Calls -------------------------------------------------------------------------------------------------


async def test_a_result_says_who_made_it_for_which_run_and_when() -> None:
    expert = expert_of("tests.support.runners:Echo")
    before = time.time()
    result = await expert.infer(call("hello"))
    assert (result.text, result.model, result.run) == ("hello+m", "test/m", "run-1")
    assert before <= result.started <= result.finished <= time.time()


async def test_only_the_model_thread_touches_the_model() -> None:
    expert, runner = held()
    runner.release.set()
    await expert.infer(call("a"))
    await expert.infer(call("b"))
    assert len(runner.threads) == 4
    (name,) = set(runner.threads)
    assert name.startswith("model")


async def test_upstream_results_and_files_fill_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    expert = expert_of("tests.support.runners:Echo")
    where: list[bool] = []

    def watched(*args: Any) -> Input:
        where.append(threading.current_thread() is threading.main_thread())
        return inputs.resolve(*args)

    monkeypatch.setattr(module, "resolve", watched)
    filled = Call("r", "image-to-text", 0, {"image": "/images/x.png", "text": "see <GENERATED>-3"},
                ("<GENERATED>-3", "/images/x.png"))  # fmt: skip
    result = await expert.infer(filled, Result(text="this"), File(PICTURES["image/png"], "image/png"))
    assert result.text == "see this+m"
    assert isinstance(result.image, Image)
    assert where == [False], "files are decoded off the event loop"
    await expert.infer(call("x", sources=("<GENERATED>-3",)), Result(text="this"))
    assert where == [False, True], "what needs no decoding is spared the hop"


async def test_what_cannot_be_resolved_is_told_as_it_is() -> None:
    expert, runner = held()
    asks = {"image": "<GENERATED>-0"}
    filled = Call("r", "image-to-text", 1, asks, ("<GENERATED>-0",))
    with pytest.raises(InputError, match="gave no image"):
        await expert.infer(filled, Result(text="words alone"))
    filled = Call("r", "image-to-text", 1, {"image": "/images/x.png"}, ("/images/x.png",))
    with pytest.raises(MediaError):
        await expert.infer(filled, File(b"no picture", "text/plain"))
    small = Expert(card("m", "image-to-text", "Echo"), Limits(max_pixels=10))
    with pytest.raises(TooLargeError):
        await small.infer(filled, File(PICTURES["image/png"], "image/png"))
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
    expert = expert_of("Answers")
    with pytest.raises(error) as caught:
        await expert.infer(call(text))
    assert type(caught.value) is error
    assert str(caught.value) == message
    assert (await expert.infer(call("well"))).text == "well", "the next call is answered"


async def test_a_models_own_words_stay_in_the_log() -> None:
    with recorded(module.logger) as records, pytest.raises(ExpertError) as caught:
        await expert_of("Answers").infer(call("raises"))
    assert "RuntimeError" in caught.value.message
    assert len(caught.value.message) < 100
    assert [record.exc_info is not None for record in records] == [True]


def test_what_cannot_be_loaded_says_why() -> None:
    with pytest.raises(ExpertError, match="weights are missing"):
        expert_of("Unloadable")
    with pytest.raises(FleetError, match="no runner"):
        expert_of(" ", runner=None)


# Cancel, deadlines, health -----------------------------------------------------------------------------


async def test_a_call_past_its_deadline_does_not_reach_the_model() -> None:
    expert, runner = held()
    with pytest.raises(StoppedError, match="given up before"):
        await expert.infer(call("late", deadline=time.time() - 1))
    runner.release.set()
    assert (await expert.infer(call("timely", deadline=time.time() + 60))).text == "TIMELY"
    assert runner.seen == [["timely"]]


async def test_a_call_cancelled_in_the_queue_does_not_reach_the_model() -> None:
    expert, runner = held()
    first = asyncio.create_task(expert.infer(call("first")))
    await until(runner.begun)
    second = asyncio.create_task(expert.infer(call("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    assert second.cancelled()
    assert not runner.stopping.is_set(), "the first is still wanted"
    runner.release.set()
    assert (await first).text == "FIRST"
    assert (await expert.infer(call("third"))).text == "THIRD"
    assert runner.seen == [["first"], ["third"]]


async def test_cancel_stops_the_model_and_the_next_call_runs() -> None:
    expert, runner = held()
    task = asyncio.create_task(expert.infer(call("a")))
    await until(runner.begun)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert runner.stopping.is_set()
    runner.release.set()
    assert (await expert.infer(call("b"))).text == "B"
    assert not runner.stopping.is_set()
    expert.check_health()


async def test_a_model_that_ignores_a_stop_is_unwell_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    expert, runner = held()
    runner.deaf = True
    clock = SimpleNamespace(monotonic=lambda: 100.0, time=time.time)
    monkeypatch.setattr(module, "time", clock)
    expert.check_health()
    task = asyncio.create_task(expert.infer(call("a")))
    await until(runner.begun)
    expert.check_health()
    task.cancel()
    await asyncio.wait({task})
    clock.monotonic = lambda: 100.0 + module.STUCK_S
    expert.check_health()
    clock.monotonic = lambda: 100.1 + module.STUCK_S
    with pytest.raises(ExpertError, match="30 s after it was stopped"):
        expert.check_health()
    runner.release.set()
    await expert.infer(call("b"))
    expert.check_health()


async def test_a_long_call_that_somebody_waits_for_is_no_illness(monkeypatch: pytest.MonkeyPatch) -> None:
    expert, runner = held()
    monkeypatch.setattr(module, "STUCK_S", -1.0)
    task = asyncio.create_task(expert.infer(call("a")))
    await until(runner.begun)
    expert.check_health()
    runner.release.set()
    assert (await task).text == "A"
