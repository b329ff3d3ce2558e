"""Brings a model of the Hub to this node; run as a process of its own (``python -m deployments.download``).

Apart, because a replica is to be offline from its first import of the Hub's library on, and because a
download may be killed at any time: what is whole is declared last (see ``store``). First the configuration is
fetched and vetted, then the weights; pickles are converted in yet another process, which has no network.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments import aside, store, vetting
from deployments.errors import ExpertError
from deployments.progress import progress
from deployments.troubles import told
from deployments.weights import Selection, support, weights

SPARE = 200 << 20
"""Bytes that stay free on the disk."""

LARGEST_PLAIN = vetting.MAX_DATA
"""Bytes over which a file of text is no part of a model."""

STALE_S = 24 * 3600
"""Seconds after which half a file, left by a process that was killed, is removed."""


@dataclass(frozen=True)
class Repository:
    """A model's repository at one commit, as the Hub describes it.

    Attributes:
        sizes: bytes of each file; 0 where they are not told.
        sha256: what each large file hashes to.

    """

    model: str
    commit: str
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]


def work(request: Mapping[str, Any]) -> dict[str, str]:
    """Answer a request: ``{"do": "resolve" | "obtain", "model": ..., "revision": ..., "token": ...}``.

    Raises:
        ExpertError: the model cannot be had; what to do is in its message.

    """
    model, revision, token = request["model"], request["revision"], request["token"]
    with store.locked(model):
        commit = store.pinned(model, revision)
        if request["do"] == "resolve" and commit:
            return {"commit": commit}
        if commit and store.whole(model, commit):  # another process of this node was quicker
            return {"commit": commit}
        try:
            _limit_waits()
            repository = _repository(model, commit or revision, token or False)
            if request["do"] == "obtain":
                _obtain(repository, token or False)
            store.pin(model, revision, repository.commit)
        except ExpertError:
            raise
        except Exception as error:
            sentence = told(error, model, commit or revision, bool(token))
            if commit and commit != revision:
                pin = store.pin_file(model, revision)
                sentence += f" It is pinned by {pin}; without that file the newest commit is taken."
            raise ExpertError(sentence) from error
    return {"commit": repository.commit}


def _limit_waits() -> None:
    """Give each request of the Hub's library a time limit; it asks many questions without one."""
    import httpx2
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    limit = httpx2.Timeout(constants.HF_HUB_ETAG_TIMEOUT).as_dict()

    def bound(request: Any) -> None:
        if not any((request.extensions.get("timeout") or {}).values()):
            request.extensions = {**request.extensions, "timeout": limit}

    def client() -> Any:
        made = default_client_factory()
        made.event_hooks["request"].append(bound)
        return made

    set_client_factory(client)


def _repository(model: str, revision: str, token: str | bool) -> Repository:
    """Ask the Hub about a model, and whether its files may be had."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    info = api.model_info(model, revision=revision, files_metadata=True)
    if info.gated:
        api.auth_check(model)
    files = {file.rfilename: file for file in info.siblings or ()}
    return Repository(
        model,
        str(info.sha),
        {name: file.size or 0 for name, file in files.items()},
        {name: file.lfs.sha256 for name, file in files.items() if file.lfs},
    )


def _obtain(repository: Repository, token: str | bool) -> None:
    """Fetch, vet, convert and compose."""
    plain = [name for name in support(repository.sizes) if repository.sizes[name] <= LARGEST_PLAIN]
    snapshot = _fetch(repository, plain, token)
    vetting.vet(snapshot, plain, repository.model)
    index = snapshot / "model_index.json"
    parts = vetting.components(index) if index.is_file() else None
    if parts is not None:  # of a pipeline, only the parts it names
        plain = [name for name in plain if "/" not in name or name.partition("/")[0] in parts]
    chosen = weights(repository.sizes, parts)
    _check_disk(repository, chosen)
    _fetch(repository, chosen.files, token)
    _verify(repository, snapshot, chosen.files)
    _compose(repository, snapshot, plain, chosen)


def _fetch(repository: Repository, names: list[str], token: str | bool) -> Path:
    """Download files into the Hub's cache; returns the folder of this commit there."""
    from huggingface_hub import constants, snapshot_download

    total = sum(repository.sizes[name] for name in names)
    _say(f"{repository.model}: {len(names)} files, {_megabytes(total)}")
    blobs = Path(constants.HF_HUB_CACHE) / f"models--{repository.model.replace('/', '--')}" / "blobs"
    for half in blobs.glob("*.incomplete"):
        if time.time() - half.stat().st_mtime > STALE_S:
            half.unlink()
    with progress(repository.model, blobs):
        return Path(
            snapshot_download(
                repository.model,
                revision=repository.commit,
                allow_patterns=[_literally(name) for name in names],
                token=token,
                etag_timeout=constants.HF_HUB_ETAG_TIMEOUT,
            )
        )


def _literally(name: str) -> str:
    """A pattern that one file name alone fits."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _check_disk(repository: Repository, chosen: Selection) -> None:
    """Refuse what will not fit, before it fills the disk."""
    from huggingface_hub import constants, try_to_load_from_cache

    def missing(name: str) -> bool:
        found = try_to_load_from_cache(repository.model, name, revision=repository.commit)
        return not isinstance(found, str)

    sizes = repository.sizes
    needs = [
        (Path(constants.HF_HUB_CACHE), sum(sizes[name] for name in chosen.files if missing(name))),
        (store.root(), sum(sizes[name] for name in chosen.pickles.values())),
    ]
    for place, needed in needs:
        there = next(path for path in (place, *place.parents) if path.exists())
        same = sum(more for other, more in needs if _device(other) == _device(place))
        free = shutil.disk_usage(there).free
        if needed and same + SPARE > free:
            raise ExpertError(
                f"{repository.model} needs {_megabytes(same)} of disk and {there} has {_megabytes(free)} "
                "free; free some, or let HF_HOME name a folder on a larger disk."
            )


def _device(place: Path) -> int:
    return next(path for path in (place, *place.parents) if path.exists()).stat().st_dev


def _verify(repository: Repository, snapshot: Path, names: Iterable[str]) -> None:
    """Check that files are those that the Hub declares; wrong ones are removed."""
    for name in names:
        declared = repository.sha256.get(name)
        path = snapshot / name
        if declared and store.digest(path) != declared:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise ExpertError(
                f"{name} of {repository.model} is not what the Hub declares (sha256 {declared[:12]}…); "
                "it was removed. Try again; if it stays so, do not use the model."
            )


def _compose(repository: Repository, snapshot: Path, plain: list[str], chosen: Selection) -> None:
    """Lay out the folder that loaders see, and declare it whole."""
    model, commit = repository.model, repository.commit
    shelf = store.shelf(model)
    shelf.mkdir(parents=True, exist_ok=True)
    for left in shelf.glob(f".{commit}.*"):  # of a process that was killed
        shutil.rmtree(left)
    building, folder = shelf / f".{commit}.{os.getpid()}", shelf / commit
    try:
        for name, file in ({name: name for name in plain} | chosen.links).items():
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            (building / name).symlink_to((snapshot / file).resolve())
        made = _convert(repository, snapshot, building, chosen.pickles)
        store.manifest_file(model, commit).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    known = {name: repository.sha256.get(file) for name, file in chosen.links.items()}
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    store.declare(
        store.Manifest(
            model,
            commit,
            sizes={name: (folder / name).stat().st_size for name in names},
            sha256={name: value for name, value in known.items() if value}
            | {name: store.digest(folder / name) for name in names if not (folder / name).is_symlink()},
            converted=made,
        )
    )
    _say(f"{model}: ready at commit {commit[:12]}")


def _convert(
    repository: Repository, snapshot: Path, building: Path, pickles: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Make safetensors of pickles, in a process without network; returns where each came from."""
    if not pickles:
        return {}
    _say(f"{repository.model}: converting {len(pickles)} pickled files to safetensors")
    pairs = []
    for name, file in pickles.items():
        (building / name).parent.mkdir(parents=True, exist_ok=True)
        pairs.append([str((snapshot / file).resolve()), str(building / name)])
    before = {name: store.digest(snapshot / file) for name, file in pickles.items()}
    try:
        answer = aside.ask("deployments.convert", {"files": pairs}, aside.environment(), _say)
    except ExpertError as error:
        raise ExpertError(f"{repository.model}: {error.message}") from error
    places = {Path(target).parent for _, target in pairs}
    for index, content in answer["indices"].items():  # told by a process that read a stranger's pickle
        if Path(index).parent not in places or not index.endswith(".safetensors.index.json"):
            raise ExpertError(f"{repository.model}: the conversion answered with something odd.")
        store.write(Path(index), content)
    return {name: {"file": file, "sha256": before[name]} for name, file in pickles.items()}


def _megabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    aside.serve(work)
