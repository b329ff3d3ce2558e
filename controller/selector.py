"""The selector: which model runs a task, and why.

Filter by task, then by what can run now, then rank by downloads, then take the first K (HuggingGPT, section
3.2, ranks by downloads too; unlike its code, what cannot run is left out before K are taken).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from controller.errors import NoExpertError, UnfitModelError
from controller.outcome import Choice
from controller.plan import Task
from deployments.placing import asks_llm, runs_elsewhere
from model_catalog.card import NO_RUNNER, ModelCard
from model_catalog.catalog import Catalog

logger = logging.getLogger("ray.serve")

LOOK_S = 2.0
"""The least time between two looks at what runs that failures cause."""

NEAR = 0.8
"""From which part of the first one's downloads on a candidate that is loaded is taken before it."""

TOP_K = 3
"""How many candidates a task has, where the settings say nothing else."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What runs now.

    Attributes:
        running: ids of the models whose experts take calls.
        cold: those of them that are asleep: the first call wakes one, which takes about so many seconds.
        starting: ids of the models whose experts are being started.
        obstacles: why other models cannot run, by id, as parts of a sentence.
        learned: cards of experts that the catalog does not have, or not so.
        replicas: how many replicas experts have, where it is not one.

    """

    running: frozenset[str] = frozenset()
    starting: frozenset[str] = frozenset()
    obstacles: Mapping[str, str] = field(default_factory=dict)
    learned: tuple[ModelCard, ...] = ()
    cold: Mapping[str, float] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)

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
        self.look: Callable[[], Awaitable[None]] | None = None
        self._looking: asyncio.Future[None] | None = None
        self._looked = 0.0

    def see(self, fleet: Fleet) -> None:
        """Take in what runs now, and the cards of what is new."""
        if not all(card in self.catalog for card in fleet.learned):
            self.catalog = Catalog([*self.catalog, *fleet.learned])
        self.fleet = fleet

    async def look_again(self) -> None:
        """Ask once more what runs, as after a failure; many askers at once make one look."""
        if self.look is None or time.monotonic() - self._looked < LOOK_S:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self.look())
            self._looking.add_done_callback(self._seen)
        await asyncio.wait({self._looking})

    def _seen(self, look: "asyncio.Future[None]") -> None:
        self._looked = time.monotonic()
        if not look.cancelled() and look.exception() is not None:
            logger.warning("what runs could not be asked", exc_info=look.exception())

    def offers(self, task: str, want: str | None = None) -> tuple[ModelCard, ...]:
        """The candidates of a task type, first by rank; empty where nothing can run.

        The LLM itself, whose downloads nobody knows, is one beside the others where it serves the task.
        """
        first = self.catalog.top_k(task, self.top_k, runnable=self._runs, want=want)
        if len(first) < self.top_k:
            return first
        further = self.catalog.cards_for(task, want)
        llms = (card for card in further if asks_llm(card) and self._runs(card) and card not in first)
        return (*first, *llms)

    def _runs(self, card: ModelCard) -> bool:
        return card.id in self.fleet.running

    def select(self, task: Task) -> Selection:
        """Choose for a task: the model it names where that is a candidate, else the first by downloads.

        Raises:
            NoExpertError: no model can run it here, or not the one that alone may; the message says why and
                what to do.
            UnknownModelError: the one that alone may run it is in no catalog.
            UnfitModelError: it does not do this task.

        """
        if task.alone:
            return self._only(self.named(task))
        candidates = self.offers(task.task, task.want)
        if not candidates:
            raise NoExpertError(self._explain(task))
        named = next((card for card in candidates if card.id == task.model), None)
        if named is not None:
            rest = tuple(card for card in candidates if card is not named)
            return Selection((named, *rest), task.reason or "named in the plan")
        candidates, reason = self._warm_first(candidates)
        if len(candidates) == 1:
            reason = "the only model that can run this task here"
        usual = next(iter(task.type.wants), None)
        if task.want is None and candidates[0].yields not in (None, usual):
            reason = f"{reason}; it does {candidates[0].yields}, since no model for {usual} runs here"
        if asks_llm(candidates[0]):
            reason = "the language model itself, since no model for this task with known downloads runs here"
        if runs_elsewhere(candidates[0]):
            reason = f"{reason}; it is served elsewhere"
        return Selection(candidates, reason)

    def named(self, task: Task) -> ModelCard:
        """The card of the model that a task names, whether it runs now or not.

        Raises:
            UnknownModelError: the catalog has no such model.
            UnfitModelError: it does not do this task.

        """
        card = self.catalog.get(task.model or "")
        if task.task not in card.tasks:
            raise UnfitModelError(f"{card.id} does not do {task.task}; it does {', '.join(card.tasks)}.")
        return card

    def _only(self, card: ModelCard) -> Selection:
        if not self._runs(card):
            raise NoExpertError(
                f"{card.id} does not run here: {self.fleet.obstacle(card)}. Name no model for the usual "
                f"choice, or deploy it (hugginggpt deploy --expert {card.id})."
            )
        return Selection((card,), "named by the client")

    def _warm_first(self, candidates: tuple[ModelCard, ...]) -> tuple[tuple[ModelCard, ...], str]:
        """The candidates in the order they are tried: a warm one goes before a cold one on a near tie."""
        first, cold = candidates[0], self.fleet.cold
        if first.id in cold and first.usual_downloads is not None:
            least = NEAR * first.usual_downloads
            for card in candidates[1:]:
                if card.id not in cold and (card.usual_downloads or 0) >= least:
                    rest = tuple(other for other in candidates if other is not card)
                    return (card, *rest), f"it is loaded, and has nearly the downloads of {first.id}"
        return candidates, "most downloads among the models that can run here"

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
        if all(self.fleet.obstacle(card) == NO_RUNNER for card in cards):
            return f"{told} Leave that part out, or add a model with a runner of your own."
        return (
            f"{told} Deploy one that this cluster can run (hugginggpt deploy --expert ID), "
            "or leave that part out."
        )
