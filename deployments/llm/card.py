"""The card of an LLM as an expert for text tasks, and the endpoint that such a card means."""

import re

from pydantic import SecretStr, ValidationError

from deployments.errors import ExpertError
from deployments.llm.endpoint import Endpoint
from deployments.placing import LLM
from model_catalog.card import ModelCard

TASKS = ("text-generation", "conversational", "summarization", "translation", "text2text-generation")
"""What an LLM does itself."""

_OWNER = "llm"
_LONGEST_NAME = 120
_MOST_AT_ONCE = 512


def llm_card(endpoint: Endpoint) -> ModelCard:
    """The card of the LLM at an endpoint; it takes nothing of this cluster, and no key is in it."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", endpoint.model).strip("-.")[:_LONGEST_NAME]
    facts = endpoint.model_dump(exclude_none=True)
    return ModelCard(
        id=f"{_OWNER}/{name or 'model'}",
        tasks=TASKS,
        description=(
            f"The language model {endpoint.model} itself: it writes, rewrites, summarises, translates and "
            "talks, in many languages."
        ),
        runner=LLM,
        defaults={field: str(value) for field, value in facts.items()},
        gpu=0.0,
        batch_size=min(endpoint.concurrency, _MOST_AT_ONCE),
        source="settings",
    )


def endpoint_of(card: ModelCard, key: SecretStr | None) -> Endpoint:
    """The endpoint that the card of an LLM means; an operator's own card needs ``model`` and ``base_url``.

    Raises:
        ExpertError: the card names no endpoint that can be asked.

    """
    facts = {name: value for name, value in card.defaults.items() if name in Endpoint.model_fields}
    try:
        return Endpoint.model_validate({**facts, "api_key": key})
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'endpoint'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False)
        )
    raise ExpertError(f"{card.id} cannot be asked: {told}.")
