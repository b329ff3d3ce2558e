"""What is done ahead of an expert's first call: nodes import what models need, and its need is found out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from pydantic import SecretStr

from deployments import launch
from deployments.book import Book
from deployments.needs import key
from deployments.sizing.facts import facts
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError
from model_catalog.share import sized

logger = logging.getLogger("ray.serve")


class Ahead:
    """Prepares nodes once each, and studies models one after the other."""

    def __init__(
        self, book: Book, token: SecretStr | None, learned: Callable[[ModelCard], Awaitable[None]]
    ) -> None:
        """Prepare.

        Args:
            book: takes what is found.
            token: the operator's for the Hugging Face Hub.
            learned: called with the card of a model whose need is known now.

        """
        self._book = book
        self._token = token
        self._learned = learned
        self._prepared: set[str] = set()
        self._one = asyncio.Lock()
        self._studies: dict[str, asyncio.Task[None]] = {}

    def prepare(self, nodes: Collection[str]) -> None:
        """Have nodes import what models need, each once; returns at once."""
        for node in sorted(set(nodes) - self._prepared):
            self._prepared.add(node)
            launch.prepare(node)

    def study(self, card: ModelCard) -> None:
        """Find out what a model needs of a GPU, where neither its card tells nor a replica measured it."""
        known = card.id in self._book.measured or key(card) in self._book.facts
        if known or card.id in self._studies or not sized(card):
            return
        task = asyncio.create_task(self._studied(card))
        self._studies[card.id] = task
        task.add_done_callback(lambda done: self._studies.pop(card.id, None))

    async def _studied(self, card: ModelCard) -> None:
        async with self._one:  # each takes a process of its own
            try:
                found = await asyncio.to_thread(facts, card, self._token)
            except HuggingGPTError as error:
                logger.warning("what %s needs is guessed from its card: %s", card.id, error.message)
                return
        self._book.facts[key(card)] = found
        await self._learned(card)
