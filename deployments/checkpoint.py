"""Where a model's files lie on this node: a folder of configuration, tokenizer and safetensors, no more."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deployments import aside, store, vetting
from deployments.errors import ExpertError
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")

_HUB_ENVIRONMENT = (
    r"(HF_HOME|XDG_CACHE_HOME|HF_HUB_CACHE|HUGGINGFACE_HUB_CACHE|HF_XET_CACHE|HF_ENDPOINT|HF_DEBUG"
    r"|HF_HUB_(DISABLE_\w+|ETAG_TIMEOUT|DOWNLOAD_TIMEOUT)|HF_XET_\w+"
    r"|(?i:https?_proxy|all_proxy|no_proxy)|SSL_CERT_(FILE|DIR))"
)

_TOLD_OFFLINE = os.environ.get("HF_HUB_OFFLINE", os.environ.get("TRANSFORMERS_OFFLINE", ""))
"""What the operator said when this process began, before ``go_offline``."""


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
    parts = {}
    for role, named in card.parts.items():
        source, revision = split(named)
        parts[role] = obtain(source, revision, token).folder
    return obtain(str(card.path) if card.path else card.id, card.revision, token).folder, parts


def split(part: str) -> tuple[str, str | None]:
    """The source and revision of ``owner/name@revision``; an absolute folder has none."""
    if Path(part).is_absolute():
        return part, None
    source, _, revision = part.partition("@")
    return source, revision or None


def obtain(
    source: str,
    revision: str | None = None,
    token: SecretStr | None = None,
    say: Callable[[str], None] | None = None,
) -> Checkpoint:
    """The checkpoint of ``owner/name``, or of an absolute folder.

    A folder is used as it is. A model of the Hub is looked for here first, with no network; else it is
    downloaded by a process of its own, once for all processes of this node that ask for it. Where the
    operator set HF_HUB_OFFLINE, that process takes it from the Hub's cache of this node. It says in lines
    how far it is: to ``say``, or else to the log.

    Raises:
        ExpertError: it cannot be had, or holds what is never loaded.

    """
    if Path(source).is_absolute():
        return Checkpoint(_own(Path(source)))
    asked = revision or "main"
    commit = store.pinned(source, asked)
    folder = store.whole(source, commit, offline()) if commit else None
    if folder is None:
        commit = _ask("obtain", source, asked, token, say)
        folder = store.folder(source, commit)
    vetting.vet(folder, model=source)
    return Checkpoint(folder, commit)


def resolve(source: str, revision: str | None = None, token: SecretStr | None = None) -> str | None:
    """The commit that every node is to take a model at: the one pinned here, else what the Hub says now.

    What the Hub says is pinned here. None for an absolute folder.

    Raises:
        ExpertError: the Hub cannot be asked, or does not give this model to us.

    """
    if Path(source).is_absolute():
        return None
    asked = revision or "main"
    if store.COMMIT.fullmatch(asked):
        return asked
    return store.pinned(source, asked) or _ask("resolve", source, asked, token)


def _own(folder: Path) -> Path:
    """An operator's folder, vetted."""
    if not folder.is_dir():
        raise ExpertError(f"There is no folder {folder} on this node; put the model there.")
    if not any(path.suffix in (".safetensors", ".skops") for path in folder.rglob("*")):
        raise ExpertError(
            f"{folder} holds no safetensors; a pickle is never loaded from there. Save the model with "
            "save_pretrained, or take it from the Hub, where it is converted."
        )
    vetting.vet(folder)
    return folder


def _ask(
    what: str,
    model: str,
    revision: str,
    token: SecretStr | None,
    say: Callable[[str], None] | None = None,
) -> str:
    """The commit that the download process answers with; offline it looks into the Hub's cache alone."""
    asked = {"do": what, "model": model, "revision": revision, "offline": offline()}
    answer = ask_hub("deployments.download", asked, token, say or (lambda line: logger.info("%s", line)))
    return str(answer["commit"])


def ask_hub(
    module: str, request: Mapping[str, Any], token: SecretStr | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a module that talks to the Hub, as a process of its own; the token goes with the request.

    Raises:
        ExpertError: it answered with an error, or with nothing.

    """
    secret = token.get_secret_value() if token else None
    env = aside.environment(_HUB_ENVIRONMENT) | {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        # Plain HTTP keeps to the proxy, the time limits and the Hub's own host; =0 is for files over 50 GB.
        "HF_HUB_DISABLE_XET": os.environ.get("HF_HUB_DISABLE_XET", "1"),
        "HF_HUB_OFFLINE": "1" if offline() else "0",
    }
    return aside.ask(module, {**request, "token": secret}, env, say, [secret] if secret else [])


def offline() -> bool:
    """Whether the operator forbids to ask the Hub."""
    return _TOLD_OFFLINE.upper() in ("1", "ON", "YES", "TRUE")


def go_offline() -> None:
    """Keep this process from ever asking the Hub: all it needs is here.

    The libraries read the variable when they are imported; where they are already, the constant that each of
    their requests looks at is set. ``TRANSFORMERS_OFFLINE`` means the same since transformers 5.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
