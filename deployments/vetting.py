"""What a model's configuration may say: it describes a model, and never names code to run.

Transformers and diffusers set whatever a JSON file holds as attributes of a configuration, and nested ones
may steer how they load (CVE-2026-4372: a kernel of the Hub in an internal key; CVE-2026-5241: a nested
``trust_remote_code``). So every file is read here first, and what could make a loader fetch or run code is
refused, however deep it lies.
"""

import json
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from deployments.errors import ExpertError

MAX_CONFIG = 20 << 20
"""The most bytes of a configuration file."""

MAX_DATA = 200 << 20
"""The most bytes of a vocabulary, a tokenizer, or an index of weights."""

MAX_DEPTH = 60
"""The deepest nesting of a configuration."""

_DATA = re.compile(r"(vocab|tokenizer|added_tokens|normalizer|merges|.*\.index(\..+)?)\.json")
_REMOTE = ("auto_map", "custom_pipelines", "custom_pipeline", "custom_generate")
_INTERNAL = re.compile(r"_(attn|experts)_implementation_internal|_auto_class|_post_init_done")
_IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation")
_WORD = re.compile(r"\w{1,60}")
_SHARD = re.compile(r"[\w.-]{1,200}\.(safetensors|bin)")


def is_data(name: str) -> bool:
    """Whether a file is a vocabulary, a tokenizer or an index of weights: data, which no loader obeys."""
    return _DATA.fullmatch(PurePosixPath(name).name) is not None


def vet(folder: Path, names: Iterable[str] | None = None, model: str = "") -> None:
    """Refuse a model folder whose JSON files could make a loader fetch or run code.

    Args:
        folder: the model's folder.
        names: the files to look at; all of the folder, hidden ones aside, by default.
        model: the model's name, for messages; the folder's by default.

    Raises:
        ExpertError: the file and the key are in its message.

    """
    for name in _all(folder) if names is None else names:
        if name.endswith(".json"):
            try:
                vet_file(folder / name, name)
            except ExpertError as error:
                raise ExpertError(f"{model or folder}: {error.message}") from error


def _all(folder: Path) -> list[str]:
    names = [path.relative_to(folder) for path in folder.rglob("*.json")]
    return sorted(str(name) for name in names if not any(part.startswith(".") for part in name.parts))


def vet_file(path: Path, name: str) -> None:
    """Refuse one JSON file, known as ``name`` inside its model; see ``vet``.

    Raises:
        ExpertError: it could make a loader fetch or run code, or is no sound JSON.

    """
    data = is_data(name)
    content = _read(path, name, MAX_DATA if data else MAX_CONFIG)
    if data:
        if ".index" in name:
            _vet_index(content, name)
        return
    for key, value in _entries(content, name):
        _vet_entry(key, value, name)
    if name == "model_index.json":
        _vet_pipeline(content, name)


def _read(path: Path, name: str, most: int) -> Any:
    if path.stat().st_size > most:
        raise ExpertError(
            f"{name} is larger than {most >> 20} MB, which no configuration is; it is not loaded."
        )
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ExpertError(f"{name} is not UTF-8 text; it is not loaded.") from error
    except RecursionError as error:
        raise ExpertError(f"{name} is nested too deeply; it is not loaded.") from error
    except ValueError as error:
        raise ExpertError(f"{name} is no valid JSON ({error}); it is not loaded.") from error


def _entries(content: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every key with its value, however deep."""
    waiting = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ExpertError(f"{name} is nested too deeply; it is not loaded.")
        if isinstance(value, dict):
            yield from value.items()
            waiting.extend((inner, depth + 1) for inner in value.values())
        elif isinstance(value, list):
            waiting.extend((inner, depth + 1) for inner in value)


def _vet_entry(key: str, value: Any, name: str) -> None:
    if key in _REMOTE and value:
        raise ExpertError(
            f"The model needs remote code ({key} in {name}), which is never run; "
            "choose a model that its library supports by itself."
        )
    if key == "trust_remote_code" and value not in (False, None):
        raise ExpertError(f"{name} asks for remote code ({key}), which is never run; choose another model.")
    if _INTERNAL.fullmatch(key):
        raise ExpertError(f"{name} sets {key}, which is internal to the library; the model is not loaded.")
    if _IMPLEMENTATION.fullmatch(key):
        for word in value.values() if isinstance(value, dict) else (value,):
            if word is not None and not (isinstance(word, str) and _WORD.fullmatch(word)):
                raise ExpertError(
                    f"{name} names code of the Hub under {key} ({str(word)[:80]!r}), which is never fetched."
                )


def _vet_index(content: Any, name: str) -> None:
    """An index may only name files beside it."""
    shards = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shards, dict):
        raise ExpertError(f"{name} is no index of weights; it is not loaded.")
    for shard in set(map(str, shards.values())):
        if not _SHARD.fullmatch(shard):
            raise ExpertError(f"{name} names weights outside the model ({shard[:80]!r}); it is not loaded.")


def _vet_pipeline(content: Any, name: str) -> None:
    """A pipeline's index may only name classes of diffusers and transformers."""
    if not isinstance(content, dict):
        raise ExpertError(f"{name} is no description of a pipeline; it is not loaded.")
    _check_word(content.get("_class_name"), "_class_name", name)
    for key, value in content.items():
        if key.startswith("_") or not isinstance(value, list):
            continue
        if not any(isinstance(part, str) for part in value):  # left out, or a setting such as sizes
            continue
        if len(value) != 2:
            raise ExpertError(f"{name} describes {key} in a way that is not known; it is not loaded.")
        _check_word(key, key, name)
        library, class_name = value
        _check_word(class_name, key, name)
        if library not in ("diffusers", "transformers") and not _pipeline_module(library):
            raise ExpertError(
                f"{name} takes {key} from {str(library)[:80]!r}, which is neither diffusers nor transformers;"
                " that needs remote code, which is never run."
            )


def _check_word(value: Any, key: str, name: str) -> None:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ExpertError(
            f"{name} names no class of a library under {key}; that needs remote code, which is never run."
        )


def _pipeline_module(library: Any) -> bool:
    """Whether diffusers has such a module of pipelines; looked up without importing it."""
    spec = find_spec("diffusers")
    if not isinstance(library, str) or not _WORD.fullmatch(library) or spec is None or spec.origin is None:
        return False
    pipelines = Path(spec.origin).parent / "pipelines"
    return any((place / library / "__init__.py").is_file() for place in (pipelines, pipelines / "deprecated"))


def components(model_index: Path) -> list[str]:
    """The folders that a vetted ``model_index.json`` names."""
    content = json.loads(model_index.read_text(encoding="utf-8"))
    return [
        key
        for key, value in content.items()
        if not key.startswith("_") and isinstance(value, list) and value and isinstance(value[0], str)
    ]
