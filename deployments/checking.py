"""Whether a card's model could be loaded, told by what the Hub has of it; weights are never fetched.

The files that are small are fetched and vetted as before any download, one set of weights must be there that
can be loaded or converted, and the runner must fit the model (see ``fitting``).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

from deployments import placing, vetting
from deployments.checkpoint import split
from deployments.errors import ExpertError, UncheckedError
from deployments.runners.registry import available, extra_of, missing
from deployments.runners.routing import ROUTES, runner_of
from deployments.weights import Selection, support, weights
from model_catalog.card import NO_RUNNER, ModelCard
from model_catalog.errors import GatedModelError, UnknownModelError
from model_catalog.hub import Hub

MOST = 4 << 20
"""The most bytes of a file that is fetched for a check."""

_VOCABULARY = frozenset((".model", ".spm", ".tiktoken", ".bpe", ".vocab", ".txt", ".codes"))
_CONFIGURATION = (".json", ".jinja")

Status = Literal["ok", "cannot", "unchecked"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a check.

    Attributes:
        id: the model.
        status: ``ok``; ``cannot`` where its runner could not load it; ``unchecked`` where nothing tells.
        why: the reason, or what is worth to know.
        commit: the commit that was looked at; None where nothing was.

    """

    id: str
    status: Status
    why: str = ""
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A repository as far as a check looks at it.

    Attributes:
        source: its name.
        names: all its files.
        small: what the small ones hold, by name.
        commit: of the files; None for a folder.

    """

    source: str
    names: tuple[str, ...]
    small: Mapping[str, bytes]
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that a check of one card needs of the Hub."""

    own: Sheet
    parts: Mapping[str, Sheet] = field(default_factory=dict)


class Checker:
    """Checks cards with what a hub tells; it is a ``Judge`` of a sync too."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def runs(self, card: ModelCard) -> bool:
        """Whether there is a runner for a card at all."""
        return runner_name(card) is not None

    def obstacle(self, card: ModelCard) -> str | None:
        """Why a model cannot be loaded, or why that cannot be told; None where it can."""
        verdict = self.check(card)
        return None if verdict.status == "ok" else verdict.why

    def check(self, card: ModelCard) -> Verdict:
        """Whether a card's runner could load its model.

        Raises:
            HubError: the Hub cannot be asked.

        """
        return self.told(card) or self.judged(card, self.gathered(card))

    def told(self, card: ModelCard) -> Verdict | None:
        """The verdict on a card of which the Hub has nothing to tell; None where it has."""
        name = runner_of(card)
        if name is None and not card.library:
            libraries = ", ".join(ROUTES)
            return Verdict(card.id, "cannot", f"Its card names no library; give it one of {libraries}.")
        if name is None or not available(name):
            return Verdict(card.id, "cannot", f"{NO_RUNNER[0].upper()}{NO_RUNNER[1:]}.")
        if placing.runs_elsewhere(card) or placing.asks_llm(card):
            return Verdict(card.id, "ok", "It is served elsewhere.")
        absent = missing(card)
        if absent:
            extras = ",".join(dict.fromkeys(map(extra_of, absent)))
            how = f"pip install 'hugginggpt-serve[{extras}]'"
            return Verdict(card.id, "unchecked", f"Its runner needs {', '.join(absent)}: {how}.")
        return Verdict(card.id, "ok", "It comes with the product.") if card.embedded else None

    def gathered(self, card: ModelCard) -> Gathered | Verdict:
        """What the Hub has of a card's model and of its parts; any thread may ask.

        Raises:
            HubError: the Hub cannot be asked.

        """
        try:
            parts = {role: self._sheet(*split(named)) for role, named in card.parts.items()}
            return Gathered(self._sheet(str(card.path) if card.path else card.id, card.revision), parts)
        except GatedModelError as error:
            return Verdict(card.id, "unchecked", error.message)
        except (UnknownModelError, ExpertError) as error:
            return Verdict(card.id, "cannot", error.message)

    def judged(self, card: ModelCard, gathered: Gathered | Verdict) -> Verdict:
        """The verdict on what was gathered."""
        if isinstance(gathered, Verdict):
            return gathered
        commit = gathered.own.commit
        try:
            pickles = _checked(card, gathered)
        except UncheckedError as error:
            return Verdict(card.id, "unchecked", error.message, commit)
        except ExpertError as error:
            return Verdict(card.id, "cannot", error.message, commit)
        why = "Its pickles are converted to safetensors when it is downloaded." if pickles else ""
        return Verdict(card.id, "ok", why, commit)

    def _sheet(self, source: str, revision: str | None) -> Sheet:
        if Path(source).is_absolute():
            return _folder(Path(source))
        files = self._hub.files(source, revision)
        sizes = files.sizes
        wanted = [name for name in support(sizes) if is_small(name) and sizes[name] <= MOST]
        small = {name: self._hub.read(source, files.commit, name) for name in wanted}
        return Sheet(source, tuple(sizes), small, files.commit)


def runner_name(card: ModelCard) -> str | None:
    """The runner of a card; None where this release has none for it."""
    name = runner_of(card)
    return name if name is not None and available(name) else None


def gather_all(checker: Checker, cards: list[ModelCard], at_once: int = 4) -> "list[Gathered | Verdict]":
    """What the Hub has of several cards, a few at a time, in their order.

    Raises:
        HubError: the Hub cannot be asked.

    """
    with ThreadPoolExecutor(at_once) as pool:
        try:
            return list(pool.map(lambda card: checker.told(card) or checker.gathered(card), cards))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _folder(folder: Path) -> Sheet:
    """A folder of the operator's own."""
    if not folder.is_dir():
        raise ExpertError(f"There is no folder {folder} on this node; put the model there.")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    wanted = [name for name in support(found) if is_small(name) and found[name].stat().st_size <= MOST]
    return Sheet(str(folder), tuple(found), {name: found[name].read_bytes() for name in wanted})


def is_small(name: str) -> bool:
    """Whether a file is one of those that are fetched for a check: configurations and templates."""
    return name.endswith(_CONFIGURATION) and not vetting.is_data(name)


def _checked(card: ModelCard, gathered: Gathered) -> bool:
    """Whether the weights are pickles.

    Raises:
        ExpertError: the model cannot be loaded, or that cannot be told.

    """
    with TemporaryDirectory(prefix="hugginggpt-check-") as place:
        folders, chosen = {}, {}
        for role, sheet in {"": gathered.own, **gathered.parts}.items():
            folders[role] = _laid_out(sheet, Path(place) / f"model-{role}")
            chosen[role] = _weights(sheet, folders[role])
        from deployments.fitting import fit

        worded = fit(card, folders.pop(""), folders)
    sources = (gathered.own, *gathered.parts.values())
    if worded and not any(_is_vocabulary(name) for sheet in sources for name in support(sheet.names)):
        raise ExpertError(f"{card.id} has no tokenizer, which its runner needs; take a model that has one.")
    return any(selection.pickles for selection in chosen.values())


def _laid_out(sheet: Sheet, folder: Path) -> Path:
    """A folder with the small files, vetted."""
    for name, content in sheet.small.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    vetting.vet(folder, sheet.small, sheet.source)
    return folder


def _weights(sheet: Sheet, folder: Path) -> Selection:
    """One set of weights among the files."""
    index = folder / "model_index.json"
    try:
        return weights(sheet.names, vetting.components(index) if index.is_file() else None)
    except ExpertError as error:
        raise ExpertError(f"{sheet.source}: {error.message}") from error


def _is_vocabulary(name: str) -> bool:
    """Whether a file tells of a tokenizer; some, of bytes, have no more than a configuration."""
    path = PurePosixPath(name)
    return path.suffix in _VOCABULARY or path.name == "tokenizer_config.json" or vetting.is_data(name)
