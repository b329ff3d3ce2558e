"""Control maps by the annotators of ControlNet: soft edges, straight lines, poses, surface normals.

They need the package controlnet_aux, which needs torchvision. Their weights are published as pickles; here
they are read from safetensors of the same names, as everything else is.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deployments.errors import ExpertError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners.neural import NeuralRunner
from deployments.runners.pictures import Seen, seen

_PACKAGE = "controlnet_aux"
_FINE = 512  # shorter side that the annotators look at, their own default


@dataclass(frozen=True, slots=True)
class _Kind:
    """An annotator: its class, and the stems of the files of lllyasviel/Annotators that it reads."""

    name: str
    files: tuple[str, ...]


_KINDS: Mapping[str, _Kind] = {
    "hed-control": _Kind("HEDdetector", ("ControlNetHED",)),
    "mlsd-control": _Kind("MLSDdetector", ("mlsd_large_512_fp32",)),
    "openpose-control": _Kind("OpenposeDetector", ("body_pose_model", "hand_pose_model", "facenet")),
    "normal-control": _Kind("NormalBaeDetector", ("scannet",)),
}


class Annotator(NeuralRunner):
    """Draws the control maps of its card's tasks."""

    requires: ClassVar[tuple[str, ...]] = ("controlnet_aux", "torchvision")

    def open(self) -> None:
        """See ``NeuralRunner``."""
        try:
            package = import_module(_PACKAGE)
        except (ImportError, OSError, RuntimeError) as error:
            raise ExpertError(
                f"{self.card.id} needs {_PACKAGE} and torchvision; install the extra 'annotators' on the "
                f"nodes that run it. {' '.join(str(error).split())[:200]}"
            ) from error
        with _from_safetensors():
            self._annotators = {task: self._annotator(package, task) for task in self.card.tasks}

    def _annotator(self, package: Any, task: str) -> Any:
        kind = _KINDS.get(task)
        if kind is None:
            raise ExpertError(f"There is no annotator for {task}; one of {', '.join(_KINDS)} can be had.")
        files = [f"{name}.safetensors" for name in kind.files]
        missing = [name for name in files if not (self.folder / name).is_file()]
        if missing:
            raise ExpertError(f"{self.card.id} lacks {', '.join(missing)}, which {task} needs.")
        try:
            made = getattr(package, kind.name).from_pretrained(str(self.folder), local_files_only=True)
        except Exception as error:  # of a package that raises what it likes
            raise ExpertError(
                f"{self.card.id} cannot be loaded for {task}: {' '.join(str(error).split())[:300]}"
            ) from error
        return made.to(self.device)

    def key(self, item: Input) -> Hashable:
        """The annotators look at one picture after the other, so that all may come together."""
        return None

    def ready(self, item: Input) -> Seen:
        """The picture."""
        return seen(item)

    def infer(self, items: Sequence[Seen]) -> list[Result]:
        """The maps, of the pictures' own sizes."""
        return [self._drawn(item) for item in items]

    def _drawn(self, item: Seen) -> Result:
        self.check_stopped()
        drawn = self._annotators[item.task](
            item.small, detect_resolution=_FINE, image_resolution=_FINE, output_type="pil"
        )
        height, width = item.shape
        return Result(image=Image(np.asarray(drawn.convert("RGB").resize((width, height)))))


@contextmanager
def _from_safetensors() -> Iterator[None]:
    """Let the package read safetensors where it asks torch for a pickle of the same name."""
    import torch
    from safetensors.torch import load_file

    def load(path: str, *_: Any, **__: Any) -> dict[str, Any]:
        tensors = load_file(Path(path).with_suffix(".safetensors"))
        # The normals' network alone was saved inside a training state.
        return {"model": tensors} if path.endswith(".pt") else tensors

    usual, torch.load = torch.load, load
    try:
        yield
    finally:
        torch.load = usual
