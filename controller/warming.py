"""Early warm-up: while an LLM plans, the experts that the embedded plan names are woken.

The embedded brain plans in milliseconds. A wrong guess costs the warm-up of an expert and nothing else.
"""

import logging
from collections.abc import Iterator
from typing import Protocol

from controller.request import Request
from controller.rules.planner import plan_text
from controller.selector import Selector
from model_catalog.card import ModelCard

logger = logging.getLogger("ray.serve")

_LONG = 10_000
"""From how many characters on a request is not guessed at: that would take longer than it saves."""


class Wakes(Protocol):
    """Wakes experts."""

    def wake(self, card: ModelCard) -> None:
        """Have a replica of an expert started; returns at once."""
        ...


class Warmer:
    """Wakes what a request will probably need."""

    def __init__(self, selector: Selector, wakes: Wakes, most: int) -> None:
        """Prepare to wake at most ``most`` experts for one request."""
        self._selector = selector
        self._wakes = wakes
        self._most = most

    def warm(self, request: Request) -> None:
        """Wake the cold experts among the first candidates of the tasks that the embedded brain plans."""
        cold = self._selector.fleet.cold
        if not cold or not self._most or len(request.text) > _LONG:
            return
        first = {card.id: card for card in self._first(request) if card.id in cold}
        for card in list(first.values())[: self._most]:
            logger.info("%s is woken ahead of the plan", card.id)
            self._wakes.wake(card)

    def _first(self, request: Request) -> Iterator[ModelCard]:
        for raw in plan_text(request.text, request.attachments, request.context):
            yield from self._selector.offers(raw["task"], raw.get("want"))[:1]
