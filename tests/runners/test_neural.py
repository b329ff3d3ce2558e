"""What the runners of neural networks share."""

import gc
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments import checkpoint, memory
from deployments.errors import ExpertError, InputError, StoppedError
from deployments.result import Input, Result
from deployments.runners import examples
from deployments.runners.neural import NeuralRunner
from model_catalog.card import ModelCard
from model_catalog.tasks import TASKS

GENERATE = "text-generation"


class Layered(NeuralRunner):
    """Doubles lengths by a layer; 'bad' cannot be read, 'poison' breaks its batch, 'huge' has no room."""

    room = 100

    def open(self) -> None:
        self.layer = self.stoppable(torch.nn.Linear(1, 1, bias=False).to(self.device))
        torch.nn.init.constant_(self.layer.weight, 2.0)
        self.batches: list[int] = []

    def ready(self, item: Input) -> str:
        if item.text() == "bad":
            raise InputError("this cannot be read")
        return item.text()

    def infer(self, items: Sequence[str]) -> list[Result]:
        assert torch.is_inference_mode_enabled()
        self.batches.append(len(items))
        if "poison" in items:
            raise ValueError("the batch is spoiled")
        if len(items) > self.room or "huge" in items:
            raise torch.OutOfMemoryError("no room")
        numbers = torch.tensor([[float(len(item))] for item in items])
        return [Result(text=f"{value:g}") for value in self.layer(numbers).flatten().tolist()]


@pytest.fixture
def layered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layered:
    monkeypatch.setattr(checkpoint, "obtain", lambda *_: checkpoint.Checkpoint(tmp_path))
    runner = Layered()
    card = ModelCard(id="a/b", tasks=(GENERATE,), batch_size=8, defaults={"top_p": "0.5", "seed": "x"})
    runner.load(card, "cpu")
    return runner


def _run(runner: NeuralRunner, *texts: str) -> list[str]:
    """What each text is answered with, errors by their class."""
    answers = runner.run([Input(GENERATE, {"text": text}) for text in texts])
    return [
        type(answer).__name__ if isinstance(answer, Exception) else str(answer.text) for answer in answers
    ]


def test_a_batch_is_one_call(layered: Layered) -> None:
    assert _run(layered, "a", "bb", "ccc") == ["2", "4", "6"]
    assert layered.batches == [3]


def test_an_input_that_cannot_be_read_fails_alone(layered: Layered) -> None:
    assert _run(layered, "a", "bad", "ccc") == ["2", "InputError", "6"]
    assert layered.batches == [2]
    assert _run(layered, "bad") == ["InputError"]
    assert layered.batches == [2], "the model is not called for nothing"


def test_an_input_that_breaks_its_batch_fails_alone(layered: Layered) -> None:
    assert _run(layered, "a", "bb", "poison", "dddd") == ["2", "4", "ValueError", "8"]


def test_a_batch_without_room_is_halved_until_it_fits(layered: Layered) -> None:
    layered.room = 2
    assert _run(layered, "a", "bb", "ccc", "dddd", "a") == ["2", "4", "6", "8", "2"]
    assert layered.batches == [5, 2, 3, 1, 2]


def test_one_input_without_room_fails_and_the_next_is_answered(layered: Layered) -> None:
    (answer,) = layered.run([Input(GENERATE, {"text": "huge"})])
    assert isinstance(answer, ExpertError)
    assert "a/b ran out of GPU memory; ask for something smaller" in answer.message
    assert _run(layered, "a") == ["2"]


def test_a_device_that_is_lost_ends_the_batch_and_the_replica(layered: Layered) -> None:
    def lost(items: Sequence[Any]) -> list[Result]:
        layered.batches.append(len(items))
        raise torch.AcceleratorError("device-side assert triggered")

    layered.infer = lost  # type: ignore[method-assign]
    assert _run(layered, "a", "bb", "ccc") == ["AcceleratorError"] * 3
    assert layered.batches == [3], "nothing is tried again on a device that is lost"
    assert layered.broken


def test_a_panic_fails_alone(layered: Layered) -> None:
    whole = layered.infer

    def panics(items: Sequence[Any]) -> list[Result]:
        if "ccc" in items:
            raise BaseException("no ordinary error")
        return whole(items)

    layered.infer = panics  # type: ignore[method-assign]
    assert _run(layered, "a", "bb", "ccc") == ["2", "4", "ExpertError"]

    def refuses(item: Input) -> str:
        raise BaseException("no ordinary error")

    layered.ready = refuses  # type: ignore[method-assign]
    assert _run(layered, "a") == ["InputError"]


def test_what_a_failed_call_held_is_let_go_at_once(layered: Layered) -> None:
    held: list[Any] = []

    def fails(items: Sequence[Any]) -> list[Result]:
        big = torch.ones(1000)
        held.append(weakref.ref(big))
        raise ValueError("no")

    layered.infer = fails  # type: ignore[method-assign]
    gc.disable()
    try:
        answers = layered.run([Input(GENERATE, {"text": "a"})])
        assert held[0]() is None
    finally:
        gc.enable()
    assert isinstance(answers[0], ValueError)


def test_on_a_gpu_what_is_left_over_is_given_back(layered: Layered, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    layered.device, layered.holding = "cuda", memory.Holding.of("cuda")
    assert _run(layered, "huge") == ["ExpertError"]
    assert emptied == [True]


def test_a_stop_ends_the_call_at_the_next_forward_pass(layered: Layered) -> None:
    layered.stopping.set()
    with pytest.raises(StoppedError):
        layered.run([Input(GENERATE, {"text": "a"}), Input(GENERATE, {"text": "b"})])
    assert layered.batches == [2], "neither half is tried again"
    layered.stopping.clear()
    assert _run(layered, "a") == ["2"]


def test_a_stop_from_another_thread(layered: Layered) -> None:
    begun = threading.Event()

    def endless(items: Sequence[Any]) -> list[Result]:
        begun.set()
        while True:
            layered.layer(torch.ones(1, 1))

    layered.infer = endless  # type: ignore[method-assign]

    def stop() -> None:
        begun.wait(20)
        layered.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(StoppedError):
        layered.run([Input(GENERATE, {"text": "a"})])
    stopper.join()


@pytest.mark.parametrize(("given", "value"), [({}, 0.5), ({"top_p": "0.25"}, 0.25), ({"top_p": "1"}, 1.0)])
def test_a_knob_is_the_calls_or_the_cards(layered: Layered, given: dict[str, str], value: float) -> None:
    assert layered.knob(Input(GENERATE, given), "top_p", 0.9, 0, 1) == value
    assert layered.knob(Input(GENERATE, given), "temperature", 0.9, 0, 1) == 0.9


@pytest.mark.parametrize("written", ["two", "1.5", "-0.1", "nan", "inf"])
def test_a_knob_out_of_its_range_is_refused(layered: Layered, written: str) -> None:
    with pytest.raises(InputError, match=r"top_p must be a number from 0 to 1, not '"):
        layered.knob(Input(GENERATE, {"top_p": written}), "top_p", 0.9, 0, 1)


def test_whole_numbers_and_words(layered: Layered) -> None:
    assert layered.whole(Input(GENERATE, {"max_new_tokens": "7"}), "max_new_tokens", 5, 1, 9) == 7
    with pytest.raises(InputError, match=r"max_new_tokens must be a whole number, not 2\.5"):
        layered.whole(Input(GENERATE, {"max_new_tokens": "2.5"}), "max_new_tokens", 5, 1, 9)
    assert layered.word(Input(GENERATE, {"seed": " 3 "}), "seed") == "3"
    assert layered.word(Input(GENERATE), "seed") == "x"
    assert layered.word(Input(GENERATE), "voice", "plain") == "plain"


def test_a_warm_up_answers_each_task_once_and_tells_what_fails(layered: Layered) -> None:
    layered.warm_up()
    assert layered.batches == [1]
    layered.device = "cuda"
    layered.warm_up()
    assert layered.batches == [1, 8], "on a GPU the largest batch, so that the peak of memory is the true one"
    layered.room = 0
    with pytest.raises(ExpertError, match="a/b cannot do text-generation: a/b ran out of GPU memory"):
        layered.warm_up()


def test_half_precision_is_for_gpus(layered: Layered, monkeypatch: pytest.MonkeyPatch) -> None:
    assert layered.dtype is torch.float32
    layered.device = "cuda"
    for supported, half in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda told=supported, **_: told)
        assert layered._dtype() is half
    layered.card = layered.card.model_copy(update={"dtype": "float32"})
    assert layered._dtype() is torch.float32


def test_a_folder_without_a_tokenizer_is_told(layered: Layered) -> None:
    import transformers

    with pytest.raises(ExpertError, match="a/b has no usable AutoTokenizer"):
        layered.load_processor(transformers.AutoTokenizer)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_an_example_of_what_it_needs(task: str) -> None:
    item = examples.example(task, {"steps": "1", "max_new_tokens": "4", "nothing": "0"})
    row = TASKS[task]
    assert item.task == task
    assert {argument.name for argument in row.arguments} <= set(item.args)
    assert set(item.args) <= {argument.name for argument in (*row.arguments, *row.knobs)}
    assert ("steps" in item.args) == any(knob.name == "steps" for knob in row.knobs)
