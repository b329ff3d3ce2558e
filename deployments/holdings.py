"""What models lie on this node: listed, measured, found, removed. Nothing here asks the Hub."""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deployments import store
from deployments.checkpoint import split
from deployments.errors import ExpertError
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class Held:
    """A model on this node, at one commit.

    Attributes:
        model: ``owner/name``.
        commit: of its files.
        size: bytes that it takes of the disk, converted copies and what the Hub's cache has among them.
        pulled: when it was whole, in seconds since 1970.

    """

    model: str
    commit: str
    size: int
    pulled: float


def held() -> list[Held]:
    """Every model that is whole on this node, by name and then by age."""
    found = []
    for path in sorted((store.root() / "checkpoints").glob("*/*.json")):
        manifest = _manifest(path)
        if manifest is not None and _whole(manifest):
            model, commit = manifest.model, manifest.commit
            found.append(Held(model, commit, _size(_places(model, [commit])), path.stat().st_mtime))
    return sorted(found, key=lambda one: (one.model.lower(), one.pulled))


def here(card: ModelCard) -> bool:
    """Whether all that a card's model needs is on this node: its own files and those of its parts."""
    own = (str(card.path), None) if card.path is not None else (card.id, card.revision)
    return all(_here(source, revision) for source, revision in [own, *map(split, card.parts.values())])


def repositories(card: ModelCard) -> list[tuple[str, str | None]]:
    """The repositories of the Hub that a card's model needs, each with its revision; its own comes first."""
    own = [] if card.path is not None else [(card.id, card.revision)]
    return [
        *own,
        *(part for part in map(split, card.parts.values()) if not Path(part[0]).is_absolute()),
    ]


def begun(model: str) -> bool:
    """Whether anything of a model was brought here by us, whole or not."""
    return store.shelf(model).exists() or bool(_pins(model))


def remove(model: str) -> int:
    """Remove what we brought here of a model; returns how many bytes are free again.

    In the Hub's cache, the commits that we took are removed with the files that no other commit has; others
    that somebody fetched for another purpose stay.

    Raises:
        ExpertError: nothing of it is here, or a file cannot be removed.

    """
    if not begun(model):
        raise ExpertError(f"{model} is not on this machine; hugginggpt list shows what is.")
    try:
        with store.locked(model):
            places = _places(model, _commits(model))
            freed = _size(places, alone=True)
            for place in places:
                _delete(place)
            shutil.rmtree(store.shelf(model), ignore_errors=True)
            for pin in _pins(model):
                pin.unlink(missing_ok=True)
            _sweep(store.hub_folder(model))
    except OSError as error:
        raise ExpertError(
            f"{error.filename} of {model} cannot be removed ({error.strerror}); remove it by hand."
        ) from None
    return freed


def _here(source: str, revision: str | None) -> bool:
    if Path(source).is_absolute():
        return Path(source).is_dir()
    with suppress(ExpertError):
        commit = store.pinned(source, revision or "main")
        manifest = _manifest(store.manifest_file(source, commit)) if commit else None
        return manifest is not None and _whole(manifest)
    return False


def _manifest(path: Path) -> store.Manifest | None:
    try:
        return store.Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _whole(manifest: store.Manifest) -> bool:
    """Whether every file is there in its size; hashes are looked at when the model is loaded."""
    folder = store.folder(manifest.model, manifest.commit)
    for name, size in manifest.sizes.items():
        try:
            if (folder / name).stat().st_size != size:
                return False
        except OSError:
            return False
    return True


def _pins(model: str) -> list[Path]:
    """The files that pin a model's revisions."""
    pattern = store.pin_file(model, "main").name.removesuffix("main.json")
    return sorted(path for path in (store.root() / "pins").glob("*.json") if path.name.startswith(pattern))


def _commits(model: str) -> list[str]:
    """The commits of a model that we pinned or took."""
    pinned = []
    for pin in _pins(model):
        with suppress(OSError, ValueError):
            pinned.append(json.loads(pin.read_text(encoding="utf-8"))["commit"])
    taken = [path.name.removesuffix(".json") for path in store.shelf(model).glob("*")]
    return [
        commit for commit in dict.fromkeys([*pinned, *taken]) if store.COMMIT.fullmatch(commit) is not None
    ]


def _places(model: str, commits: Iterable[str]) -> list[Path]:
    """The folders and files that are there for these commits alone, the Hub's cache included."""
    commits = list(commits)
    cache = store.hub_folder(model)
    snapshots = [cache / "snapshots" / commit for commit in commits]
    others = [path for path in _children(cache / "snapshots") if path not in snapshots]
    kept = {blob for snapshot in others for blob in _blobs(snapshot)}
    blobs = {blob for snapshot in snapshots for blob in _blobs(snapshot)} - kept
    within = (cache / "blobs").resolve()
    shelf = [path for commit in commits for path in store.shelf(model).glob(f"*{commit}*")]
    halves = [] if others else list((cache / "blobs").glob("*.incomplete"))
    own = sorted(blob for blob in blobs if blob.is_relative_to(within))
    return [*own, *halves, *snapshots, *shelf]


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _blobs(snapshot: Path) -> Iterator[Path]:
    """The files of the cache that a snapshot links to."""
    for path in snapshot.rglob("*"):
        if path.is_symlink():
            yield path.resolve()


def _size(places: Iterable[Path], alone: bool = False) -> int:
    """Bytes of all files there, one that has several names once, links not followed.

    With ``alone``, only of files that have no name elsewhere: those are free once they are removed.
    """
    sizes: dict[tuple[int, int], int] = {}
    for place in places:
        for path in (place, *place.rglob("*")) if place.is_dir() else (place,):
            with suppress(OSError):
                found = path.lstat()
                if not path.is_symlink() and not path.is_dir() and not (alone and found.st_nlink > 1):
                    sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def _delete(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _sweep(cache: Path) -> None:
    """Remove references to commits that are gone, and the folder itself once no commit is left."""
    left = {path.name for path in _children(cache / "snapshots")}
    if not left:
        shutil.rmtree(cache, ignore_errors=True)
        return
    for reference in (cache / "refs").rglob("*"):
        if reference.is_file() and reference.read_text(encoding="utf-8").strip() not in left:
            reference.unlink()
