"""A model's repository at one commit: what the Hub tells of it, and its files in the Hub's cache."""

import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments import resuming, store
from deployments.errors import ExpertError
from deployments.progress import progress
from model_catalog.hub import inside

STALE_S = 24 * 3600
"""Seconds after which half a file, left by a process that was killed, is removed."""

KEPT_S = 7 * 24 * 3600
"""The same for halves that the next download would go on with."""

_COMMIT_OR_PART = re.compile(r"[0-9a-fA-F]{7,40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Repository:
    """A model's repository at one commit.

    Attributes:
        sizes: bytes of each file; 0 where they are not told.
        sha256: what each large file hashes to.
        local: whether the cache alone is to be used.
        listed: whether the files are those that the Hub lists; else they are what the cache holds.

    """

    model: str
    commit: str
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]
    local: bool = False
    listed: bool = True

    @property
    def snapshot(self) -> Path:
        """The folder of this commit in the Hub's cache."""
        return _cache(self.model) / "snapshots" / self.commit


def _cache(model: str) -> Path:
    """The folder of a model in the Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"


def asked(model: str, revision: str, token: str | bool) -> Repository:
    """Ask the Hub about a model, and whether its files may be had.

    Raises:
        ExpertError: the Hub answers with another commit than the one asked for, or with none.

    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    info = api.model_info(model, revision=revision, files_metadata=True)
    repository = repository_of(api, model, revision, info)
    if info.gated:
        api.auth_check(model)
    return repository


def repository_of(api: Any, model: str, revision: str, info: Any) -> Repository:
    """The repository that the Hub's answer describes.

    Args:
        api: the Hub's interface.
        model: ``owner/name``.
        revision: what was asked for.
        info: the answer, with the metadata of files.

    Raises:
        ExpertError: the Hub answers with another commit than the one asked for, or with none.

    """
    commit = _commit(api, model, revision, info.sha)
    files = {file.rfilename: file for file in info.siblings or () if inside(file.rfilename)}
    return Repository(
        model,
        commit,
        {name: file.size or 0 for name, file in files.items()},
        {name: file.lfs.sha256 for name, file in files.items() if file.lfs},
    )


def _commit(api: Any, model: str, revision: str, told: Any) -> str:
    """The commit that the Hub tells, if it is one and the one asked for."""
    if not isinstance(told, str) or not store.COMMIT.fullmatch(told):
        raise ExpertError(f"The Hub names no commit for {model}; look at HF_ENDPOINT.")
    if _COMMIT_OR_PART.fullmatch(revision) and not told.startswith(revision.lower()):
        refs = (
            api.list_repo_refs(model) if len(revision) < 40 else None
        )  # a tag may look like a part: 20240101
        if refs is None or revision not in {ref.name for ref in (*refs.branches, *refs.tags)}:
            raise ExpertError(
                f"The Hub answers with commit {told[:12]} of {model} where {revision[:12]} was asked for; "
                "it is not taken. Look at HF_ENDPOINT."
            )
    return told


def cached(model: str, revision: str) -> Repository:
    """A repository as the Hub's cache of this node holds it; nothing is asked.

    Raises:
        ExpertError: it is not there.

    """
    commit = revision if store.COMMIT.fullmatch(revision) else _noted(model, revision)
    snapshot = _cache(model) / "snapshots" / commit if commit else None
    if commit is None or snapshot is None or not snapshot.is_dir():
        raise ExpertError(f"{model} is not on this node.")
    from huggingface_hub import errors, get_cached_repo_tree

    try:
        files = get_cached_repo_tree(model, revision=commit)
    except (
        errors.CachedRepoTreeNotFoundError
    ):  # of an older library, or of files that were fetched one by one
        here = {path.relative_to(snapshot).as_posix(): path for path in snapshot.rglob("*") if path.is_file()}
        blobs = {name: path.resolve().name for name, path in here.items()}  # of large files: the sha256
        return Repository(
            model,
            commit,
            {name: path.stat().st_size for name, path in here.items()},
            {name: blob for name, blob in blobs.items() if _SHA256.fullmatch(blob)},
            local=True,
            listed=False,
        )
    return Repository(
        model,
        commit,
        {file.path: file.size for file in files if inside(file.path)},
        {file.path: file.lfs.sha256 for file in files if file.lfs},
        local=True,
    )


def _noted(model: str, revision: str) -> str | None:
    """The commit that the Hub's cache has for a branch or tag."""
    refs = _cache(model) / "refs"
    path = refs / revision
    if not path.resolve().is_relative_to(refs.resolve()) or not path.is_file():
        return None
    commit = path.read_text(encoding="utf-8", errors="replace").strip()
    return commit if store.COMMIT.fullmatch(commit) else None


def fetch(repository: Repository, names: list[str], token: str | bool) -> None:
    """Bring files into the Hub's cache, and check that they are those that the Hub declares.

    Raises:
        ExpertError: a file is missing, or another than declared.

    """
    if names and not repository.local:
        _download(repository, names, token)
    # The library gives back half a snapshot, without an error, where the Hub does not list the files.
    for name in names:
        _check(repository, name)


def _download(repository: Repository, names: list[str], token: str | bool) -> None:
    from huggingface_hub import constants, snapshot_download

    total = sum(repository.sizes[name] for name in names)
    sys.stderr.write(f"{repository.model}: {len(names)} files, {megabytes(total)}\n")
    blobs = _cache(repository.model) / "blobs"
    for half in blobs.glob("*.incomplete"):
        longest = KEPT_S if half.name.endswith(resuming.MARK) else STALE_S
        if time.time() - half.stat().st_mtime > longest:
            half.unlink()
    with progress(repository.model, blobs):
        wanted = resuming.large(names, repository.sizes, repository.sha256)
        resuming.fetch(repository.model, repository.commit, wanted, blobs, token)
        snapshot_download(
            repository.model,
            revision=repository.commit,
            allow_patterns=[_literally(name) for name in names],
            token=token,
            etag_timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )


def _literally(name: str) -> str:
    """A pattern that one file name alone fits."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _check(repository: Repository, name: str) -> None:
    """Check one file; a wrong one that was downloaded is removed."""
    path, size, declared = repository.snapshot / name, repository.sizes[name], repository.sha256.get(name)
    if not path.is_file():
        raise ExpertError(f"{name} of {repository.model} did not come from the Hub; try again.")
    found = path.stat().st_size
    if size and found != size:
        wrong = f"{found} bytes instead of {size}"
    elif declared and store.digest(path) != declared:
        wrong = f"sha256 {declared[:12]}…"
    else:
        return
    if not repository.local:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
    raise ExpertError(
        f"{name} of {repository.model} is not what the Hub declares ({wrong}); "
        f"{'remove it' if repository.local else 'it was removed'}. Try again; if it stays so, do not use the "
        "model."
    )


def missing(repository: Repository, names: Iterable[str]) -> int:
    """Bytes of those files that are not in the cache yet, halves of files counted."""
    blobs = _cache(repository.model) / "blobs"
    absent = [name for name in names if not (repository.snapshot / name).is_file()]
    begun = {sha256 for name in absent if (sha256 := repository.sha256.get(name))}
    left = sum(repository.sizes[name] for name in absent)
    return max(0, left - sum(resuming.came(blobs, sha256) for sha256 in begun))


def megabytes(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
