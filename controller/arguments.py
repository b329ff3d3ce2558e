"""Arguments of one task: read from the wire, bound to the registry's names, checked and mended."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller import reference
from model_catalog.tasks import MEDIA, TASKS, Argument, Modality, TaskType

Outputs = Callable[[int], tuple[Modality, ...]]
"""What the result of a task offers, by its id."""


class Faulty(Exception):  # noqa: N818
    """Ends the reading of one task; its text is the reason, as a part of a sentence about it."""


@dataclass(slots=True)
class Said:
    """What binding changed: the task type it ended with, and a note for each mend."""

    row: TaskType
    notes: list[str] = field(default_factory=list)


def read_values(args: Any) -> dict[str, list[str]]:
    """Each argument as a list of strings: one item, or the items of a list of references.

    Raises:
        Faulty: ``args`` is no object.

    """
    if args is None:
        return {}
    if not isinstance(args, Mapping):
        raise Faulty("args must be an object of argument names and values")
    return {str(name): items for name, value in args.items() if (items := _items(value))}


def _items(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, list | tuple):
        items = [text for item in value for text in _items(item)]
        listed = all(reference.whole(item) is not None for item in items)
        return items if listed else [", ".join(items)]
    if isinstance(value, str):
        return reference.split(reference.canonical(value))
    return [json.dumps(value, ensure_ascii=False)]


def bind(
    row: TaskType, values: Mapping[str, list[str]], deps: Sequence[int], outputs: Outputs
) -> tuple[dict[str, list[str]], Said]:
    """The values by the registry's argument names, in its order, every one checked.

    Args:
        row: the task's type.
        values: values by the names the plan used; references in them exist.
        deps: ids of the tasks the plan says this one waits for.
        outputs: what the results of those tasks offer.

    Raises:
        Faulty: a required argument is missing, or a reference offers nothing of the right modality.

    """
    said = Said(row)
    bound: dict[str, list[str]] = {}
    for name, items in values.items():
        argument = _place(row, name, items, bound, outputs)
        if argument is None:
            said.notes.append(f"{row.name} takes no argument {name!r}; ignored")
            continue
        if argument.name != name and name not in argument.aliases:
            said.notes.append(f"took {name!r} for {argument.name!r}")
        bound[argument.name] = [_checked(argument, item, outputs, said) for item in items]
    said.row = _complete(row, bound, deps, outputs, said)
    order = [argument.name for argument in said.row.arguments]
    ranked = sorted(bound, key=lambda name: order.index(name) if name in order else len(order))
    return {name: bound[name] for name in ranked if said.row.argument(name)}, said


def _place(
    row: TaskType, name: str, items: Sequence[str], bound: Mapping[str, Any], outputs: Outputs
) -> Argument | None:
    """The argument that the plan means by ``name``, given what its references offer."""
    argument = row.argument(name)
    free = [other for other in row.arguments if other.name not in bound]
    if argument is not None and argument.name not in bound and _fits(argument, items, outputs):
        return argument
    offered = set.intersection(*(_offered(item, outputs, argument) for item in items))
    for other in free:
        if other is not argument and other.modality in offered:
            return other
    return argument if argument is not None and argument.name not in bound else None


def _offered(item: str, outputs: Outputs, argument: Argument | None) -> set[Modality]:
    alone = reference.whole(item)
    if alone is not None:
        return set(outputs(alone))
    return {argument.modality} if argument else set()


def _fits(argument: Argument, items: Sequence[str], outputs: Outputs) -> bool:
    return all(argument.modality in _offered(item, outputs, argument) for item in items)


def _checked(argument: Argument, item: str, outputs: Outputs, said: Said) -> str:
    ids = reference.find(item)
    for task_id in ids:
        if argument.modality not in outputs(task_id):
            offers = " and ".join(outputs(task_id))
            raise Faulty(f"{argument.name} needs {argument.modality}, but task {task_id} gives {offers}")
    if argument.modality in MEDIA and ids and reference.whole(item) is None:
        if len(ids) > 1:
            raise Faulty(f"{argument.name} mixes several references with words")
        said.notes.append(f"took the reference alone for {argument.name!r}, without the words around it")
        return reference.tag(ids[0])
    return item


def _complete(
    row: TaskType, bound: dict[str, list[str]], deps: Sequence[int], outputs: Outputs, said: Said
) -> TaskType:
    """Fill what is missing from the tasks this one waits for; returns the task type it then is."""
    for argument in row.arguments:
        if argument.name in bound or not argument.required:
            continue
        giver = next(
            (n for n in reversed(deps) if argument.modality in outputs(n) and not _uses(bound, n)), None
        )
        if giver is not None:
            bound[argument.name] = [reference.tag(giver)]
            said.notes.append(f"took the result of task {giver} for the missing {argument.name!r}")
        elif (control := _control(row, argument)) and "image" in bound:
            said.notes.append(f"without a text this is {control.name}")
            return control
        else:
            raise Faulty(f"it needs {_article(argument)}")
    if not bound:
        raise Faulty(f"it needs {' or '.join(_article(argument) for argument in row.arguments)}")
    return row


def _uses(bound: Mapping[str, list[str]], task_id: int) -> bool:
    return any(task_id in reference.find(item) for items in bound.values() for item in items)


def _control(row: TaskType, missing: Argument) -> TaskType | None:
    """JARVIS: ``canny-text-to-image`` without a text means the control map itself."""
    control, found, _ = row.name.partition("-text-to-image")
    return TASKS.get(f"{control}-control") if found and missing.modality is Modality.TEXT else None


def _article(argument: Argument) -> str:
    article = "an" if argument.modality.value[0] in "aeiou" else "a"
    called = "" if argument.name == argument.modality else f" ({argument.name})"
    return f"{article} {argument.modality}{called}"
