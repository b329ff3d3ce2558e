"""The embedded experts' runners, each loaded once for all tests."""

from functools import cache
from pathlib import Path
from typing import Any

from deployments.decode import decode
from deployments.media import Audio, File, Image, media_type
from deployments.result import Input, Result
from deployments.runners.base import Runner
from deployments.runners.registry import resolve
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS, Modality

CARDS = {card.runner or "": card for card in Catalog.shipped() if card.embedded}
EXAMPLES = Path(__file__).parents[2] / "examples"


@cache
def runner(name: str) -> Runner:
    """The runner of the shipped card of that name, loaded and warm."""
    made = resolve(name)()
    made.load(CARDS[name], "cpu")
    made.warm_up()
    return made


def answers(name: str, *args: dict[str, Any]) -> list[Result | Exception]:
    """One batch through a runner, an input for each set of arguments."""
    task = CARDS[name].tasks[0]
    found = list(runner(name).run([Input(task, one) for one in args]))
    assert len(found) == len(args)
    return found


def answer(name: str, **args: Any) -> Result:
    """One input through a runner; its result offers all that the task declares."""
    (found,) = answers(name, args)
    if isinstance(found, Exception):
        raise found
    _complete(found, CARDS[name])
    return found


def _complete(result: Result, card: ModelCard) -> None:
    for modality in TASKS[card.tasks[0]].outputs:
        assert result.value(modality) is not None, f"{card.id} gives no {modality}"


def picture(name: str) -> Image:
    """An example picture."""
    data = (EXAMPLES / name).read_bytes()
    value = decode(File(data, media_type(data)), Modality.IMAGE)
    assert isinstance(value, Image)
    return value


def recording(name: str) -> Audio:
    """An example recording."""
    data = (EXAMPLES / name).read_bytes()
    value = decode(File(data, media_type(data)), Modality.AUDIO)
    assert isinstance(value, Audio)
    return value
