"""What becomes of an expert that passes its share of a GPU, and of one that is split among several.

There is no GPU here: what torch would tell of one is told by the tests.
"""

import gc
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments import checkpoint, memory
from deployments.errors import ExpertError
from deployments.memory import LEAST_SLACK, Holding
from deployments.result import Input, Result
from deployments.runners.neural import NeuralRunner
from deployments.runners.registry import resolve
from model_catalog.card import ModelCard
from tests.support.neural import model_card
from tests.support.tiny import Builder, diffusion, text, tiny

GIB = 1 << 30
TASK = "text-generation"


class Gpu:
    """A GPU's memory as one process sees it: blocks of tensors, and those that leaked."""

    def __init__(self, leak: int = 0) -> None:
        self.held, self.leak, self.released = 2 * GIB, leak, 0

    def holding(self) -> Holding:
        return Holding(lambda: self.held, self.release)

    def fail(self) -> None:
        """What a call does that has no room: it fills the share first."""
        self.held = 8 * GIB
        raise torch.OutOfMemoryError("CUDA out of memory")

    def release(self) -> None:
        self.released += 1
        self.held = min(self.held, 2 * GIB + self.leak)


class Greedy(NeuralRunner):
    """Answers, but for 'huge', which has no room beside others or alone."""

    gpu: Gpu

    def open(self) -> None:
        self.holding = self.gpu.holding()
        self.kept: list[weakref.ref[Any]] = []

    def infer(self, items: Sequence[Input]) -> list[Result]:
        scratch = torch.zeros(len(items))
        self.kept.append(weakref.ref(scratch))
        if any(item.text() == "huge" for item in items):
            self.gpu.fail()
        return [Result(text=item.text()) for item in items]


Make = Callable[..., Greedy]


@pytest.fixture
def greedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a warm replica on a GPU with a leak of so many bytes."""
    monkeypatch.setattr(checkpoint, "obtain", lambda *_: checkpoint.Checkpoint(tmp_path))

    def make(leak: int = 0) -> Greedy:
        runner = Greedy()
        runner.gpu = Gpu(leak)
        runner.load(ModelCard(id="a/b", tasks=(TASK,), batch_size=8), "cpu")
        runner.warm_up()
        return runner

    return make


def _ask(runner: NeuralRunner, *texts: str) -> list[Result | Exception]:
    return list(runner.run([Input(TASK, {"text": one}) for one in texts]))


def test_one_that_passes_its_share_fails_that_attempt_alone(greedy: Make) -> None:
    runner = greedy()
    first, huge, last = _ask(runner, "one", "huge", "two")
    assert isinstance(first, Result)
    assert isinstance(last, Result)
    assert isinstance(huge, ExpertError)
    assert "out of GPU memory; ask for something smaller" in huge.message
    assert not runner.broken
    assert runner.gpu.held == 2 * GIB, "its neighbours on the GPU have their part again"
    (after,) = _ask(runner, "three")
    assert isinstance(after, Result)


def test_the_failed_calls_tensors_are_let_go(greedy: Make) -> None:
    runner = greedy()
    _ask(runner, "huge")
    gc.collect()
    assert runner.kept[-1]() is None


def test_a_replica_whose_memory_does_not_return_is_replaced(greedy: Make) -> None:
    runner = greedy(leak=GIB)
    answers = _ask(runner, "one", "huge")
    assert runner.broken
    assert all(isinstance(answer, ExpertError) for answer in answers), "the next candidate's turn"
    assert "does not give it back" in str(answers[0])


@pytest.mark.parametrize(("more", "back"), [(0, True), (GIB // 10, True), (GIB // 2, False)])
def test_a_tenth_more_than_usual_is_no_leak(more: int, back: bool) -> None:
    gpu = Gpu()
    holding = gpu.holding()
    holding.settle()
    gpu.leak, gpu.held = more, 9 * GIB
    assert holding.returned() is back


def test_little_is_no_leak_however_small_the_model() -> None:
    held = [1]
    holding = Holding(lambda: held[0], lambda: None)
    assert holding.returned(), "before the warm-up nothing is usual"
    holding.settle()
    held[0] = LEAST_SLACK
    assert holding.returned()
    held[0] = 2 * LEAST_SLACK
    assert not holding.returned()


def test_the_gpus_of_a_replica_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda number: (number + 1) * GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda number: (number + 3) * GIB)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    holding = Holding.of("cuda")
    holding.settle()
    assert (holding.usual, emptied) == (3 * GIB, [True])
    assert memory.peak("cuda") == 7 * GIB


def test_cublas_has_its_own_words_for_it(greedy: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = greedy()

    def fail() -> None:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")

    monkeypatch.setattr(runner.gpu, "fail", fail)
    (answer,) = _ask(runner, "huge")
    assert "out of GPU memory" in str(answer)
    assert runner.gpu.released > 1


# Several GPUs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "builder", "task"),
    [
        ("text-classification", text.classifier, "text-classification"),
        ("text-generation", text.llama, TASK),
        ("diffusion", diffusion.stable, "text-to-image"),
    ],
)
def test_a_model_of_several_gpus_is_loaded_in_layers(
    name: str, builder: Builder, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = resolve(name)()
    assert isinstance(runner, NeuralRunner)
    asked: list[str] = []

    def splitting(_: NeuralRunner) -> dict[str, str]:
        asked.append("balanced")  # accelerate finds the CPU alone, and lays all layers there
        return {"device_map": "balanced"}

    monkeypatch.setattr(NeuralRunner, "splitting", splitting)
    runner.load(model_card(name, tiny(builder), task), "cpu")
    runner.warm_up()
    assert asked


def test_one_gpu_needs_no_split() -> None:
    assert [memory.several(share) for share in (0, 0.5, 1, 2)] == [False, False, False, True]


def test_what_does_not_fit_on_its_gpus_is_told(greedy: Make) -> None:
    runner = greedy()
    runner.card = runner.card.model_copy(update={"gpu": 2.0})
    runner.spread = True
    model = torch.nn.Linear(1, 1)
    model.hf_device_map = {"layers.0": 0, "layers.1": 1}
    assert runner.placed(model) is model
    assert runner.splitting() == {"device_map": "balanced"}
    model.hf_device_map = {"layers.0": 0, "layers.1": "cpu"}
    with pytest.raises(ExpertError, match="does not fit on its 2 GPUs"):
        runner.placed(model)
