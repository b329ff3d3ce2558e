"""What the runners of neural networks share: where weights come from, batches, stops, memory, warm-up."""

import os
import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from deployments import checkpoint, memory
from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Image, rgb
from deployments.result import Input, Result
from deployments.runners import examples
from deployments.runners.base import Runner
from deployments.runners.loading import load_model
from deployments.runners.single import THREADS
from model_catalog.card import ModelCard

_NO_WORKSPACE = "CUBLAS_STATUS_ALLOC_FAILED"
"""How cuBLAS, which has no error class, says that memory ran out."""


class NeuralRunner(Runner):
    """A runner over torch.

    A family writes ``open``, ``ready`` and ``infer``. One input that cannot be used, or that breaks a batch,
    fails alone; a batch that does not fit into memory is halved.

    Attributes:
        folder: the model's folder: configuration, tokenizer, safetensors; nothing that runs code.
        parts: the folders of the card's ``parts``, by role.
        dtype: the torch type of its numbers.
        holding: what the replica holds of its GPU, to tell whether memory returns that ran out.
        spread: whether the model is split among several GPUs.
        warm_args: knobs that make a warm-up call short, as far as the task has them.
        small_args: more of them for the CPU, where no peak of memory is asked for.

    """

    checkpoint: ClassVar[bool] = True
    apart: ClassVar[bool] = True
    folder: Path
    parts: Mapping[str, Path]
    dtype: Any
    holding: memory.Holding
    spread: bool = False
    warm_args: ClassVar[Mapping[str, str]] = {"steps": "1", "max_new_tokens": "4"}
    small_args: ClassVar[Mapping[str, str]] = {"width": "64", "height": "64", "frames": "2", "seconds": "1"}

    def load(self, card: ModelCard, device: str) -> None:
        """Bring the weights to this node, if they are not there, and load them.

        Raises:
            ExpertError: they cannot be had, or do not fit the task.

        """
        super().load(card, device)
        # Read when torch is imported: threads that spin while they wait starve the other models of a node.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.folder, self.parts = checkpoint.folders(card, self.token)
        checkpoint.go_offline()
        self._quiet()
        self.dtype = self._dtype()
        self.holding = memory.Holding.of(device)
        self.spread = device == "cuda" and memory.several(card.gpu or 0.0)
        self.open()

    def weights(self) -> Sequence[Path]:
        """See ``Runner``."""
        folders = [self.folder, *self.parts.values()]
        return [file for folder in folders for file in sorted(folder.rglob("*.safetensors"))]

    @abstractmethod
    def open(self) -> None:
        """Load the model from ``self.folder``.

        Raises:
            ExpertError: it cannot be loaded, or its weights do not fit.

        """

    def ready(self, item: Input) -> Any:
        """What ``infer`` needs of one input, checked; the input itself by default.

        Raises:
            InputError: the model cannot use it.

        """
        return item

    @abstractmethod
    def infer(self, items: Sequence[Any]) -> Sequence[Result | Exception]:
        """One model call for all ``items`` (of ``ready``), which share a ``key``; one answer each."""

    def run(self, inputs: Sequence[Input]) -> Sequence[Result | Exception]:
        """See ``Runner``."""
        items: list[Any] = []
        for item in inputs:
            try:
                items.append(self.ready(item))
            except Exception as error:  # of this input alone
                items.append(_Refused(error))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a tokenizer's panic is no Exception
                told = f"{self.card.id} cannot read this input ({type(error).__name__}); change it."
                items.append(_Refused(InputError(told)))
        good = [item for item in items if not isinstance(item, _Refused)]
        answers = iter(self._inferred(good) if good else ())
        return [item.error if isinstance(item, _Refused) else next(answers) for item in items]

    def _inferred(self, items: Sequence[Any]) -> list[Result | Exception]:
        found = self._attempted(items)
        if not isinstance(found, Exception):
            return found
        failure = self._failure(found)
        if len(items) == 1 or self.broken:
            return [failure] * len(items)
        # Smaller batches fit where this one did not, and keep a bad input from its neighbours.
        half = len(items) // 2
        return self._inferred(items[:half]) + self._inferred(items[half:])

    def _attempted(self, items: Sequence[Any]) -> list[Result | Exception] | Exception:
        """The results of one model call, or what it failed with; its tensors are let go at once.

        Raises:
            StoppedError: nobody waits for it any more.

        """
        import torch

        try:
            with torch.inference_mode():
                return list(self.infer(items))
        except (StoppedError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a tokenizer's panic is no Exception
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, Exception):
                return error
            return ExpertError(f"{self.card.id} failed with {type(error).__name__}; ask for something else.")

    def _failure(self, error: Exception) -> Exception:
        import torch

        if isinstance(error, torch.OutOfMemoryError) or _NO_WORKSPACE in str(error):
            self.broken = not self.holding.returned()
            if self.broken:
                return ExpertError(
                    f"{self.card.id} ran out of GPU memory and does not give it back; its replica is "
                    "replaced. Ask for something smaller, or give its card a larger share of a GPU."
                )
            return ExpertError(
                f"{self.card.id} ran out of GPU memory; ask for something smaller, or give its card a larger "
                "share of a GPU."
            )
        if isinstance(error, torch.AcceleratorError):
            self.broken = True  # every later call of this process would fail
        return error

    def warm_up(self) -> None:
        """Run an example of each of the card's tasks; on a GPU the largest batch, to find its peak of memory.

        Raises:
            ExpertError: the model cannot answer it.

        """
        for task in self.card.tasks:
            item = self.example(task)
            count = self.card.batch_size if self.device == "cuda" else 1
            for answer in self.run([item] * count):
                if isinstance(answer, Exception):
                    raise ExpertError(f"{self.card.id} cannot do {task}: {answer}") from answer
        self.holding.settle()

    def example(self, task: str) -> Input:
        """What a warm-up asks."""
        small = {} if self.device == "cuda" else self.small_args
        return examples.example(task, {**small, **self.warm_args})

    # For the families ----------------------------------------------------------------------------------

    def load_model(self, auto: Any, folder: Path | None = None, **options: Any) -> Any:
        """A model on the device, checked, and stopped within one forward pass when nobody waits.

        Raises:
            ExpertError: see ``loading.load_model``.

        """
        spare = (*options.pop("spare", ()), *self.card.spare_weights)
        options |= self.splitting()
        model = load_model(
            auto, folder or self.folder, dtype=self.dtype, spare=spare, task=self.card.tasks[0], **options
        )
        return self.stoppable(self.placed(model))

    def splitting(self) -> dict[str, Any]:
        """What ``from_pretrained`` is told, so that the layers of a large model lie on all GPUs alike."""
        return {"device_map": "balanced"} if self.spread else {}

    def placed(self, model: Any) -> Any:
        """A loaded model where it is to work: on the device, or split among several as it was loaded.

        Raises:
            ExpertError: not all of it fits on the GPUs; what lies elsewhere would be fetched at each call.

        """
        if not self.spread:
            return model.to(self.device)
        places = set(map(str, getattr(model, "hf_device_map", {}).values()))
        if places & {"cpu", "disk"}:
            raise ExpertError(
                f"{self.card.id} does not fit on its {self.card.gpu:g} GPUs; give its card more of them, or "
                "a node whose GPUs have more memory."
            )
        return model if places else model.to(self.device)

    def load_processor(self, auto: Any, folder: Path | None = None, **options: Any) -> Any:
        """A tokenizer, image processor, feature extractor or processor.

        Raises:
            ExpertError: the folder has none that fits.

        """
        try:
            return auto.from_pretrained(
                folder or self.folder, trust_remote_code=False, local_files_only=True, **options
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            told = " ".join(str(error).split())[:300]
            raise ExpertError(f"{self.card.id} has no usable {auto.__name__}: {told}") from error

    def stoppable(self, module: Any) -> Any:
        """Make every forward pass of a module look first whether somebody still waits; returns the module."""

        def look(*_: Any) -> None:
            self.check_stopped()

        module.register_forward_pre_hook(look)
        return module

    def check_stopped(self) -> None:
        """End the call here if nobody waits for it.

        Raises:
            StoppedError: nobody does.

        """
        if self.stopping.is_set():
            raise StoppedError("The task was stopped because nobody waits for it any more; ask again.")

    def knob(self, item: Input, name: str, default: float, low: float, high: float) -> float:
        """A number that tunes a result: of the call, of the card's defaults, or ``default``.

        Raises:
            InputError: it is no number between ``low`` and ``high``.

        """
        written = item.text(name) or self.card.defaults.get(name, "")
        if not written:
            return default
        try:
            value = float(written)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise InputError(f"{name} must be a number from {low:g} to {high:g}, not {written[:40]!r}.")
        return value

    def whole(self, item: Input, name: str, default: int, low: int, high: int) -> int:
        """As ``knob``, for whole numbers.

        Raises:
            InputError: it is no whole number between ``low`` and ``high``.

        """
        value = self.knob(item, name, default, low, high)
        if value != int(value):
            raise InputError(f"{name} must be a whole number, not {value:g}.")
        return int(value)

    def word(self, item: Input, name: str, default: str = "") -> str:
        """A word that tunes a result: of the call, of the card's defaults, or ``default``."""
        return (item.text(name) or self.card.defaults.get(name, default)).strip()

    def _dtype(self) -> Any:
        import torch

        torch.set_num_threads(int(self.card.cpus) or THREADS)
        if self.device != "cuda":
            return torch.float32
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        half = "bfloat16" if native else "float16"
        return getattr(torch, self.card.dtype or half)

    @staticmethod
    def _quiet() -> None:
        """Keep progress bars and advice out of the replica's log."""
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()


class _Refused:
    """An input that failed before the model saw it."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def picture(image: Image) -> Any:
    """The value as a picture of Pillow, RGB."""
    from PIL import Image as Pillow

    return Pillow.fromarray(rgb(image))
