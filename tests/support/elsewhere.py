"""Runners of models that an inference service on loopback serves."""

from typing import Any

import numpy as np
from pydantic import SecretStr

from deployments.media import Audio, Image, Table
from deployments.result import Input, Result
from deployments.runners.remote import Remote
from model_catalog.card import ModelCard
from tests.support.inference import Inference

TOKEN = "hf_very_secret_0123456789"
PICTURE = Image(np.full((40, 60, 3), 51, np.uint8))
SOUND = Audio(np.full(800, 0.5, np.float32), 16_000)
TABLE = Table(("name", "rooms"), (("house", "5"), ("barn", "1")))


def runner(service: Inference, *tasks: str, token: str | None = TOKEN, **defaults: str) -> Remote:
    """A runner for a model of the service."""
    name = f"acme/{tasks[0]}"
    card = ModelCard(id=name, tasks=tasks, defaults={"endpoint": f"{service.url}/models/{name}", **defaults})
    return loaded(card, token)


def loaded(card: ModelCard, token: str | None = TOKEN) -> Remote:
    """A runner as a replica has it."""
    made = Remote()
    made.token = SecretStr(token) if token else None
    made.load(card, "cpu")
    made.warm_up()
    return made


async def ask(service: Inference, task: str, **args: Any) -> Result:
    """One call's result."""
    return await runner(service, task).answer(Input(task, args))
