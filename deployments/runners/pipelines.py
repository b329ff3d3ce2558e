"""Pipelines of diffusers: loaded with every weight in its place, called without a state of their own.

``DiffusionPipeline.from_pretrained`` says nothing of weights that are missing or left over, so each component
is loaded by its own class and checked. A scheduler keeps the state of a call, so every call gets a new one.
"""

import inspect
import json
import re
import secrets
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakSet

from deployments.errors import ExpertError
from deployments.result import Input
from deployments.runners.loading import load_model
from deployments.runners.neural import NeuralRunner

INDEX = "model_index.json"

MAX_SEED = 2**32 - 1

_RENAMED = {
    "CLIPFeatureExtractor": "CLIPImageProcessor",
    "GPT2Model": "GPT2LMHeadModel",  # of AudioLDM 2, whose pipeline steps through it as only this one can
}
"""Classes of transformers that old pipelines name, and what they need today."""

WHOLE = frozenset({"AutoencoderKLWan"})
"""Classes that lose too much in half precision; pipelines cast what passes through them."""

_PLAIN = ("model", "diffusion_pytorch_model")
_VARIANT = re.compile(rf"(?:{'|'.join(_PLAIN)})\.(?:safetensors\.index\.(\w+)\.json|(\w+)\.safetensors)")


class DiffusionRunner(NeuralRunner):
    """What the runners of diffusion models share: loading, seeds, knobs, and calls that leave no trace."""

    def __init__(self) -> None:
        super().__init__()
        self._watched: WeakSet[Any] = WeakSet()

    def pipeline(self, folder: Path | None = None) -> Any:
        """The pipeline in a folder, of the class that its index names, on the device.

        Raises:
            ExpertError: it is none of diffusers, or a component of it cannot be loaded.

        """
        folder = folder or self.folder
        named = read_index(folder)
        cls = pipeline_class(named.pop("_class_name", None))
        _check_words(cls)
        parts = {name: value for name, value in named.items() if not name.startswith("_")}
        for name, value in parts.items():
            if isinstance(value, list) and len(value) == 2:
                parts[name] = None if value[0] is None else self._component(folder, name, *value)
        return self.built(cls, parts)

    def built(self, cls: Any, parts: Mapping[str, Any]) -> Any:
        """A pipeline of class ``cls`` over those of these components and settings that it has a place for.

        Raises:
            ExpertError: it needs a component that is not among them.

        """
        takes = inspect.signature(cls.__init__).parameters
        optional = set(cls._optional_components)
        given = {name: parts[name] for name in takes if name in parts}
        given |= {
            name: None for name in optional & takes.keys() if name not in given and _required(takes[name])
        }
        lacking = [
            name for name, one in takes.items() if name != "self" and _required(one) and name not in given
        ]
        if lacking:
            raise ExpertError(
                f"A {cls.__name__} needs {', '.join(lacking)}, which the model lacks; "
                "give its card the tasks that it was made for."
            )
        with hushed():
            made = cls(**given)
        for module in made.components.values():
            if hasattr(module, "register_forward_pre_hook"):
                # One that is split lies where it was loaded.
                self.stoppable(module if hasattr(module, "hf_device_map") else module.to(self.device))
        return made

    def sibling(self, cls: Any, pipe: Any, **more: Any) -> Any:
        """A pipeline of another class over the same modules.

        Raises:
            ExpertError: see ``built``.

        """
        return self.built(cls, {**pipe.components, **pipe.parameters, **more})

    def stoppable(self, module: Any) -> Any:
        """See ``NeuralRunner``; a module that pipelines share is watched once."""
        if module not in self._watched:
            self._watched.add(module)
            super().stoppable(module)
        return module

    def called(self, pipe: Any, **arguments: Any) -> Any:
        """One call on a copy of the pipeline with schedulers of its own, which an ended call cannot spoil."""
        vae = getattr(pipe, "vae", None)
        dtype = getattr(vae, "dtype", None)
        try:
            with hushed():
                once = fresh(pipe)
                once.set_progress_bar_config(disable=True)
                return once(**arguments)
        finally:
            # Some pipelines decode in full precision and forget to go back when the decoding fails.
            if vae is not None and vae.dtype != dtype:
                vae.to(dtype)

    def tuning(self, item: Input, pipe: Any) -> dict[str, Any]:
        """Steps and guidance, as the pipeline calls them; what is left open it decides itself.

        Raises:
            InputError: one is out of bounds.

        """
        takes = accepts(pipe)
        options: dict[str, Any] = {}
        if self.given(item, "steps") and "num_inference_steps" in takes:
            options["num_inference_steps"] = self.whole(item, "steps", 1, 1, 200)
        name = _guidance(takes)
        if self.given(item, "guidance") and name:
            options[name] = self.knob(item, "guidance", 0, 0, 50)
        return options

    def prompts(self, item: Input, pipe: Any, text: str) -> dict[str, str]:
        """What is asked for, and what is not, as far as the pipeline listens to it."""
        takes = accepts(pipe)
        unwanted = self.word(item, "negative_prompt")
        if not unwanted and _guidance(takes) == "true_cfg_scale":
            unwanted = " "  # without one these pipelines ignore their guidance
        told = {"prompt": text, **({"negative_prompt": unwanted} if unwanted else {})}
        return {name: words for name, words in told.items() if name in takes}

    def seed(self, item: Input) -> int:
        """The call's seed, or a fresh one.

        Raises:
            InputError: it is no whole number from 0.

        """
        return self.whole(item, "seed", secrets.randbelow(MAX_SEED + 1), 0, MAX_SEED)

    def given(self, item: Input, name: str) -> bool:
        """Whether the call or the card sets a knob."""
        return bool(self.word(item, name))

    def _component(self, folder: Path, name: str, library: str, named: str) -> Any:
        import diffusers
        import transformers

        cls = _component_class(library, named)
        place = folder / name if (folder / name).is_dir() else folder
        if issubclass(cls, diffusers.ModelMixin | transformers.PreTrainedModel):
            return self.network(cls, place)
        with hushed():
            return self.load_processor(cls, place)

    def network(self, cls: Any, folder: Path) -> Any:
        """A network of diffusers or transformers, checked, on the device.

        Raises:
            ExpertError: see ``loading.load_model``.

        """
        import torch

        variant = _variant(folder)
        try:
            with hushed():
                model = load_model(
                    cls,
                    folder,
                    dtype=torch.float32 if cls.__name__ in WHOLE else self.dtype,
                    spare=self.card.spare_weights,
                    task=self.card.tasks[0],
                    **({"variant": variant} if variant else {}),
                    **self.splitting(),
                )
        except ExpertError as error:
            raise ExpertError(f"{cls.__name__} of {self.card.id}: {error.message}") from error
        return self.stoppable(self.placed(model))

    @staticmethod
    def _quiet() -> None:
        import diffusers

        NeuralRunner._quiet()
        diffusers.utils.logging.set_verbosity_error()
        diffusers.utils.logging.disable_progress_bar()


@contextmanager
def hushed() -> Iterator[None]:
    """Silence what nobody here can mend: old settings of models, and numpy's word on torch's tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def read_index(folder: Path) -> dict[str, Any]:
    """The pipeline's index: the class of each component.

    Raises:
        ExpertError: the folder holds no pipeline of diffusers.

    """
    try:
        read = json.loads((folder / INDEX).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ExpertError(
            f"The model has no usable {INDEX}, so it is no pipeline of diffusers; take a repository in "
            "diffusers' format (often one whose name ends in -Diffusers or -diffusers)."
        ) from error
    if not isinstance(read, dict):
        raise ExpertError(f"The model's {INDEX} holds no table of components.")
    return read


def pipeline_class(name: Any) -> Any:
    """The class of diffusers with this name.

    Raises:
        ExpertError: diffusers has none, so that the model's own code would have to run.

    """
    import diffusers

    found = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise ExpertError(
            f"diffusers {diffusers.__version__} has no pipeline {name!r}; the model cannot run."
        )
    return found


def fresh(pipe: Any) -> Any:
    """A copy of a pipeline that shares its modules and has schedulers of its own."""
    from diffusers import SchedulerMixin

    parts = {
        name: type(part).from_config(part.config) if isinstance(part, SchedulerMixin) else part
        for name, part in pipe.components.items()
    }
    return type(pipe)(**parts, **pipe.parameters)


def tiled(vae: Any, wanted: bool = True) -> None:
    """Have an autoencoder work in tiles, or at once; one of a kind that knows no tiles is left alone."""
    if hasattr(vae, "use_tiling"):  # all have the methods
        (vae.enable_tiling if wanted else vae.disable_tiling)()


def sliced(vae: Any) -> None:
    """Have an autoencoder take a batch one by one; one of a kind that cannot is left alone."""
    if hasattr(vae, "use_slicing"):
        vae.enable_slicing()


def accepts(pipe: Any) -> Mapping[str, inspect.Parameter]:
    """The arguments of a call on a pipeline, or on one of a class."""
    cls = pipe if isinstance(pipe, type) else type(pipe)
    return inspect.signature(cls.__call__).parameters


def generators(seeds: list[int]) -> list[Any]:
    """A source of noise for each seed; on the CPU, so that a seed means the same on every device."""
    import torch

    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def _check_words(cls: Any) -> None:
    """Refuse a pipeline that mends texts with ftfy where it is not installed: many fail only when called.

    Raises:
        ExpertError: it is not.

    """
    if hasattr(sys.modules.get(cls.__module__), "is_ftfy_available") and find_spec("ftfy") is None:
        raise ExpertError(f"A {cls.__name__} needs ftfy: pip install 'hugginggpt-serve[models]'.")


def _component_class(library: str, name: str) -> Any:
    """A component's class: of transformers, of diffusers, or of one of its pipelines' own modules."""
    import diffusers
    import transformers

    known = {"transformers": transformers, "diffusers": diffusers}
    module = known.get(library) or getattr(diffusers.pipelines, library, None)
    found = getattr(module, _RENAMED.get(name, name), None)
    if found is not None and name.startswith("Cosine") and find_spec("torchsde") is None:
        # The same solver without fresh noise at each step, for which alone torchsde is needed.
        found = diffusers.EDMDPMSolverMultistepScheduler
    if not isinstance(found, type) or not hasattr(found, "from_pretrained"):
        raise ExpertError(f"The model needs {library}.{name}, which is not in the installed libraries.")
    return found


def _variant(folder: Path) -> str | None:
    """The kind of weights (``fp16``) of a folder that lacks the plain ones."""
    if any((folder / f"{name}.safetensors{end}").exists() for name in _PLAIN for end in ("", ".index.json")):
        return None
    found = filter(None, (_VARIANT.fullmatch(path.name) for path in sorted(folder.glob("*"))))
    return next((match[1] or match[2] for match in found), None)


def _required(one: inspect.Parameter) -> bool:
    return one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)


def _guidance(takes: Mapping[str, inspect.Parameter]) -> str | None:
    """What a pipeline calls its guidance; where there are two, the one that it was trained for."""
    plain = takes.get("guidance_scale")
    if "true_cfg_scale" in takes and (plain is None or plain.default is None):
        return "true_cfg_scale"
    return next((name for name in ("guidance_scale", "max_guidance_scale") if name in takes), None)
