"""A sync: what the Hub tells of the cards at hand, and which models it lists besides.

Every answer is written down as it comes. A sync that is interrupted, or whose result was only looked at, goes
on from there within a day.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from model_catalog.card import ModelCard
from model_catalog.errors import CatalogError, HubError, UnknownModelError
from model_catalog.facts import LISTED, found, lost, refreshed, unfit
from model_catalog.hub import Hub, Told

JOURNAL = "sync.jsonl"
"""The file of answers, in the data folder."""

FRESH = timedelta(days=1)
"""How long answers are used."""

AT_ONCE = 4
"""Questions under way at the same time."""

DEEPER = 10
"""How many times as many models are listed as are wanted, since no runner serves many."""


class Judge(Protocol):
    """Knows what the runners can load."""

    def runs(self, card: ModelCard) -> bool:
        """Whether there is a runner for a card at all."""

    def obstacle(self, card: ModelCard) -> str | None:
        """Why a model cannot be loaded, by its configuration; None where it can."""


_MANY = 10
"""Cards from which on it is odd that the Hub has less than half of their models."""


Progress = Callable[[str, int, int], None]
"""Told how far a sync is: its stage, what is done of it, and all of it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a sync is to do.

    Attributes:
        tasks: the task types whose cards are read anew, and whose models are listed.
        limit: the first models of each task, by downloads, that the catalog is to have at least.
        move: whether cards get the newest commit of their models.
        own: models of which the operator has written the card, which is left alone.
        day: today, as ``2026-11-22``.

    """

    tasks: tuple[str, ...]
    limit: int
    move: bool = False
    own: frozenset[str] = frozenset()
    day: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of a sync.

    Attributes:
        cards: the cards that were read anew, and the new ones.
        moved: today's names of models that have another one than their card, by the card's.
        left_out: models that are listed among the first of a task and cannot be served, with the reason.

    """

    cards: tuple[ModelCard, ...]
    moved: Mapping[str, str]
    left_out: Mapping[str, str]


class Journal:
    """Answers by question, in memory and in a file with one a line; any thread may add to it.

    Args:
        path: the file; answers of another endpoint, or older than a day, are left behind.
        endpoint: whose answers they are.
        now: the time.

    Raises:
        CatalogError: the file cannot be written.

    """

    def __init__(self, path: Path, endpoint: str, now: datetime | None = None) -> None:
        now = now or datetime.now(UTC)
        self._path, self._lock = path, threading.Lock()
        begun, self._answers = _read(path, endpoint, now)
        self.resumed = len(self._answers)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            head = {"endpoint": endpoint, "begun": (begun or now).isoformat()}
            lines = [head, *({"asked": key, "told": told} for key, told in self._answers.items())]
            self._file = path.open("w", encoding="utf-8")
            self._file.writelines(json.dumps(line) + "\n" for line in lines)
            self._file.flush()
        except OSError as error:
            raise CatalogError(f"{path} cannot be written: {error.strerror}; set data_dir.") from None

    def get(self, asked: str, ask: Callable[[], Any]) -> Any:
        """The answer to a question: the one at hand, else that of ``ask``, which is written down."""
        if asked in self._answers:
            return self._answers[asked]
        told = ask()
        with self._lock:
            self._answers[asked] = told
            try:
                self._file.write(json.dumps({"asked": asked, "told": told}) + "\n")
                self._file.flush()
            except OSError as error:
                message = f"{self._path} cannot be written: {error.strerror}; free some disk."
                raise CatalogError(message) from None
        return told

    def close(self) -> None:
        """Keep the file for the next time."""
        with suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """The answers were used; the next sync asks anew."""
        self.close()
        self._path.unlink(missing_ok=True)


def _read(path: Path, endpoint: str, now: datetime) -> tuple[datetime | None, dict[str, Any]]:
    """When the answers in a file begin, and the answers; none where they are of no use any more."""
    try:
        head, *lines = path.read_text(encoding="utf-8").split("\n")
        first = json.loads(head)
        begun = datetime.fromisoformat(first["begun"])
        if first["endpoint"] != endpoint or not timedelta() <= now - begun < FRESH:
            return None, {}
    except (OSError, ValueError, KeyError, TypeError):
        return None, {}
    answers: dict[str, Any] = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):  # the last one may be half a line
            row = json.loads(line)
            answers[row["asked"]] = row["told"]
    return begun, answers


def sync(
    hub: Hub,
    known: Sequence[ModelCard],
    wish: Wish,
    journal: Journal,
    judge: Judge,
    progress: Progress = lambda stage, done, total: None,
) -> Synced:
    """Ask the Hub of the cards at hand and for further models.

    Args:
        hub: whom to ask.
        known: the cards at hand that are the Hub's.
        wish: what to do.
        journal: answers of before, to which new ones are added.
        judge: tells of a model whether it can be loaded.
        progress: told after each answer.

    Raises:
        HubError: the Hub cannot be asked; what it has told is in the journal.
        CatalogError: the journal cannot be written.

    """
    depth = wish.limit * DEEPER

    def listing(task: str) -> Any:
        return journal.get(
            f"list {depth} {task}", lambda: [told.model_dump() for told in hub.listing(task, depth)]
        )

    filed = [task for task in wish.tasks if task in LISTED] if depth else []
    listed = _all(filed, listing, partial(progress, "listing"))
    seen = {row["id"]: row for rows in listed.values() for row in rows}

    def model(name: str) -> Any:
        return seen.get(name) or journal.get(f"model {name}", lambda: _told(hub, name))

    mine = [card for card in known if set(card.tasks) & set(wish.tasks) and card.id not in wish.own]
    answers = _all([card.id for card in mine], model, partial(progress, "reading"))
    told = {name: Told.model_validate(row) for name, row in answers.items() if row is not None}
    if len(mine) >= _MANY and 2 * len(told) < len(mine):
        journal.remove()  # what that hub said is of no use to the right one
        raise HubError(
            f"The Hub at {hub.address} has {len(told)} of {len(mine)} models; look at HF_ENDPOINT, or at the "
            "token."
        )
    renewed = [
        refreshed(card, told[card.id], wish.day, wish.move) if card.id in told else lost(card, wish.day)
        for card in mine
    ]
    moved = {name: row.id for name, row in told.items() if row.id != name}
    runs = {moved.get(card.id, card.id): judge.runs(card) for card in known}
    search = _Search(wish, journal, judge, dict.fromkeys(wish.own, True) | runs)
    for number, (task, rows) in enumerate(listed.items(), 1):
        search.look(task, map(Told.model_validate, rows))
        progress("checking", number, len(listed))
    return Synced((*renewed, *search.cards.values()), moved, search.left_out)


def _told(hub: Hub, model: str) -> dict[str, Any] | None:
    try:
        return hub.model(model).model_dump()
    except UnknownModelError:
        return None


def _all(names: Sequence[str], ask: Callable[[str], Any], told: Callable[[int, int], None]) -> dict[str, Any]:
    """The answers by name, a few questions at a time; the first error ends it."""
    names = list(dict.fromkeys(names))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked: dict[Future[Any], str] = {pool.submit(ask, name): name for name in names}
        open_: set[Future[Any]] = set(asked)
        try:
            told(0, len(names))
            while open_:
                done, open_ = wait(open_, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                told(len(names) - len(open_), len(names))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {name: future.result() for future, name in asked.items()}


class _Search:
    """Looks for the first models of each task that a runner can serve.

    Attributes:
        cards: those that the catalog does not have, by id.
        left_out: why others get no card, by id.

    """

    def __init__(self, wish: Wish, journal: Journal, judge: Judge, known: Mapping[str, bool]) -> None:
        self._wish, self._journal, self._judge, self._known = wish, journal, judge, known
        self.cards: dict[str, ModelCard] = {}
        self.left_out: dict[str, str] = {}

    def look(self, task: str, listed: Iterable[Told]) -> None:
        """Go through a task's models, the most downloaded first, until there are enough."""
        count = 0
        for told in listed:
            if count == self._wish.limit:
                return
            if told.id in self._known or told.id in self.cards:
                count += self._known.get(told.id, True)
            elif isinstance(made := self._made(told, task), str):
                self.left_out[told.id] = made
            else:
                self.cards[told.id] = made
                count += 1

    def _made(self, told: Told, task: str) -> ModelCard | str:
        """The card of a listed model, or why it gets none."""
        if (why := unfit(told)) is not None:
            return why
        try:
            card = found(told, self._wish.day)
        except ValueError:
            return f"what the Hub tells of it makes no card for {task}"
        why = self._journal.get(f"obstacle {told.id} {told.commit}", lambda: self._judge.obstacle(card))
        return card if why is None else why
