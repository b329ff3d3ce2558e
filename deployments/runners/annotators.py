"""Control maps by the annotators of ControlNet: soft edges, straight lines, poses, surface normals.

They need the package controlnet_aux, which needs torchvision, and their weights are no safetensors: they are
read as torch's restricted pickles, which hold tensors and run no code.
"""

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

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
    """An annotator: its class, and the files of lllyasviel/Annotators that it reads."""

    name: str
    files: tuple[str, ...]


_KINDS: Mapping[str, _Kind] = {
    "hed-control": _Kind("HEDdetector", ("ControlNetHED.pth",)),
    "mlsd-control": _Kind("MLSDdetector", ("mlsd_large_512_fp32.pth",)),
    "openpose-control": _Kind(
        "OpenposeDetector", ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth")
    ),
    "normal-control": _Kind("NormalBaeDetector", ("scannet.pt",)),
}


class Annotator(NeuralRunner):
    """Draws the control maps of its card's tasks."""

    def open(self) -> None:
        """See ``NeuralRunner``."""
        # Their loader calls torch.load, which then refuses every pickle that could run code.
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
        try:
            package = import_module(_PACKAGE)
        except (ImportError, OSError, RuntimeError) as error:
            raise ExpertError(
                f"{self.card.id} needs {_PACKAGE} and torchvision; install the extra 'annotators' on the "
                f"nodes that run it. {' '.join(str(error).split())[:200]}"
            ) from error
        self._annotators = {task: self._annotator(package, task) for task in self.card.tasks}

    def _annotator(self, package: Any, task: str) -> Any:
        kind = _KINDS.get(task)
        if kind is None:
            raise ExpertError(f"There is no annotator for {task}; one of {', '.join(_KINDS)} can be had.")
        missing = [name for name in kind.files if not (self.folder / name).is_file()]
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
