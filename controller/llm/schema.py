"""The form in which an LLM writes plans: a strict JSON schema, and from there to the wire form of plans.

The schema stays within what strict modes take. A task has few arguments of its own, since an LLM held to a
schema writes every name, null or not; what a task takes beyond them are ``options``, by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.planner import RawTask
from deployments.llm.client import Form
from model_catalog.tasks import TASKS, Argument, TaskType

ARGUMENTS = ("text", "image", "audio", "video", "table")
"""The arguments that every task object has, null where the task does not take them."""

_ARGS = ("args", "arguments", "parameters")
_NOTHING = frozenset({"", "null", "none"})


def wire_name(argument: Argument) -> str:
    """The name under which an LLM gives an argument: one of ``ARGUMENTS`` where it has such an alias."""
    return next((name for name in (argument.name, *argument.aliases) if name in ARGUMENTS), argument.name)


def option_names(row: TaskType) -> list[str]:
    """What a task takes as ``options``."""
    names = (wire_name(argument) for argument in (*row.arguments, *row.knobs))
    return [name for name in names if name not in ARGUMENTS]


def plan_form(models: Sequence[str]) -> Form:
    """The structured output of a plan.

    Args:
        models: the ids that a plan may choose from; without any, there is no choice.

    """
    options = dict.fromkeys(name for row in TASKS.values() for name in option_names(row))
    wants = dict.fromkeys(want for row in TASKS.values() for want in row.wants)
    option = _object({"name": _one_of(options), "value": {"type": "string"}})
    task = _object(
        {
            "task": _one_of(TASKS),
            "id": {"type": "integer"},
            "dep": {"type": "array", "items": {"type": "integer"}},
            "args": _object({name: {"type": ["string", "null"]} for name in ARGUMENTS}),
            "options": _nullable({"type": "array", "items": option}),
            "want": _nullable(_one_of(wants)),
            "model": _nullable(_one_of(models)) if models else {"type": ["string", "null"]},
            "reason": {"type": ["string", "null"]},
        }
    )
    return Form(
        "plan", _object({"tasks": {"type": "array", "items": task}, "reply": {"type": ["string", "null"]}})
    )


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _one_of(names: Iterable[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(names)}


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def raw_task(written: Mapping[str, Any]) -> RawTask:
    """A task as plans read it, of one that an LLM wrote: options are arguments, and null is left out.

    Arguments that stand outside of ``args``, or in a list of names and values, are taken as well.
    """
    given = next((written[name] for name in _ARGS if written.get(name) is not None), None)
    args = _pairs(given)
    if args is None:
        args, strange = {}, given
    else:
        strange = None
    row = TASKS.get(str(written.get("task")))
    if given is None and row is not None:
        args = {name: value for name, value in written.items() if row.argument(name) is not None}
    for name, value in (_pairs(written.get("options")) or {}).items():
        args.setdefault(name, value)
    dep = written.get("dep")
    raw: dict[str, Any] = {
        "task": written.get("task"),
        "id": written.get("id"),
        "dep": dep if isinstance(dep, list) else [dep] if dep is not None else [],
        "args": args if strange is None else strange,
    }
    for name in ("want", "model", "reason"):
        value = written.get(name)
        if value is not None and str(value).strip().lower() not in _NOTHING:
            raw[name] = value
    return raw


def _pairs(given: Any) -> dict[str, Any] | None:
    """Names and values, of an object or of a list of ``{"name", "value"}``; None where it is neither."""
    if given is None:
        return {}
    if isinstance(given, list) and all(isinstance(item, Mapping) and "name" in item for item in given):
        given = {str(item["name"]): item.get("value") for item in given}
    if not isinstance(given, Mapping):
        return None
    return {str(name): value for name, value in given.items() if value is not None}
