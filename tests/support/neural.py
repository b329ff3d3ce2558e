"""Runners over tiny models, without a cluster."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from deployments.result import Input, Result
from deployments.runners.base import Runner
from deployments.runners.registry import resolve
from model_catalog.card import ModelCard
from tests.support.tiny import Builder, tiny


def model_card(runner: str, folder: Path, *tasks: str, **fields: Any) -> ModelCard:
    """The card of a model in a folder."""
    return ModelCard(
        id=f"tiny/{folder.name}", tasks=tasks, runner=runner, path=folder, **{"batch_size": 8, **fields}
    )


def opened(runner: str, builder: Builder, *tasks: str, **fields: Any) -> Runner:
    """A runner with a tiny model loaded and warmed up, as in a replica on the CPU."""
    made = resolve(runner)()
    made.load(model_card(runner, tiny(builder), *tasks, **fields), "cpu")
    made.warm_up()
    return made


shared = cache(opened)
"""As ``opened``, made once for a session: for tests that leave the runner as it is."""


def ask(runner: Runner, task: str, **args: Any) -> Result:
    """One call's result.

    Raises:
        Exception: what the runner answered with.

    """
    (answer,) = runner.run([Input(task, args)])
    if isinstance(answer, Exception):
        raise answer
    return answer


def ask_all(runner: Runner, task: str, several: Sequence[dict[str, Any]]) -> list[Result]:
    """The results of one batch."""
    answers = runner.run([Input(task, args) for args in several])
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return [answer for answer in answers if isinstance(answer, Result)]


def alike(one: Any, other: Any, tolerance: float = 1e-3) -> bool:
    """Whether two values agree: numbers and arrays within ``tolerance``, all else exactly."""
    if isinstance(one, bool | str) or one is None:
        return bool(one == other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other, [tolerance] * len(one)))
    return bool(np.allclose(one, other, atol=tolerance, rtol=0))
