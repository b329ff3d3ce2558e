"""Which files of a repository a model needs: configuration, tokenizer and one set of weights, no more."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from deployments.errors import ExpertError

STEMS = {"diffusion_pytorch_model": "diffusion_pytorch_model", "model": "pytorch_model"}
"""Names of weights in safetensors, and of the same as pickles, that diffusers and transformers look for."""

DETECTORS = frozenset(
    (
        "ControlNetHED.pth",
        "mlsd_large_512_fp32.pth",
        "body_pose_model.pth",
        "hand_pose_model.pth",
        "facenet.pth",
        "scannet.pt",
    )
)
"""Pickles of controlnet_aux's detectors (soft edges, straight lines, poses, normals), wherever they lie."""

VARIANTS = ("fp16", "bf16", "fp32")
"""Marks of weights in another precision, in the order they are taken where the plain ones are missing."""

_SUPPORT = frozenset((".json", ".txt", ".model", ".tiktoken", ".jinja", ".spm", ".bpe", ".codes", ".vocab"))
_NEEDLESS = re.compile(
    r"\..*|README.*|LICENSE.*|requirements.*\.txt|trainer_state\.json|training_args.*|.*\.index(\..+)?\.json"
)
_MODULE = re.compile(r"\d+_\w+")  # of sentence-transformers: 1_Pooling, 2_Dense
_TEMPLATES = "additional_chat_templates"


@dataclass(frozen=True, slots=True)
class Selection:
    """The weights of a model.

    Attributes:
        links: files of the repository by the name that a loader looks for.
        pickles: pickles of the repository by the name of the safetensors to make of them.

    """

    links: dict[str, str] = field(default_factory=dict)
    pickles: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """The files of the repository, without repeats."""
        return sorted({*self.links.values(), *self.pickles.values()})


def support(names: Iterable[str]) -> list[str]:
    """The configuration and tokenizer files among a repository's files.

    Of a pipeline of diffusers (with ``model_index.json``) those of all folders; else those beside the
    weights, of the modules of sentence-transformers, and of chat templates.
    """
    names = list(names)
    pipeline = "model_index.json" in names
    return [name for name in names if _is_support(PurePosixPath(name), pipeline)]


def _is_support(path: PurePosixPath, pipeline: bool) -> bool:
    if path.suffix not in _SUPPORT or any(_NEEDLESS.fullmatch(part) for part in path.parts):
        return False
    folders = path.parts[:-1]
    return pipeline or not folders or folders == (_TEMPLATES,) or _MODULE.fullmatch(folders[0]) is not None


def weights(names: Collection[str], components: Sequence[str] | None = None) -> Selection:
    """One set of weights of a repository.

    Safetensors are taken before pickles, plain ones before variants: where only ``model.fp16.safetensors``
    exists it is taken as ``model.safetensors``, also before a pickle in full precision. Single files of whole
    pipelines are left out, and so is every copy for other libraries.

    Args:
        names: the repository's files.
        components: the folders of a pipeline of diffusers; None where it is no pipeline.

    Raises:
        ExpertError: there are none that can be loaded.

    """
    found = Selection()
    if components is None:
        folders = [
            "",
            *sorted({name.partition("/")[0] for name in names if _MODULE.match(name) and "/" in name}),
        ]
    else:
        folders = list(components)
    for folder in folders:
        prefix = f"{folder}/" if folder else ""
        here = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        taken = _of_folder({name for name in here if "/" not in name})
        if components is not None and "config.json" in here and not (taken.links or taken.pickles):
            raise ExpertError(_none_for(here, f"its part {folder}"))
        found.links.update({prefix + name: prefix + file for name, file in taken.links.items()})
        found.pickles.update({prefix + name: prefix + file for name, file in taken.pickles.items()})
    if components is None:
        found.links.update(_others(names))
    if not found.links and not found.pickles:
        found.pickles.update(_detectors(names))
    if not found.links and not found.pickles:
        raise ExpertError(_none_for(names, "it"))
    return found


def _detectors(names: Collection[str]) -> dict[str, str]:
    """The weights of control maps' detectors, each under its own name as safetensors."""
    paths = [PurePosixPath(name) for name in sorted(names)]
    return {f"{path.stem}.safetensors": str(path) for path in paths if path.name in DETECTORS}


def _of_folder(here: Collection[str]) -> Selection:
    """The weights among the files of one folder, by the names loaders look for."""
    links: dict[str, str] = {}
    for stem in STEMS:
        links |= _set(here, stem, "safetensors")
    if links:
        return Selection(links)
    for stem, pickled in STEMS.items():
        if taken := _set(here, pickled, "bin"):
            made = {
                f"{stem}{name.removeprefix(pickled).removesuffix('.bin')}.safetensors": file
                for name, file in taken.items()
                if not file.endswith(".json")
            }
            return Selection(pickles=made)
    return Selection()


def _set(here: Collection[str], stem: str, kind: str) -> dict[str, str]:
    """One whole set under a stem, by the names loaders look for; plain, or else of the first variant."""
    for variant in ("", *VARIANTS):
        mark = f".{variant}" if variant else ""
        if (single := f"{stem}{mark}.{kind}") in here:
            return {f"{stem}.{kind}": single}
        dot = re.escape(mark)
        for shape in (rf"{stem}{dot}-(\d+)-of-(\d+)\.{kind}", rf"{stem}-(\d+)-of-(\d+){dot}\.{kind}"):
            if shards := _shards(here, shape):
                indices = (f"{stem}.{kind}.index{mark}.json", f"{stem}.{kind}{mark}.index.json")
                if index := next((name for name in indices if name in here), None):
                    return {f"{stem}.{kind}.index.json": index} | {name: name for name in shards}
    return {}


def _shards(here: Collection[str], shape: str) -> list[str]:
    """The files of the given shape, if they are all there."""
    found = [match for name in sorted(here) if (match := re.fullmatch(shape, name))]
    whole = found and len(found) == int(found[0].group(2)) and len({match.group(2) for match in found}) == 1
    return [match.group() for match in found] if whole else []


def _others(names: Collection[str]) -> dict[str, str]:
    """Weights that are no network of their own: LoRA, and tables' models."""
    return {
        name: name
        for name in names
        if name == "pytorch_lora_weights.safetensors" or ("/" not in name and name.endswith(".skops"))
    }


def _none_for(names: Collection[str], what: str) -> str:
    """Why there are no weights, told by those that cannot be used."""
    other = (
        ".safetensors",
        ".bin",
        ".h5",
        ".msgpack",
        ".ckpt",
        ".onnx",
        ".gguf",
        ".pt",
        ".pth",
        ".pkl",
        ".joblib",
    )
    seen = sorted({PurePosixPath(name).name for name in names if name.endswith(other)})[:3]
    told = f"only {', '.join(seen)}" if seen else "none"
    return (
        f"The model has no weights for {what} that can be loaded ({told}); "
        "model.safetensors or pytorch_model.bin is needed."
    )
