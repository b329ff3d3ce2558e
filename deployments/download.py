"""Brings a model of the Hub to this node; run as a process of its own (``python -m deployments.download``).

Apart, because a replica is to be offline from its first import of the Hub's library on, and because a
download may be killed at any time: what is whole is declared last (see ``store``). First the configuration is
fetched and vetted, then the weights; pickles are converted in yet another process, which has no network.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployments import aside, store, vetting
from deployments.errors import ExpertError
from deployments.repository import Repository, asked, cached, fetch, megabytes, missing
from deployments.troubles import told
from deployments.weights import Selection, support, weights

SPARE = 200 << 20
"""Bytes that stay free on the disk."""

LARGEST_PLAIN = vetting.MAX_DATA
"""Bytes over which a file of text is no part of a model."""


def work(request: Mapping[str, Any]) -> dict[str, str]:
    """Answer a request: ``{"do": ..., "model": ..., "revision": ..., "token": ..., "offline": ...}``.

    What to ``do`` is ``resolve`` or ``obtain``; ``offline``, only what the Hub's cache holds is used.

    Raises:
        ExpertError: the model cannot be had; what to do is in its message.

    """
    model, revision, offline = request["model"], request["revision"], request["offline"]
    with store.locked(model):
        commit = store.pinned(model, revision)
        if request["do"] == "resolve" and commit:
            return {"commit": commit}
        if commit and store.whole(model, commit, offline):  # another process of this node was quicker
            return {"commit": commit}
        try:
            repository = (_local if offline else _remote)(request, commit or revision)
        except ExpertError:
            raise
        except Exception as error:
            sentence = told(error, model, commit or revision, bool(request["token"]))
            if commit and commit != revision:
                pin = store.pin_file(model, revision)
                sentence += f" It is pinned by {pin}; without that file the newest commit is taken."
            raise ExpertError(sentence) from error
        store.pin(model, revision, repository.commit)
    return {"commit": repository.commit}


def _remote(request: Mapping[str, Any], revision: str) -> Repository:
    """Do it with the Hub."""
    token = request["token"] or False
    limit_waits()
    repository = asked(request["model"], revision, token)
    if request["do"] == "obtain":
        _obtain(repository, token)
    return repository


def _local(request: Mapping[str, Any], revision: str) -> Repository:
    """Do it with what the Hub's cache holds."""
    try:
        repository = cached(request["model"], revision)
        if request["do"] == "obtain":
            _obtain(repository, False)
    except ExpertError as error:
        raise ExpertError(
            f"{error.message} HF_HUB_OFFLINE forbids to fetch what this node does not have; unset it, or "
            "give the card a path to a folder with the model."
        ) from error
    return repository


def limit_waits() -> None:
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


def _obtain(repository: Repository, token: str | bool) -> None:
    """Fetch, vet, convert and compose."""
    plain = [name for name in support(repository.sizes) if repository.sizes[name] <= LARGEST_PLAIN]
    fetch(repository, plain, token)
    vetting.vet(repository.snapshot, plain, repository.model)
    index = repository.snapshot / "model_index.json"
    parts = vetting.components(index) if index.name in plain else None
    if parts is not None:  # of a pipeline, only the parts it names
        plain = [name for name in plain if "/" not in name or name.partition("/")[0] in parts]
    chosen = weights(repository.sizes, parts)
    for file in chosen.pickles.values():
        if file not in repository.sha256:
            raise ExpertError(
                f"The Hub declares no hash for {file} of {repository.model}, and no other pickle is read; "
                "choose a model with safetensors."
            )
    _check_disk(repository, chosen)
    fetch(repository, chosen.files, token)
    _compose(repository, plain, chosen)


def _check_disk(repository: Repository, chosen: Selection) -> None:
    """Refuse what will not fit, before it fills the disk."""
    needs = [
        (repository.snapshot, missing(repository, chosen.files)),
        (store.root(), sum(repository.sizes[name] for name in chosen.pickles.values())),
    ]
    for place, needed in needs:
        there = next(path for path in (place, *place.parents) if path.exists())
        same = sum(more for other, more in needs if _device(other) == _device(place))
        free = shutil.disk_usage(there).free
        if needed and same + SPARE > free:
            raise ExpertError(
                f"{repository.model} needs {megabytes(same)} of disk and {there} has {megabytes(free)} "
                "free; free some, or let HF_HOME name a folder on a larger disk."
            )


def _device(place: Path) -> int:
    return next(path for path in (place, *place.parents) if path.exists()).stat().st_dev


def _compose(repository: Repository, plain: list[str], chosen: Selection) -> None:
    """Lay out the folder that loaders see, and declare it whole."""
    model, commit = repository.model, repository.commit
    shelf = store.shelf(model)
    shelf.mkdir(parents=True, exist_ok=True)
    for left in shelf.glob(f".{commit}.*"):  # of a process that was killed
        shutil.rmtree(left)
    building, folder = shelf / f".{commit}.{os.getpid()}", store.folder(model, commit)
    try:
        for name, file in ({name: name for name in plain} | chosen.links).items():
            _link(building / name, repository.snapshot / file)
        made = _convert(repository, building, chosen.pickles)
        store.manifest_file(model, commit).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    known = {name: repository.sha256.get(file) for name, file in chosen.links.items()}
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    store.declare(
        store.Manifest(
            model,
            commit,
            sizes={name: (folder / name).stat().st_size for name in names},
            sha256={name: value for name, value in known.items() if value}
            | {name: store.digest(folder / name) for name in names if not (folder / name).is_symlink()},
            converted=made,
            listed=repository.listed,
        )
    )
    _say(f"{model}: ready at commit {commit[:12]}")


def _link(place: Path, file: Path) -> None:
    """Link to a file of the cache so that HF_HOME may be moved: relative, where both are in it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    target = file.resolve(strict=True)
    inside = target.is_relative_to(store.home().resolve())
    place.symlink_to(os.path.relpath(target, place.parent.resolve()) if inside else target)


def _convert(repository: Repository, building: Path, pickles: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Make safetensors of pickles, in a process without network; returns where each came from."""
    if not pickles:
        return {}
    _say(f"{repository.model}: converting {len(pickles)} pickled files to safetensors")
    snapshot = repository.snapshot
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


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    aside.serve(work)
