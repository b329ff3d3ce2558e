"""Processors: what turns pictures and words together into a model's inputs."""

import json
from collections.abc import Mapping
from typing import Any

from deployments.errors import ExpertError
from deployments.runners.neural import NeuralRunner

_VIDEO = "video_processor"
_NAMING = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def kind(runner: NeuralRunner) -> str:
    """The type of the runner's model, as its configuration names it.

    Raises:
        ExpertError: the folder has no configuration that can be read.

    """
    found = _written(runner, "config.json").get("model_type")
    if not isinstance(found, str):
        raise ExpertError(f"{runner.card.id} has no config.json that tells its type.")
    return found


def processor(runner: NeuralRunner) -> Any:
    """The processor of the runner's model.

    All processors of films need torchvision. Where it is missing, a model that also takes films is given one
    for pictures alone.

    Raises:
        ExpertError: it has none that works here.

    """
    import transformers

    try:
        found = runner.load_processor(transformers.AutoProcessor)
    except ExpertError as error:
        found = _without_torchvision(runner, error)
    if not isinstance(found, transformers.ProcessorMixin):
        raise ExpertError(
            f"{runner.card.id} has a {type(found).__name__} alone, and no processor for pictures and words "
            "together; give its card the tasks that it was made for."
        )
    return found


def _without_torchvision(runner: NeuralRunner, error: ExpertError) -> Any:
    if "torchvision" not in str(error).lower():
        raise error
    stills = _stills(runner)
    try:
        if stills is not None:
            return runner.load_processor(stills)
    except ExpertError as again:
        error = again
    raise ExpertError(
        f"The processor of {runner.card.id} needs torchvision; install the build of torchvision that fits "
        "this build of torch."
    ) from error


def _stills(runner: NeuralRunner) -> Any:
    """The class of the model's processor less its part for films; None where that cannot be left out."""
    import transformers
    from transformers.models.auto.auto_mappings import PROCESSOR_MAPPING_NAMES

    named = [_written(runner, file).get("processor_class") for file in _NAMING]
    name = next((name for name in named if isinstance(name, str)), PROCESSOR_MAPPING_NAMES.get(kind(runner)))
    whole: Any = getattr(transformers, name or "", None)
    parts = whole.get_attributes() if hasattr(whole, "get_attributes") else []
    if parts[-1:] != [_VIDEO]:
        return None  # parts are given by place, so that only the last one can be left out
    return type(name, (whole,), {"get_attributes": classmethod(lambda _: parts[:-1])})


def _written(runner: NeuralRunner, file: str) -> Mapping[str, Any]:
    """What a file of the model's folder holds, nothing where it is missing or no JSON object."""
    try:
        found = json.loads((runner.folder / file).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
