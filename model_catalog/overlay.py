"""What one machine knows beyond the shipped cards: those a sync read, and the operator's pins and blocks.

All lies in the data folder, apart from the snapshot that ships, which no command changes.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import BaseModel, ConfigDict, ValidationError

from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog, read_cards
from model_catalog.errors import CatalogError
from model_catalog.facts import TOLD, movable

CARDS = "catalog.jsonl"
"""The file of cards that were read from the Hub."""

CHOICES = "choices.json"
"""The file of the operator's pins and blocks."""


class Choices(BaseModel):
    """What the operator decided, whatever the figures say.

    Attributes:
        pinned: models that are the first candidates of their tasks.
        blocked: models that are never candidates.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pinned: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()

    def applied(self, card: ModelCard) -> ModelCard:
        """The card as the operator wants it; what the card itself says stays."""
        pinned, blocked = card.id in self.pinned, card.id in self.blocked
        if not (pinned or blocked):
            return card
        return card.model_copy(update={"pinned": pinned or card.pinned, "blocked": blocked or card.blocked})


def layered(folder: Path, own: Path | None = None) -> Catalog:
    """The catalog of this machine: the shipped cards, what was read from the Hub, the operator's, choices.

    Args:
        folder: the data folder.
        own: the operator's own file of cards; each replaces a card of its id.

    Raises:
        CatalogError: a file cannot be read.

    """
    choices = read_choices(folder)
    cards = {card.id: card for card in with_synced(folder)}
    cards |= {card.id: card for card in (read_cards(own) if own else ())}
    return Catalog(map(choices.applied, cards.values()))


def with_synced(folder: Path) -> Catalog:
    """The shipped catalog with what was read from the Hub, before any choice.

    Of a shipped card only those fields change that the Hub knows best, so that a later release may mend
    the others.

    Raises:
        CatalogError: the file cannot be read.

    """
    shipped = {card.id: card for card in Catalog.shipped()}
    return Catalog([*(shipped | {card.id: laid(card, shipped) for card in synced(folder)}).values()])


def laid(card: ModelCard, shipped: Mapping[str, ModelCard]) -> ModelCard:
    """A card that was read from the Hub, over the shipped one of its id where there is one."""
    under = shipped.get(card.id)
    if under is None:
        return card
    told = {name: getattr(card, name) for name in TOLD}
    if card.revision is None or not movable(under.revision):
        told["revision"] = under.revision
    return under.model_copy(update=told)


def synced(folder: Path) -> list[ModelCard]:
    """The cards that were read from the Hub; none where there was no sync.

    Raises:
        InvalidCardError: the file cannot be read.

    """
    path = folder / CARDS
    return read_cards(path) if path.exists() else []


def write_synced(folder: Path, cards: Iterable[ModelCard]) -> None:
    """Add cards that were read from the Hub; each replaces one of its id.

    Raises:
        CatalogError: the file cannot be read or written.

    """
    with _alone(folder):
        known = {card.id: card for card in synced(folder)} | {card.id: card for card in cards}
        in_order = sorted(known.values(), key=lambda card: (card.id.casefold(), card.id))
        lines = (card.model_dump_json(exclude_defaults=True) for card in in_order)
        _write(folder / CARDS, "".join(f"{line}\n" for line in lines))


def read_choices(folder: Path) -> Choices:
    """The operator's pins and blocks; none where nothing was chosen.

    Raises:
        CatalogError: the file cannot be read.

    """
    path = folder / CHOICES
    try:
        return Choices.model_validate_json(path.read_bytes()) if path.exists() else Choices()
    except (OSError, ValidationError):
        raise CatalogError(f"The file {path} of pins and blocks cannot be read; mend or remove it.") from None


def choose(folder: Path, model: str, *, pinned: bool | None = None, blocked: bool | None = None) -> Choices:
    """Pin, unpin, block or unblock a model; a pin ends its block, and a block its pin.

    Raises:
        CatalogError: the file cannot be read or written.

    """
    with _alone(folder):
        now = read_choices(folder)
        pins, blocks = set(now.pinned), set(now.blocked)
        for value, its, other in ((pinned, pins, blocks), (blocked, blocks, pins)):
            if value:
                its.add(model)
                other.discard(model)
            elif value is not None:
                its.discard(model)
        made = Choices(pinned=frozenset(pins), blocked=frozenset(blocks))
        listed = {"pinned": sorted(pins), "blocked": sorted(blocks)}
        _write(folder / CHOICES, f"{json.dumps(listed, indent=1)}\n")
    return made


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other commands from writing at the same time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".catalog.lock").open("a")
    except OSError as error:
        raise CatalogError(f"{folder} cannot be written: {error.strerror}; set data_dir.") from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        CatalogError: it cannot be written; what was there is still there.

    """
    place = None
    try:
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            place = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        place.replace(path)
    except OSError as error:
        if place is not None:
            place.unlink(missing_ok=True)
        raise CatalogError(f"{path} cannot be written: {error.strerror}; what was there stays.") from None
