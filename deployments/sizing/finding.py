"""Finds out what a model's repositories tell of its memory (``python -m deployments.sizing.finding``).

A process of its own, for it asks the Hub and imports torch: of a model that is not on this node, only the
headers of its weights and its small configuration files come over the network.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deployments import aside, store, vetting
from deployments.checkpoint import split
from deployments.download import LARGEST_PLAIN, limit_waits
from deployments.errors import ExpertError
from deployments.repository import Repository, asked, cached, fetch
from deployments.runners.pipelines import WHOLE
from deployments.runners.routing import runner_of
from deployments.sizing import headers
from deployments.troubles import told
from deployments.weights import Selection, support, weights
from model_catalog.card import ModelCard
from model_catalog.share import Facts

CONFIGURATIONS = frozenset(
    (
        "config.json",
        "model_index.json",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer_config.json",
        "generation_config.json",
        "sentence_bert_config.json",
    )
)
"""Files that tell a model's shape and how much it is given."""

_FULL_PRECISION = frozenset({"super-resolution", "depth-estimation", "annotator"})
"""Runners that keep full precision where the card does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Source:
    """One repository or folder.

    Attributes:
        folder: where its configuration is, vetted.
        numbers: how many numbers of each type would be loaded of it.
        whole: how many of them stay in full precision.
        pickled: whether some of them were counted by the size of a pickle.
        commit: of its files; None for a folder of the operator.

    """

    folder: Path
    numbers: Counter[str]
    whole: int
    pickled: bool
    commit: str | None


def work(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer ``{"card": ..., "token": ..., "offline": ...}`` with ``{"facts": ..., "commit": ...}``.

    Raises:
        ExpertError: the model cannot be asked about.

    """
    card = ModelCard.model_validate(request["card"])
    token, offline = request["token"] or False, bool(request["offline"])
    limit_waits()
    own = _source(str(card.path) if card.path else card.id, card.revision, token, offline)
    parts = {role: _source(*split(part), token, offline) for role, part in card.parts.items()}
    return {"facts": found(card, own, parts).model_dump(), "commit": own.commit}


def found(card: ModelCard, own: Source, parts: Mapping[str, Source]) -> Facts:
    """What a card's model and parts tell of its memory."""
    numbers = sum((part.numbers for part in parts.values()), Counter(own.numbers))
    whole = own.whole + sum(part.whole for part in parts.values())
    runner = runner_of(card) or ""
    if runner in _FULL_PRECISION and card.dtype is None:
        whole = numbers.total()
    pickled = any(source.pickled for source in (own, *parts.values()))
    where = "the sizes of pickles" if pickled else "headers of safetensors"
    facts = Facts(weights=dict(numbers), whole=whole, source=where)
    return _rehearsed(card, runner, own, parts, facts)


def _rehearsed(card: ModelCard, runner: str, own: Source, parts: Mapping[str, Source], facts: Facts) -> Facts:
    """The facts with what a call of the model holds, where that can be told."""
    import torch

    from deployments.sizing import networks, pictures

    dtype = getattr(
        torch, card.dtype or ("float32" if facts.whole and runner in _FULL_PRECISION else "bfloat16")
    )
    try:
        if card.library == "diffusers" or runner in ("diffusion", "controlnet"):
            base = parts.get("base")
            made = pictures.work(card, own.folder, base.folder if base else None, dtype)
            weights = facts.weights
        else:
            made = networks.work(card, own.folder, dtype)
            weights = _loaded(own, made.numbers, facts.weights)
    except Exception as error:  # whatever a model does that cannot be rehearsed, its weights are known
        reason = " ".join(str(error).split()) or type(error).__name__
        sys.stderr.write(f"{card.id} is not rehearsed: {type(error).__name__}: {reason[:300]}\n")
        return facts.model_copy(update={"traced": "activations guessed, for a call cannot be rehearsed"})
    return facts.model_copy(
        update={
            "weights": weights,
            "activations": made.activations,
            "cache": made.cache,
            "tokens": made.tokens,
            "traced": f"activations by rehearsing a batch of {card.batch_size}",
        }
    )


def _loaded(own: Source, loaded: int, counted: Mapping[str, int]) -> dict[str, int]:
    """The numbers without those of the model's file that its task leaves out, such as another head."""
    spare = own.numbers.total() - loaded
    if not loaded or spare <= 0:
        return dict(counted)
    kind = max(own.numbers, key=lambda name: own.numbers[name])
    return {**counted, kind: max(0, counted[kind] - spare)}


def _source(name: str, revision: str | None, token: str | bool, offline: bool) -> Source:
    """One repository, asked here or at the Hub."""
    if Path(name).is_absolute():
        return _local(Path(name), None)
    commit = store.pinned(name, revision or "main")
    here = store.whole(name, commit, offline) if commit else None
    if here is not None:
        return _local(here, commit)
    try:
        return _remote(name, commit or revision or "main", token, offline)
    except ExpertError:
        raise
    except Exception as error:
        raise ExpertError(told(error, name, commit or revision or "main", bool(token))) from error


def _local(folder: Path, commit: str | None) -> Source:
    if not folder.is_dir():
        raise ExpertError(f"There is no folder {folder} on this node; put the model there.")
    vetting.vet(folder)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    chosen = weights(names, _components(folder, names))
    return _counted(folder, headers.of_folder(folder, chosen), chosen, commit)


def _remote(model: str, revision: str, token: str | bool, offline: bool) -> Source:
    repository: Repository = cached(model, revision) if offline else asked(model, revision, token)
    small = [
        name
        for name in support(repository.sizes)
        if PurePosixPath(name).name in CONFIGURATIONS and repository.sizes[name] <= LARGEST_PLAIN
    ]
    fetch(repository, small, token)
    vetting.vet(repository.snapshot, small, model)
    chosen = weights(repository.sizes, _components(repository.snapshot, small))
    if offline:
        files = headers.of_folder(repository.snapshot, chosen)
    else:
        files = headers.of_hub(model, repository.commit, chosen, repository.sizes, token)
    return _counted(repository.snapshot, files, chosen, repository.commit)


def _counted(
    folder: Path, files: Mapping[str, Counter[str]], chosen: Selection, commit: str | None
) -> Source:
    """A source by the numbers of its files; some networks of pipelines stay in full precision."""
    whole = 0
    for name, numbers in files.items():
        config = (folder / name).parent / "config.json"
        if "/" in name and config.is_file():
            whole += numbers.total() * (json.loads(config.read_text("utf-8")).get("_class_name") in WHOLE)
    return Source(folder, sum(files.values(), Counter()), whole, bool(chosen.pickles), commit)


def _components(folder: Path, names: list[str]) -> list[str] | None:
    return vetting.components(folder / "model_index.json") if "model_index.json" in names else None


if __name__ == "__main__":
    aside.serve(work)
