"""Batches, models elsewhere, and GPU shares of an expert."""

import asyncio
import sys
import time
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.expert import Expert
from deployments.result import Input, Result
from tests.deployments.experts import HERE, Elsewhere, Held, Keyed, call, expert_of, held, together, until
from tests.support.cluster import card

# Batches -----------------------------------------------------------------------------------------------


async def test_one_of_a_batch_fails_alone() -> None:
    tasks = await together(expert_of("Answers", batch_size=4), ["well", "foreign", "ours", "well"])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Result, ExpertError, InputError, Result]


@pytest.mark.parametrize(("text", "error"), [("refuses", InputError), ("forgets", ExpertError)])
async def test_a_whole_batch_fails_together(text: str, error: type[Exception]) -> None:
    tasks = await together(expert_of("Answers", batch_size=2), [text, "well"])
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [error, error]


async def test_a_batch_is_stopped_when_nobody_waits_for_any_of_it() -> None:
    expert, runner = held(batch_size=2)
    first, second = await together(expert, ["a", "b"])
    await until(runner.begun)
    assert runner.seen == [["a", "b"]]
    first.cancel()
    await asyncio.wait({first})
    assert not runner.stopping.is_set(), "its neighbour still waits"
    second.cancel()
    await asyncio.wait({second})
    assert runner.stopping.is_set()


async def test_a_late_call_is_left_out_of_its_batch() -> None:
    expert, runner = held(batch_size=2)
    runner.release.set()
    late, timely = await asyncio.gather(
        expert.infer(call("late", deadline=time.time() - 1)),
        expert.infer(call("b")),
        return_exceptions=True,
    )
    assert isinstance(late, StoppedError)
    assert isinstance(timely, Result)
    assert runner.seen == [["b"]]


async def test_only_calls_that_fit_together_share_a_batch_and_the_oldest_goes_first() -> None:
    expert = expert_of("Keyed", batch_size=3)
    runner = expert._runner
    assert isinstance(runner, Keyed)
    tasks = await together(expert, ["a0"])
    await until(runner.begun)
    tasks += await together(expert, ["b1", "a1", "x1", "a2", "b2", "x2", "a3", "a4"])
    runner.release.set()
    assert [(await task).text for task in tasks] == ["A0", "B1", "A1", "X1", "A2", "B2", "X2", "A3", "A4"]
    assert runner.seen == [["a0"], ["b1", "b2"], ["a1", "a2", "a3"], ["x1"], ["x2"], ["a4"]]


async def test_an_idle_model_waits_for_its_batch_to_fill_where_its_card_says_so() -> None:
    expert, runner = held(batch_size=2, batch_wait_s=5.0)
    runner.release.set()
    first = asyncio.create_task(expert.infer(call("a")))
    await asyncio.sleep(0)
    await asyncio.gather(first, expert.infer(call("b")))
    assert runner.seen == [["a", "b"]]


async def test_a_batch_that_does_not_fill_runs_all_the_same() -> None:
    expert, runner = held(batch_size=8, batch_wait_s=0.01)
    runner.release.set()
    await expert.infer(call("a"))
    assert runner.seen == [["a"]]


# Models elsewhere --------------------------------------------------------------------------------------


async def test_calls_on_a_model_elsewhere_wait_side_by_side_up_to_the_cards_number() -> None:
    expert = expert_of("Elsewhere", batch_size=2)
    runner = expert._runner
    assert isinstance(runner, Elsewhere)
    tasks = await together(expert, ["a", "b", "c", "bad"])
    for _ in range(3):
        await asyncio.sleep(0)
    assert runner.open == {"a", "b"}
    tasks[0].cancel()
    await asyncio.wait({tasks[0]})
    assert runner.cancelled == ["a"]
    runner.let_go.set()
    answers = await asyncio.gather(*tasks[1:], return_exceptions=True)
    assert [getattr(answer, "text", None) for answer in answers] == ["B", "C", None]
    assert isinstance(answers[2], ExpertError)
    assert "secret" not in answers[2].message
    assert runner.most == 2
    with pytest.raises(StoppedError):
        await expert.infer(call("late", deadline=time.time() - 1))


def test_a_runner_of_a_model_elsewhere_answers_without_a_replica_too() -> None:
    runner = Elsewhere()
    runner.let_go.set()
    good, bad = runner.run([Input("translation", {"text": "a"}), Input("translation", {"text": "bad"})])
    assert isinstance(good, Result)
    assert good.text == "A"
    assert isinstance(bad, ValueError)


async def test_a_replica_tells_what_it_measured() -> None:
    expert, _ = held()
    figures = await expert.figures()
    assert (figures.model, figures.device) == ("test/m", "cpu")
    assert figures.load_s >= 0
    assert figures.peak_bytes > 10 << 20


async def test_a_runner_has_the_operators_token_while_it_loads_and_keeps_it_to_ask_elsewhere() -> None:
    token = SecretStr("hf_x")
    here = Expert(card("m", "image-to-text", "Echo"), token=token)
    assert here._runner.token is None
    away = card("m", "image-to-text", "Echo").model_copy(update={"runner": f"{HERE}:Elsewhere"})
    assert Expert(away, token=token)._runner.token == token


async def test_a_replica_tells_its_card() -> None:
    expert, _ = held()
    assert (await expert.card()).id == "test/m"


class Panics(Held):
    """Breaks as a library of another language does, which is no Exception."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        if inputs[0].text() == "panic":
            raise BaseException("no ordinary error")
        return super().run(inputs)


async def test_a_panic_fails_its_batch_and_the_next_call_is_answered() -> None:
    expert = expert_of("tests.deployments.test_expert_batches:Panics", batch_size=2)
    answers = await asyncio.gather(*await together(expert, ["panic", "b"]), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ExpertError, ExpertError]
    assert isinstance(expert._runner, Panics)
    expert._runner.release.set()
    assert (await expert.infer(call("c"))).text == "C"


async def test_a_replica_whose_device_is_lost_is_unwell() -> None:
    expert, runner = held()
    expert.check_health()
    runner.broken = True
    with pytest.raises(ExpertError, match="has lost its device"):
        expert.check_health()


# GPU ---------------------------------------------------------------------------------------------------

GIB = 2**30


def _cuda(monkeypatch: pytest.MonkeyPatch, there: bool = True) -> list[float]:
    """Puts a GPU of 16 GiB in place; gives the limits that are set on it."""
    limited: list[float] = []
    cuda = SimpleNamespace(
        is_available=lambda: there,
        set_per_process_memory_fraction=limited.append,
        get_device_properties=lambda _: SimpleNamespace(total_memory=16 * GIB),
        device_count=lambda: 1,
        max_memory_reserved=lambda _: 3 * GIB,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return limited


@pytest.mark.parametrize(("share", "limits"), [(0.25, [0.25 - 1 / 32]), (1.0, []), (2.0, []), (0.0, [])])
async def test_a_replica_is_held_to_its_share_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, share: float, limits: list[float]
) -> None:
    limited = _cuda(monkeypatch)
    expert, runner = held(gpu=share)
    assert limited == limits
    assert runner.device == ("cuda" if share else "cpu")
    figures = await expert.figures()
    assert figures.share == share
    if share:
        assert figures.peak_bytes == 3 * GIB


def test_a_share_without_cuda_runs_on_the_cpu_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limited = _cuda(monkeypatch, there=False)
    _, runner = held(gpu=0.5)
    assert limited == []
    assert runner.device == "cpu"
    assert "torch finds no CUDA here" in caplog.text


def test_a_share_too_small_for_cuda_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    _cuda(monkeypatch)
    with pytest.raises(ExpertError, match=r"0\.03 of this GPU is 0\.5 GiB, less than CUDA itself takes"):
        held(gpu=0.03)
