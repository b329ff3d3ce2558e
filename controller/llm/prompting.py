"""The planner's prompt: the tasks of the registry, how plans are written, and what can run now.

What never changes stands first, so that an endpoint's prompt cache holds; the candidates follow, in an order
that changes only with what runs.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from controller.llm.history import tokens
from controller.llm.schema import ARGUMENTS, wire_name
from deployments.placing import runs_elsewhere
from model_catalog.card import ModelCard
from model_catalog.tasks import TASKS, Argument, TaskType

MOST_CANDIDATE_TOKENS = 4_000
"""The most tokens that the candidates have, in an endpoint of any size."""

_LEVELS = ((160, 20), (80, 20), (40, 20), (40, 2), (0, 2))
"""How many characters of a model's description are told, and of how many models: the first that fits."""

_FEW = 3
"""Options that several tasks share are told once where they are so many."""

_UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


@dataclass(frozen=True, slots=True)
class Menu:
    """What can run now: the text that tells it, and the ids of the models that may be chosen."""

    text: str
    models: tuple[str, ...]


def read_prompt(name: str) -> str:
    """A packaged text of prompts."""
    return files("controller.llm").joinpath("prompts", name).read_text(encoding="utf-8")


def compact(value: Any) -> str:
    """JSON as short as it can be; what is null is left out of objects."""
    return json.dumps(_without_null(value), ensure_ascii=False, separators=(",", ":"))


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_null(item) for name, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


# What never changes --------------------------------------------------------------------------------------


@cache
def static_prompt(examples: bool = True) -> str:
    """The rules, the registry's tasks and the examples; without the latter where the context is narrow."""
    sets = _sets()
    text = Template(read_prompt("planner.txt")).substitute(
        sets="\n".join(f"{letter} = {', '.join(names)}" for names, letter in sets.items()),
        tasks="\n".join(_task(row, sets) for row in TASKS.values()),
        examples="\n\n".join(map(_example, read_examples())) if examples else "(none)",
    )
    return text.strip()


@cache
def read_examples() -> tuple[Mapping[str, Any], ...]:
    """The examples: ``request``, ``files``, ``earlier`` turns, and the ``plan``."""
    return tuple(json.loads(read_prompt("examples.json")))


def _sets() -> dict[tuple[str, ...], str]:
    """Long lists of knobs, each with a letter."""
    knobs = [_knobs(row) for row in TASKS.values()]
    long = [names for names in dict.fromkeys(knobs) if len(names) >= _FEW]
    return {names: chr(ord("A") + number) for number, names in enumerate(long)}


def _knobs(row: TaskType) -> tuple[str, ...]:
    return tuple(f"{knob.name}?" for knob in row.knobs)


def _task(row: TaskType, sets: Mapping[tuple[str, ...], str]) -> str:
    own = [argument for argument in row.arguments if wire_name(argument) in ARGUMENTS]
    others = [argument for argument in row.arguments if argument not in own]
    knobs = _knobs(row)
    options = [*map(_argument, others), *([sets[knobs]] if knobs in sets else knobs)]
    args = ", ".join(map(_argument, own)) + (f"; {', '.join(options)}" if options else "")
    return f"{row.name}({args}) -> {', '.join(row.outputs)}: {row.description}"


def _argument(argument: Argument) -> str:
    name = wire_name(argument)
    kind = f" ({argument.modality})" if name not in ARGUMENTS and argument.modality != "text" else ""
    return f"{name}{kind}{'' if argument.required else '?'}"


def _example(example: Mapping[str, Any]) -> str:
    lines = [f"Earlier {role}: {json.dumps(text)}" for role, text in example.get("earlier", ())]
    lines.append(f"Request: {example['request']}")
    if example.get("files"):
        lines.append("Attached files:")
        lines += [f"- {path} ({modality})" for path, modality in example["files"]]
    return "\n".join([*lines, f"Answer: {compact(example['plan'])}"])


# What can run now ----------------------------------------------------------------------------------------


def menu(
    offered: Mapping[str, Sequence[ModelCard]],
    cold: Mapping[str, float],
    max_tasks: int,
    budget_tokens: int,
) -> Menu:
    """The candidates of each task that has two or more, within a budget, and which tasks nothing runs.

    Args:
        offered: the candidates of every task, first by rank.
        cold: the seconds that those take to be loaded which are not.
        max_tasks: the most tasks of a plan.
        budget_tokens: the most tokens of the candidates.

    """
    head = f"# Now\nA plan has at most {max_tasks} tasks.\n{_absent(offered)}"
    choices = _choices(offered)
    told: dict[str, str] = {}
    for longest, most in _LEVELS:
        told = {tasks: _choice(tasks, cards[:most], cold, longest) for tasks, cards in choices.items()}
        if tokens("\n".join(told.values())) <= budget_tokens:
            break
    kept = list(_fitting(told, budget_tokens))
    if not kept:
        return Menu(f"{head}\nNo task has a choice of models: every model is null.", ())
    models = dict.fromkeys(card.id for tasks in kept for card in choices[tasks][:most])
    lines = [f"{head}\nTasks with a choice of models, the first one being taken where model is null:"]
    return Menu("\n".join([*lines, *(told[tasks] for tasks in kept)]), tuple(models))


def _choices(offered: Mapping[str, Sequence[ModelCard]]) -> dict[str, Sequence[ModelCard]]:
    """The tasks with two candidates or more, those with the same ones told together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for task, cards in offered.items():
        if len(cards) > 1:
            alike.setdefault(tuple(card.id for card in cards), []).append(task)
    return {", ".join(tasks): offered[tasks[0]] for tasks in alike.values()}


def _fitting(told: Mapping[str, str], budget: int) -> Iterator[str]:
    """The tasks, in the registry's order, as long as their candidates fit."""
    for tasks, text in told.items():
        budget -= tokens(text) + 1
        if budget < 0:
            return
        yield tasks


def _absent(offered: Mapping[str, Sequence[ModelCard]]) -> str:
    """Which tasks have no model that runs, told the shorter way."""
    running = [task for task in offered if offered[task]]
    absent = [task for task in offered if not offered[task]]
    advice = "Plan another task only where it is asked for and none of these can do it."
    if not absent:
        return "Every task has a model that runs."
    if len(running) < len(absent):
        return f"Only these tasks have a model that runs: {', '.join(running) or 'none'}. {advice}"
    advice = "Plan such a task only where it is asked for and no other can do it."
    return f"These tasks have no model that runs: {', '.join(absent)}. {advice}"


def _choice(tasks: str, cards: Iterable[ModelCard], cold: Mapping[str, float], longest: int) -> str:
    return "\n".join([f"{tasks}:", *(f"- {_card(card, cold.get(card.id), longest)}" for card in cards)])


def _card(card: ModelCard, cold: float | None, longest: int) -> str:
    words = " ".join(card.description.split())
    words = words if len(words) <= longest else f"{words[: longest - 1].rstrip()}…" if longest else ""
    figures = [
        f"{card.yields}" if card.yields else "",
        "" if card.usual_downloads is None else f"{_short(card.usual_downloads)} downloads",
        f"{_short(card.likes.value)} likes" if card.likes else "",
        card.license or "",
        _size(card),
        "served elsewhere" if runs_elsewhere(card) else _warmth(cold),
    ]
    told = ", ".join(filter(None, figures))
    return f"{card.id}: {words} ({told})" if words else f"{card.id} ({told})"


def _warmth(cold: float | None) -> str:
    return "warm" if cold is None else f"cold, {max(1, round(cold))} s to load"


def _size(card: ModelCard) -> str:
    if card.params:
        return f"{_short(card.params)} parameters"
    return f"{card.repo_bytes / 10**9:.1f} GB" if card.repo_bytes else ""


def _short(number: int) -> str:
    for unit, letter in _UNITS:
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)
