"""How many numbers of each type a model's safetensors hold, by their headers alone.

A file begins with 8 bytes that tell how long its header is; the header is JSON with every tensor's type and
shape. Of a model of the Hub a few kilobytes of each file are read, by range.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deployments.errors import ExpertError
from deployments.weights import VARIANTS, Selection

LARGEST = 100 << 20
"""The most bytes of a header, as safetensors itself has it."""

FULL = "F32"
"""What the numbers of a pickle are taken for: nearly all were saved in full precision."""


def of_file(path: Path) -> Counter[str]:
    """The numbers of a file by type.

    Raises:
        ExpertError: it is no file of safetensors.

    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= LARGEST:
                raise ValueError("no header")
            header = json.loads(file.read(length))
        return _counted(entry for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExpertError(f"{path} is no file of safetensors; download the model again.") from error


def _counted(entries: Iterable[Mapping[str, Any]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for entry in entries:
        found[str(entry["dtype"])] += math.prod(map(int, entry["shape"]))
    return found


def of_folder(folder: Path, chosen: Selection) -> dict[str, Counter[str]]:
    """The numbers of a folder's chosen weights by type, by file.

    Raises:
        ExpertError: one is no file of safetensors.

    """
    found = {name: of_file(folder / name) for name in _headed(chosen)}
    return found | _pickled(
        chosen, {name: (folder / name).stat().st_size for name in chosen.pickles.values()}
    )


def of_hub(
    model: str, commit: str, chosen: Selection, sizes: Mapping[str, int], token: str | bool
) -> dict[str, Counter[str]]:
    """The numbers of the chosen weights of a model of the Hub by type, by file.

    Args:
        model: ``owner/name``.
        commit: of its files.
        chosen: the weights that would be loaded.
        sizes: bytes of each file.
        token: for the Hub; False for none.

    Raises:
        ExpertError: one is no file of safetensors.

    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import SafetensorsParsingError

    api = HfApi(token=token)
    found: dict[str, Counter[str]] = {}
    for name in _headed(chosen):
        try:
            told = api.parse_safetensors_file_metadata(model, name, revision=commit)
        except SafetensorsParsingError as error:
            raise ExpertError(
                f"{name} of {model} is no file of safetensors; choose another model."
            ) from error
        found[name] = _counted({"dtype": one.dtype, "shape": one.shape} for one in told.tensors.values())
    return found | _pickled(chosen, sizes)


def _headed(chosen: Selection) -> list[str]:
    return [name for name in chosen.files if name.endswith(".safetensors")]


def _pickled(chosen: Selection, sizes: Mapping[str, int]) -> dict[str, Counter[str]]:
    """The numbers of pickles, which have no header: by their size."""
    found = {}
    for name in chosen.pickles.values():
        half = any(f".{variant}." in name for variant in VARIANTS[:2])
        found[name] = Counter({"F16" if half else FULL: sizes.get(name, 0) // (2 if half else 4)})
    return found
