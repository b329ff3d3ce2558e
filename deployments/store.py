"""Where the models of the Hub lie on this node: pins, whole checkpoints, and their manifests.

Under ``<HF_HOME>/hugginggpt``, which is beside the Hub's own cache:

- ``pins/<owner>--<name>@<revision>.json``: the commit that a revision stood for when it was first asked;
  delete it to take the newest.
- ``checkpoints/<owner>--<name>/<commit>/``: exactly the files that a loader may see: links to the Hub's
  cache, relative so that all of HF_HOME may be moved, and safetensors made of pickles.
- ``checkpoints/<owner>--<name>/<commit>.json``: the manifest, written last: without it nothing is whole.
- ``checkpoints/<owner>--<name>/<commit>.checked``: when its converted files were last found unchanged.
- ``locks/``: one lock a model.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import quote

from deployments.errors import ExpertError

logger = logging.getLogger("ray.serve")

COMMIT = re.compile(r"[0-9a-f]{40}")
"""The form of a commit."""

_SETTLED_NS = 2_000_000_000

_MODEL = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint is made of.

    Attributes:
        model: ``owner/name``.
        commit: of the files.
        sizes: bytes of every file, by its name in the folder.
        sha256: what the Hub declared, and was found, by name in the folder; of converted files their own.
        converted: of each file that was made of a pickle: the pickle's name and sha256.
        listed: whether the Hub's list of files was at hand; what the cache happened to hold is taken anew
            once the Hub may be asked.

    """

    model: str
    commit: str
    sizes: dict[str, int]
    sha256: dict[str, str] = field(default_factory=dict)
    converted: dict[str, dict[str, str]] = field(default_factory=dict)
    listed: bool = True


def home() -> Path:
    """The folder of the Hub's libraries, by huggingface_hub's rules, without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    named = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(os.path.expandvars(named)).expanduser()


def hub_cache() -> Path:
    """The folder of the Hub's own cache, by huggingface_hub's rules, without importing it."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(named)).expanduser() if named else home() / "hub"


def hub_folder(model: str) -> Path:
    """The folder of a model in the Hub's own cache.

    Raises:
        ExpertError: that is no name of a model.

    """
    return hub_cache() / f"models--{_name(model)}"


def root() -> Path:
    """The folder of everything here."""
    return home() / "hugginggpt"


def shelf(model: str) -> Path:
    """The folder of a model's checkpoints."""
    return root() / "checkpoints" / _name(model)


def _name(model: str) -> str:
    """A model's name as that of a file.

    Raises:
        ExpertError: it is no name of a model.

    """
    if not _MODEL.fullmatch(model):
        raise ExpertError(f"{model[:120]!r} is no name of a model; it is to be owner/name.")
    return model.replace("/", "--")


def folder(model: str, commit: str) -> Path:
    """The folder of a checkpoint, whether it is there or not.

    Raises:
        ExpertError: it is no commit, or no name of a model.

    """
    if not COMMIT.fullmatch(commit):
        raise ExpertError(
            f"{commit[:120]!r} is no commit of {model}; it is to be 40 digits and letters a to f."
        )
    return shelf(model) / commit


def pin_file(model: str, revision: str) -> Path:
    """Where the pin of a model's revision is."""
    return root() / "pins" / f"{_name(model)}@{quote(revision, safe='')}.json"


def pinned(model: str, revision: str) -> str | None:
    """The commit that a model's revision is pinned to; a commit is pinned by itself."""
    if COMMIT.fullmatch(revision):
        return revision
    content = _read(pin_file(model, revision))
    commit = content.get("commit")
    return commit if isinstance(commit, str) and COMMIT.fullmatch(commit) else None


def pin(model: str, revision: str, commit: str) -> None:
    """Pin a revision, if it is not.

    Raises:
        ExpertError: that is no commit.

    """
    folder(model, commit)  # checks both
    if pinned(model, revision) is None:
        write(pin_file(model, revision), {"model": model, "revision": revision, "commit": commit})


def manifest_file(model: str, commit: str) -> Path:
    """Where a checkpoint's manifest is."""
    return folder(model, commit).with_suffix(".json")


def whole(model: str, commit: str, unlisted: bool = False) -> Path | None:
    """The folder of a checkpoint, if everything of it is there and what was converted is unchanged.

    Args:
        model: ``owner/name``.
        commit: of the checkpoint.
        unlisted: whether one that was made without the Hub's list of files will do.

    Raises:
        ExpertError: it is no commit, or no name of a model.

    """
    here = folder(model, commit)
    content = _read(manifest_file(model, commit))
    try:
        manifest = Manifest(**content)
    except TypeError:
        return None
    if not manifest.listed and not unlisted:
        return None
    for name, size in manifest.sizes.items():
        path = here / name
        if not path.is_file() or path.stat().st_size != size:
            logger.warning("%s of %s is missing or changed; the model is taken anew", name, model)
            return None
    for name in manifest.converted:
        if not _unchanged(here, name, manifest.sha256.get(name)):
            logger.warning("%s of %s has changed since it was made; it is made anew", name, model)
            return None
    return here


def _unchanged(here: Path, name: str, sha256: str | None) -> bool:
    """Whether a file has the hash it is to have; it is read again only where it was touched since.

    To read all weights at each start would take as long as to load them. What was found is kept beside the
    checkpoint, with what the kernel knows the file by. One touched a moment ago is not kept: a second change
    might leave the same time.
    """
    path, book = here / name, here.with_suffix(".checked")
    before, checked = _marks(path), _read(book)
    if checked.get(name) == [sha256, *before]:
        return True
    if digest(path) != sha256:
        return False
    if _marks(path) == before and time.time_ns() - before[-1] > _SETTLED_NS:
        with suppress(OSError):  # a store that cannot be written to is read again each time
            write(book, {**checked, name: [sha256, *before]})
    return True


def _marks(path: Path) -> list[int]:
    """What the kernel knows a file by; the last is when it was touched, and cannot be set by hand."""
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def declare(manifest: Manifest) -> None:
    """Declare a checkpoint whole."""
    write(manifest_file(manifest.model, manifest.commit), asdict(manifest))


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON so that no reader, and no crash, ever meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
        try:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def locked(model: str) -> Iterator[None]:
    """Hold a model's lock; processes of this node that want the same model wait here."""
    from filelock import FileLock

    path = root() / "locks" / f"{_name(model)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
