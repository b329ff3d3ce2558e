"""The selector: which model runs a task, and why.

Filter by task, then by what can run now, then rank by downloads, then take the first K (HuggingGPT, section
3.2, ranks by downloads too; unlike its code, what cannot run is left out before K are taken).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.errors import NoExpertError
from controller.outcome import Choice
from controller.plan import Task
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog

TOP_K = 3
"""How many candidates a task has, where the settings say nothing else."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What runs now.

    Attributes:
        running: ids of the models whose experts take calls.
        obstacles: why other models cannot run, by id, as parts of a sentence.

    """

    running: frozenset[str] = frozenset()
    obstacles: Mapping[str, str] = field(default_factory=dict)

    def obstacle(self, card: ModelCard) -> str:
        """Why a model cannot run now."""
        return self.obstacles.get(card.id, "it is not deployed")


@dataclass(frozen=True, slots=True)
class Selection:
    """The candidates of a task, the chosen one first, and the reason for it."""

    candidates: tuple[ModelCard, ...]
    reason: str

    def choice(self, card: ModelCard, reason: str | None = None) -> Choice:
        """The account of taking ``card``."""
        return Choice(
            model=card.id,
            reason=reason or self.reason,
            candidates=tuple(candidate.id for candidate in self.candidates),
        )


class Selector:
    """Chooses among the catalog's models."""

    def __init__(self, catalog: Catalog, top_k: int = TOP_K) -> None:
        self.catalog = catalog
        self.top_k = top_k
        self.fleet = Fleet()

    def offers(self, task: str, want: str | None = None) -> tuple[ModelCard, ...]:
        """The candidates of a task type, first by rank; empty where nothing can run."""
        return self.catalog.top_k(task, self.top_k, runnable=self._runs, want=want)

    def _runs(self, card: ModelCard) -> bool:
        return card.id in self.fleet.running

    def select(self, task: Task) -> Selection:
        """Choose for a task: the model it names where that is a candidate, else the first by downloads.

        Raises:
            NoExpertError: no model can run it here; the message says why and what to do.

        """
        candidates = self.offers(task.task, task.want)
        if not candidates:
            raise NoExpertError(self._explain(task))
        named = next((card for card in candidates if card.id == task.model), None)
        if named is not None:
            rest = tuple(card for card in candidates if card is not named)
            return Selection((named, *rest), "named in the plan")
        if len(candidates) == 1:
            return Selection(candidates, "the only model that can run this task here")
        return Selection(candidates, "most downloads among the models that can run here")

    def _explain(self, task: Task) -> str:
        cards = self.catalog.cards_for(task.task, task.want)
        job = f"{task.task} ({task.want})" if task.want else task.task
        if not cards:
            return f"The catalog has no model for {job}; leave that part out, or add a model for it."
        first, why = cards[0].id, self.fleet.obstacle(cards[0])
        if len(cards) > 1:
            count = f"None of the catalog's {len(cards)} models for {job} run here"
            told = f"{count}. The first by downloads is {first}: {why}."
        else:
            told = f"The catalog's only model for {job}, {first}, does not run here: {why}."
        return (
            f"{told} Deploy one that this cluster can run (hugginggpt deploy --expert ID), "
            "or leave that part out."
        )
