"""References of a plan: an argument that names the result of another task.

The canonical form is JARVIS's ``<GENERATED>-N``. Read as well: ``<GENERATED-N>``, ``<resource>-N`` (the
paper), ``<resource-N>`` (LangChain) and ``<node-N>`` (TaskBench).
"""

import re
from collections.abc import Callable

_TAG = re.compile(r"<\s*(?:generated|resource|node)\s*(?:>\s*-\s*(\d{1,9})|-\s*(\d{1,9})\s*>)", re.IGNORECASE)
_LIST = re.compile(rf"\[?\s*{_TAG.pattern}(?:\s*,\s*{_TAG.pattern})+\s*\]?", re.IGNORECASE)


def tag(task_id: int) -> str:
    """The canonical reference to a task."""
    return f"<GENERATED>-{task_id}"


def find(value: str) -> tuple[int, ...]:
    """The ids that a value refers to, each once, in order of appearance."""
    return tuple(dict.fromkeys(int(match[1] or match[2]) for match in _TAG.finditer(value)))


def whole(value: str) -> int | None:
    """The id, where the value is one reference and nothing else."""
    match = _TAG.fullmatch(value.strip())
    return int(match[1] or match[2]) if match else None


def substitute(value: str, replace: Callable[[int], str]) -> str:
    """The value with every reference replaced by what ``replace`` gives for its id."""
    return _TAG.sub(lambda match: replace(int(match[1] or match[2])), value)


def canonical(value: str) -> str:
    """The value with every reference in the canonical form."""
    return substitute(value, tag)


def split(value: str) -> list[str]:
    """The references of a value that is nothing but a list of two or more; the value itself otherwise."""
    return [tag(task_id) for task_id in find(value)] if _LIST.fullmatch(value.strip()) else [value]
