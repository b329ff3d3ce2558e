"""Whether a runner could load a model, told by its configuration: no weights are read, none are made.

The runner's own ``open`` runs on a folder that holds the model's small files alone. Where it would load
weights it is given the same class on torch's meta device, whose numbers have shapes and no values. The
weights' names are those of the classes that the configuration says were saved, and they go through the same
report as weights that are loaded, so that there is one truth of what fits.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.errors import ExpertError, UncheckedError
from deployments.runners.loading import check_class, check_report
from deployments.runners.neural import NeuralRunner
from deployments.runners.pipelines import DiffusionRunner
from deployments.runners.registry import resolve
from deployments.runners.routing import runner_of
from deployments.runners.textual import TextRunner
from deployments.runners.vision_language import OrChat, VisionLanguage
from model_catalog.card import ModelCard

FILES_ALONE = frozenset({"annotator", "tabular-classification"})
"""Runners whose models are no networks of transformers or diffusers, so that there is nothing to fit."""

_TEMPLATED = ("chat_template.json", "tokenizer_config.json", "processor_config.json")

_HEAD = re.compile(r"For(\w*(?:Classification|Answering|Choice|Detection|Segmentation))$")


def fit(card: ModelCard, folder: Path, parts: Mapping[str, Path]) -> bool:
    """Open a model's folder as its runner would, without weights.

    Args:
        card: the model's card.
        folder: its small files: configurations as they are, whatever else is missing.
        parts: the same of the card's parts, by role.

    Returns:
        Whether it wants a tokenizer.

    Raises:
        ExpertError: its runner cannot load it.
        UncheckedError: it cannot be told on this machine.

    """
    name = runner_of(card)
    kind = resolve(name) if name else None
    if kind is None or name in FILES_ALONE or not issubclass(kind, NeuralRunner):
        return False
    fitting = _fitting(kind)()
    fitting.card, fitting.device = card, "meta"
    fitting.folder, fitting.parts = folder, parts
    fitting.opened, fitting.worded = [], []
    try:
        with _quiet():
            fitting.dtype = fitting._dtype()
            fitting.open()
    except _Enough:
        pass
    except ExpertError:
        raise
    except ImportError as error:
        raise UncheckedError(f"{_told(error)}; it cannot be told here whether it can be loaded.") from error
    except Exception as error:
        if not fitting.opened:  # what follows the model may stumble over what is not there
            raise UncheckedError(
                f"Its configuration alone does not tell whether it can be loaded ({_told(error)})."
            ) from error
    return bool(fitting.worded)


class _Enough(Exception):  # noqa: N818 - no error
    """All that can be told without the tokenizer and the weights has been told."""


def _fitting(kind: type[NeuralRunner]) -> Any:
    """A runner's class that makes skeletons of models, and does without words."""
    chat = {"chat": _fitting(VisionLanguage)} if issubclass(kind, OrChat) else {}
    return type(f"Fitting{kind.__name__}", (_Fitting, kind), chat)


class _Fitting(NeuralRunner):
    """What is otherwise than when it counts.

    Attributes:
        opened: the models; shared with the runner that chats, as is the next.
        worded: tokenizers and processors that were asked for.

    """

    opened: list[Any]
    worded: list[Any]

    def load_model(self, auto: Any, folder: Path | None = None, **options: Any) -> Any:
        spare = (*options.pop("spare", ()), *self.card.spare_weights)
        self.opened.append(skeleton(auto, folder or self.folder, spare, self.card.tasks[0]))
        return self.opened[-1]

    def network(self, cls: Any, folder: Path) -> Any:
        """As those of ``DiffusionRunner``."""
        try:
            return self.load_model(cls, folder)
        except ExpertError as error:
            raise ExpertError(f"{cls.__name__} of {self.card.id}: {error.message}") from error

    def load_processor(self, auto: Any, folder: Path | None = None, **options: Any) -> Any:
        if not _wordy(auto):
            return super().load_processor(auto, folder, **options)
        self.worded.append(auto)
        if self.opened and not isinstance(self, DiffusionRunner | TextRunner):
            raise _Enough
        return _stand_in(folder or self.folder, self._unknown)

    def stoppable(self, module: Any) -> Any:
        return module

    def _unknown(self, name: str) -> None:
        """What is not known of a tokenizer: nothing, which is told only while the model is to come."""
        if isinstance(self, DiffusionRunner):
            raise AttributeError(name)
        if self.opened:
            raise _Enough


def skeleton(auto: Any, folder: Path, spare: tuple[str, ...], task: str) -> Any:
    """A model without numbers, whose weights are known to fit as far as its configuration tells.

    Args:
        auto: an Auto class, or a model class of transformers or diffusers.
        folder: the folder of its configuration.
        spare: patterns of weights that may be missing or left over.
        task: the task it is loaded for, for messages.

    Raises:
        ExpertError: the class does not fit the model.

    """
    import torch
    import transformers

    if hasattr(auto, "load_config"):  # of diffusers, which has a class for each kind
        config = auto.load_config(str(folder), local_files_only=True)
        with torch.device("meta"):
            return auto.from_config(config).eval()
    check_class(auto, folder, task)
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    cls = _class(auto, config)
    if cls.config_class is not None and not isinstance(config, cls.config_class):
        config = cls.config_class.from_pretrained(folder, local_files_only=True)
    model = _bare(cls, config)
    saved = [found for name in config.architectures or () if (found := _model_class(name))]
    if saved and cls not in saved:
        _check_heads(cls, saved, task)
        reports = [_report(model, _bare(each, config)) for each in saved]
        check_report(cls.__name__, reports[0], model, spare)
    return model


def _check_heads(cls: Any, saved: Iterable[Any], task: str) -> None:
    """Refuse a model whose head was trained for something else, though its weights have the same names.

    Raises:
        ExpertError: it was.

    """
    own, others = _HEAD.search(cls.__name__), [_HEAD.search(each.__name__) for each in saved]
    if own and all(head and head[1] != own[1] for head in others):
        names = ", ".join(each.__name__ for each in saved)
        raise ExpertError(f"A {names} cannot do {task}; give its card the tasks that it was made for.")


def _class(auto: Any, config: Any) -> Any:
    """The class that an Auto class takes for a configuration."""
    mapping = getattr(auto, "_model_mapping", None)
    if mapping is None:
        return auto
    found = mapping[type(config)]
    if not isinstance(found, tuple):
        return found
    named = {cls.__name__: cls for cls in found}
    return next((named[name] for name in config.architectures or () if name in named), found[0])


def _model_class(name: str) -> Any:
    """The class of transformers with this name; None where it has none, as of old names."""
    import transformers

    found = getattr(transformers, name, None)
    return found if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel) else None


def _bare(cls: Any, config: Any) -> Any:
    import torch

    with torch.device("meta"):
        return cls._from_config(config).eval()


def _report(model: Any, saved: Any) -> dict[str, list[str]]:
    """What loading would report of a model whose weights another class has saved."""
    wanted, given = (_names(each) for each in (model, saved))
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    tied_there = set(getattr(saved, "all_tied_weights_keys", None) or ())
    missing, left = (
        getattr(model, f"_keys_to_ignore_on_load_{kind}", None) or () for kind in ("missing", "unexpected")
    )
    return {
        "missing_keys": [key for key in sorted(wanted - given - tied) if not _any(key, missing)],
        "unexpected_keys": [key for key in sorted(given - wanted - tied_there) if not _any(key, left)],
    }


def _any(key: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, key) for pattern in patterns)


def _names(model: Any) -> set[str]:
    """The names of a model's weights, less the name of its trunk, which loading adds and takes off."""
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else None
    names = (name for name, _ in model.named_parameters(remove_duplicate=False))
    return {name.removeprefix(prefix) if prefix else name for name in names}


def _wordy(auto: Any) -> bool:
    """Whether something is made of vocabularies, which are not at hand."""
    name = getattr(auto, "__name__", "")
    return "Tokenizer" in name or (name.endswith("Processor") and not name.endswith("ImageProcessor"))


def _stand_in(folder: Path, unknown: Callable[[str], None]) -> Any:
    """What stands where a tokenizer or a processor would be: it has a template where the folder has one.

    ``unknown`` is called where it is asked for anything that a vocabulary alone would tell.
    """
    from transformers import ProcessorMixin

    class StandIn(ProcessorMixin):  # type: ignore[misc]
        is_fast = True
        model_max_length = 512
        pad_token = eos_token = ""
        pad_token_id = eos_token_id = 0
        chat_template = _template(folder)

        def __init__(self) -> None:
            pass

        @property
        def tokenizer(self) -> Any:
            return self

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return unknown(name)

    return StandIn()


def _template(folder: Path) -> str | None:
    """The chat template among a model's files."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "additional_chat_templates")):
        return "a file of its own"
    written = (_read(folder / name).get("chat_template") for name in _TEMPLATED)
    return next((str(template) for template in written if template), None)


def _read(path: Path) -> Mapping[str, Any]:
    """What a JSON file holds; nothing where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' advice off the terminal."""
    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _told(error: BaseException) -> str:
    """A library's error in one short line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
