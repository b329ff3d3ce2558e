"""Models of transformers are loaded so that nothing goes wrong silently.

``from_pretrained`` fills weights that are missing with random numbers, and drops those it has no place for,
with a line in a log. Here both are errors: a model that is loaded under the wrong task answers nonsense.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from deployments.errors import ExpertError

SPARE_UNEXPECTED = (
    "*pooler.*",  # of BERT's pretraining; classes that use it expect it, so that it is never left over there
    "cls.seq_relationship.*",  # BERT's second pretraining task
    "*discriminator_predictions.*",  # ELECTRA's pretraining head
)
"""Weights that may be left over under any class: heads of pretraining that no task here uses."""

SPARE_MISSING = (
    "*masked_spec_embed",  # wav2vec2's mask, for training alone
    "neck.fusion_stage.layers.0.residual_layer1.*",  # of DPT: the first layer has nothing to add it to
)
"""Weights that may be missing under any class: the forward pass never reads them."""

BUFFERS = (
    "*position_ids",
    "*num_batches_tracked",
    "*relative_position_index",
    "*inv_freq",
    "*.attn.bias",
    "*masked_bias",
)
"""Names of buffers that old checkpoints store and today's classes compute."""

_NAMED = 5  # keys shown in a message


def load_model(
    auto: Any, folder: Path, *, dtype: Any, spare: Sequence[str] = (), task: str = "", **options: Any
) -> Any:
    """A model in evaluation mode on the CPU, with every weight in its place.

    Args:
        auto: an Auto class, or a model class of transformers.
        folder: a model folder with safetensors.
        dtype: the type of its numbers.
        spare: patterns of weights that may be missing or left over.
        task: the task it is loaded for, for messages.
        options: more for ``from_pretrained``.

    Raises:
        ExpertError: the class does not fit the model, or its weights do not fit the class.

    """
    check_class(auto, folder, task)
    try:
        model, report = auto.from_pretrained(
            folder,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are in the report
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            **options,
        )
    except Exception as error:  # a model of another kind may break its class in any way
        raise ExpertError(f"The model cannot be loaded: {_told(error)}") from error
    check_report(type(model).__name__, report, model, spare)
    return model.eval()


def check_class(auto: Any, folder: Path, task: str = "") -> None:
    """Refuse a model whose architecture the Auto class has no place for.

    Raises:
        ExpertError: it has none.

    """
    mapping = getattr(auto, "_model_mapping", None)
    if mapping is None:
        return
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ExpertError(f"The model's configuration cannot be read: {_told(error)}") from error
    if type(config) not in mapping:
        named = ", ".join(getattr(config, "architectures", None) or [config.model_type])
        raise ExpertError(
            f"A model of the kind {named} cannot do {task or auto.__name__}; "
            "give its card the tasks that it was made for."
        )


def check_report(name: str, report: Mapping[str, Iterable[Any]], model: Any, spare: Sequence[str]) -> None:
    """Refuse weights that are missing, left over or of another shape, buffers and ``spare`` ones aside.

    Raises:
        ExpertError: there are such; their names are in the message.

    """
    buffers = {key for key, _ in model.named_buffers()}
    faults = []
    for kind, harmless in (
        ("missing", (*SPARE_MISSING, *spare)),
        ("unexpected", (*SPARE_UNEXPECTED, *BUFFERS, *spare)),
        ("mismatched", ()),
    ):
        keys = sorted(_key(entry) for entry in report.get(f"{kind}_keys", ()))
        bad = [key for key in keys if key not in buffers and not _any(key, harmless)]
        if bad:
            more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            faults.append(f"{kind}: {', '.join(bad[:_NAMED])}{more}")
    if faults:
        raise ExpertError(
            f"The weights do not fit {name} ({'; '.join(faults)}). The model was made for another task; "
            "give its card that task, or list weights that may differ under spare_weights."
        )


def _key(entry: Any) -> str:
    """The name in a report's entry: mismatched ones come with both shapes."""
    return entry if isinstance(entry, str) else str(entry[0])


def _any(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _told(error: BaseException) -> str:
    """A library's error in one short line."""
    return " ".join(str(error).split())[:300]
