"""From the states of a text's tokens to its vector: the modules of sentence-transformers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployments.errors import ExpertError

TOGETHER = 64  # texts of one pass

Step = Callable[[Any, Any], Any]
"""From states (texts × tokens × numbers, or texts × numbers) and attention mask to states or vectors."""

_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS = frozenset({"Identity", "Tanh", "ReLU", "GELU"})


def steps(folder: Path, device: str) -> list[Step]:
    """What follows the transformer, as ``modules.json`` of a model's folder tells; the mean where none does.

    Args:
        folder: the model's folder.
        device: where it runs.

    Raises:
        ExpertError: it tells of a module that is not known.

    """
    listing = folder / "modules.json"
    if not listing.is_file():
        own = folder / "1_Pooling"
        return [_pooling(own) if own.is_dir() else pooled(("mean",))]
    found: list[Step] = []
    for module in json.loads(listing.read_text(encoding="utf-8")):
        kind = str(module.get("type", "")).rpartition(".")[2]
        part = _inside(folder, str(module.get("path", "")))
        match kind:
            case "Transformer":
                continue
            case "Pooling":
                found.append(_pooling(part))
            case "Dense":
                found.append(_dense(part, device))
            case "Normalize":
                found.append(_normalized)
            case _:
                raise ExpertError(f"The model's vectors pass a module {kind!r}, which is not known here.")
    return found


def pooled(modes: tuple[str, ...]) -> Step:
    """Pool states by one mode, or by several, one behind the other.

    Raises:
        ExpertError: a mode is not known.

    """
    unknown = set(modes) - set(_MODES.values())
    if unknown or not modes:
        raise ExpertError(f"The model pools its states by {', '.join(unknown) or 'no way'}, unknown here.")

    def step(states: Any, mask: Any) -> Any:
        import torch

        return torch.cat([_pool(mode, states, mask) for mode in modes], dim=-1)

    return step


def _pool(mode: str, states: Any, mask: Any) -> Any:
    import torch

    weights = mask.unsqueeze(-1).to(states.dtype)
    places = torch.arange(mask.shape[1], device=mask.device)
    rows = torch.arange(mask.shape[0], device=mask.device)
    match mode:
        case "cls":  # the first token, wherever the padding is
            return states[rows, mask.argmax(1)]
        case "lasttoken":
            return states[rows, (mask * places).argmax(1)]
        case "max":
            return states.masked_fill(weights == 0, float("-inf")).max(1).values
        case "weightedmean":  # later tokens weigh more
            weights = weights * mask.cumsum(1).unsqueeze(-1)
    total = weights.sum(1).clamp(min=1e-9)
    return (states * weights).sum(1) / (total.sqrt() if mode == "mean_sqrt_len_tokens" else total)


def _pooling(folder: Path) -> Step:
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = told.get("pooling_mode")
    if isinstance(named, str):
        return pooled((named,))
    if isinstance(named, list):
        return pooled(tuple(named))
    return pooled(tuple(mode for key, mode in _MODES.items() if told.get(key)))


def _dense(folder: Path, device: str) -> Step:
    import torch
    from safetensors.torch import load_file

    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    activation = str(told.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise ExpertError(f"The model's vectors pass a function {activation!r}, which is not known here.")
    layer = torch.nn.Linear(told["in_features"], told["out_features"], bias=told.get("bias", True))
    weights = load_file(folder / "model.safetensors")
    layer.load_state_dict({key.removeprefix("linear."): value.float() for key, value in weights.items()})
    module = torch.nn.Sequential(layer, getattr(torch.nn, activation)()).to(device).eval()

    def step(vectors: Any, _: Any) -> Any:
        return module(vectors)

    return step


def _normalized(vectors: Any, _: Any) -> Any:
    import torch

    return torch.nn.functional.normalize(vectors, dim=-1)


def _inside(folder: Path, path: str) -> Path:
    """A part of the model's folder.

    Raises:
        ExpertError: it lies elsewhere.

    """
    part = (folder / path).absolute()
    if ".." in Path(path).parts or not part.is_relative_to(folder.absolute()):
        raise ExpertError(f"The model names a part outside its folder: {path!r}.")
    return part
