"""Where a model's files lie on this node: a folder of configuration, tokenizer and safetensors, no more."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from deployments.errors import ExpertError
from model_catalog.card import ModelCard


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's folder on this node, and the commit it was taken at (None for an operator's own folder)."""

    folder: Path
    commit: str | None = None


def folders(card: ModelCard, token: SecretStr | None = None) -> tuple[Path, Mapping[str, Path]]:
    """The folder of a card's model, and those of its parts by role; downloaded where they are not here yet.

    Raises:
        ExpertError: a model cannot be had, or holds what is never loaded.

    """
    source = str(card.path) if card.path else card.id
    parts = {}
    for role, named in card.parts.items():
        name, _, revision = named.partition("@")
        parts[role] = obtain(name, revision or None, token).folder
    return obtain(source, card.revision, token).folder, parts


def obtain(source: str, revision: str | None = None, token: SecretStr | None = None) -> Checkpoint:
    """The checkpoint of ``owner/name``, or of an absolute folder.

    Raises:
        ExpertError: it cannot be had, or holds what is never loaded.

    """
    if Path(source).is_absolute():
        if not Path(source).is_dir():
            raise ExpertError(f"There is no folder {source} on this node; put the model there.")
        return Checkpoint(Path(source))
    raise NotImplementedError


def go_offline() -> None:
    """Keep this process from ever asking the Hub: all it needs is here."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
