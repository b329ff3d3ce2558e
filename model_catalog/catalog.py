"""The catalog: all model cards, ranked for each task type once and for all."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Self

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from model_catalog.card import ModelCard
from model_catalog.errors import InvalidCardError, UnknownModelError
from model_catalog.tasks import TASKS, task_type

SHIPPED = ("snapshot.jsonl", "embedded.jsonl")
"""The files of cards in ``model_catalog.data``."""


class Catalog:
    """Model cards by id, and by task type in rank order. It never changes once made."""

    __slots__ = ("_cards", "_ranked")

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        self._cards: Mapping[str, ModelCard] = {card.id: card for card in cards}
        self._ranked: Mapping[tuple[str, str | None], tuple[ModelCard, ...]] = _rank(self._cards.values())

    @classmethod
    def shipped(cls) -> Self:
        """The catalog that comes with the product: the snapshot and the embedded experts."""
        return cls(_shipped_cards())

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """The shipped catalog with an operator's cards laid over it; a card of a known id replaces it.

        ``path`` is a file in UTF-8 with one card a line, as JSON.

        Raises:
            InvalidCardError: the file cannot be read, or a line of it is no card.

        """
        return cls((*_shipped_cards(), *read_cards(Path(path))))

    def __len__(self) -> int:
        return len(self._cards)

    def __contains__(self, card: object) -> bool:
        """Whether it has this very card, not only one of its id."""
        return isinstance(card, ModelCard) and self._cards.get(card.id) == card

    def __iter__(self) -> Iterator[ModelCard]:
        return iter(self._cards.values())

    def get(self, model_id: str) -> ModelCard:
        """The card of ``model_id``.

        Raises:
            UnknownModelError: there is none.

        """
        try:
            return self._cards[model_id]
        except KeyError:
            message = f"The catalog has no model {model_id!r}; name one that it has, or add a card for it."
            raise UnknownModelError(message) from None

    def cards_for(self, task: str, want: str | None = None) -> tuple[ModelCard, ...]:
        """All cards that serve ``task`` and are not blocked, the first choice first.

        With ``want``, only those that yield it. Without, for a task that covers several jobs, those
        of its usual job come first, then those that do not say, then the others; a pinned card is the
        first of its job.

        Raises:
            UnknownTaskError: the registry has no such task type.

        """
        return self._ranked.get((task_type(task).name, want), ())

    def top_k(
        self,
        task: str,
        k: int,
        runnable: Callable[[ModelCard], bool] | None = None,
        want: str | None = None,
    ) -> tuple[ModelCard, ...]:
        """The first ``k`` of the cards that serve ``task`` and are runnable, in rank order.

        Raises:
            UnknownTaskError: the registry has no such task type.
            ValueError: ``k`` is less than 1.

        """
        if k < 1:
            raise ValueError(f"The number of candidates must be at least 1, not {k}.")
        return tuple(islice(filter(runnable, self.cards_for(task, want)), k))


def read_cards(path: Path) -> list[ModelCard]:
    """The cards of a file with one a line; empty lines are passed over.

    Raises:
        InvalidCardError: the file cannot be read, or a line of it is no card.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        message = f"The file of model cards {path} cannot be read; check that it exists and is text in UTF-8."
        raise InvalidCardError(message) from None
    return list(_parse(text, str(path)))


def _shipped_cards() -> Iterator[ModelCard]:
    for name in SHIPPED:
        yield from _parse(files("model_catalog.data").joinpath(name).read_text(encoding="utf-8"), name)


def _parse(text: str, source: str) -> Iterator[ModelCard]:
    # Not splitlines: it also parts a line at characters that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield ModelCard.model_validate_json(line)
        except ValidationError as error:
            faults = "; ".join(map(_fault, error.errors(include_url=False)))
            raise InvalidCardError(f"{source}, line {number}: {faults}.") from None


def _fault(details: ErrorDetails) -> str:
    """What is wrong with a card, in words of the project's own."""
    field = ".".join(map(str, details["loc"]))
    match details["type"]:
        case "json_invalid" | "model_type":
            return "this is not a JSON object; write one card a line"
        case "missing":
            return f"the field {field!r} is missing"
        case "extra_forbidden":
            return f"a card has no field {field!r}"
        case "value_error":
            return str(details["ctx"]["error"])
        case _:
            return f"the field {field!r} has a value that does not fit"


def _rank(cards: Iterable[ModelCard]) -> dict[tuple[str, str | None], tuple[ModelCard, ...]]:
    """Cards in rank order by task and by what they yield; ``None`` stands for all of a task."""
    in_order = sorted((card for card in cards if not card.blocked), key=lambda card: card.rank)
    ranked: dict[tuple[str, str | None], tuple[ModelCard, ...]] = {}
    for name, row in TASKS.items():
        serving = [card for card in in_order if name in card.tasks]
        for want in {card.yields for card in serving if card.yields is not None}:
            ranked[name, want] = tuple(card for card in serving if card.yields == want)
        ranked[name, None] = tuple(sorted(serving, key=partial(_turn, row.wants)))
    return ranked


def _turn(wants: tuple[str, ...], card: ModelCard) -> int:
    """When a card's turn comes among a task's jobs: the usual job, then unknown ones, then the others."""
    if not wants or card.yields == wants[0]:
        return 0
    return 1 + wants.index(card.yields) if card.yields in wants else 1
