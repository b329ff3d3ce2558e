"""What a sync would change, told before it is written."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS

FIRST = 5
"""How many places of a task's ranking are told."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something of a card that is not as it was."""

    id: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Reranked:
    """The first places of a task, as they were and as they are."""

    task: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference of two catalogs.

    Attributes:
        added: models that are new.
        gone: models that the Hub has no longer.
        back: models that it has again.
        licenses: licences that are others.
        gates: models that are gated now, or are no longer.
        revisions: commits that are others.
        providers: models that other inference providers serve than before.
        ranks: tasks whose first places are others.
        figures: how many cards have other figures.

    """

    added: tuple[ModelCard, ...] = ()
    gone: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    licenses: tuple[Change, ...] = ()
    gates: tuple[Change, ...] = ()
    revisions: tuple[Change, ...] = ()
    providers: tuple[Change, ...] = ()
    ranks: tuple[Reranked, ...] = ()
    figures: int = 0

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def as_json(self) -> dict[str, Any]:
        """In a form for programs."""
        told = asdict(self)
        told["added"] = [
            {"id": card.id, "tasks": card.tasks, "downloads": card.usual_downloads} for card in self.added
        ]
        return told


def changes(old: Catalog, new: Catalog) -> Changes:
    """How ``new`` differs from ``old``, of which it has every model."""
    before = {card.id: card for card in old}
    both = [(before[card.id], card) for card in new if card.id in before]
    return Changes(
        added=tuple(card for card in new if card.id not in before),
        gone=tuple(now.id for was, now in both if now.gone and not was.gone),
        back=tuple(now.id for was, now in both if was.gone and not now.gone),
        licenses=_changed(both, lambda card: card.license or "unknown"),
        gates=_changed(both, lambda card: "gated" if card.gated else "open"),
        revisions=_changed(both, lambda card: (card.revision or "main")[:12]),
        providers=_changed(both, lambda card: ", ".join(card.providers) or "none"),
        ranks=tuple(_reranked(old, new)),
        figures=sum(_figures(was) != _figures(now) for was, now in both),
    )


def _changed(
    both: Iterable[tuple[ModelCard, ModelCard]], told: Callable[[ModelCard], str]
) -> tuple[Change, ...]:
    return tuple(Change(now.id, told(was), told(now)) for was, now in both if told(was) != told(now))


def _reranked(old: Catalog, new: Catalog) -> Iterable[Reranked]:
    for task in TASKS:
        was, now = (tuple(card.id for card in each.top_k(task, FIRST)) for each in (old, new))
        if was != now:
            yield Reranked(task, was, now)


def _figures(card: ModelCard) -> tuple[object, ...]:
    dated = (card.downloads, card.downloads_all, card.likes)
    return (*(figure and figure.value for figure in dated), card.params, card.weights, card.repo_bytes)
