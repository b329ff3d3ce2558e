"""What goes back to the planning LLM, once: the faulty tasks with their reasons, and where a plan broke off.

Nothing that a model made is among it: a plan is whole before the result of any of its tasks is read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Template
from typing import Any

from controller.llm.history import tokens
from controller.llm.prompting import compact, read_prompt
from controller.llm.queue import Mend
from controller.planner import RawTask

_LONGEST_VALUE = 200
"""How many characters of an argument of a valid task are told."""


def affordable(mends: Iterable[Mend], budget_tokens: int) -> Iterator[Mend]:
    """The first faulty tasks, as long as they fit."""
    for mend in mends:
        budget_tokens -= tokens(_faulty(mend))
        if budget_tokens < 0:
            return
        yield mend


def messages(
    written: Sequence[RawTask], mends: Sequence[Mend], next_id: int | None = None
) -> list[dict[str, str]]:
    """The end of the conversation in which a plan is mended.

    Args:
        written: the valid tasks.
        mends: the faulty ones.
        next_id: the id of the first task that is missing, where the plan broke off.

    """
    parts = []
    if mends:
        parts.append(_filled("repair.txt", faulty="\n".join(map(_faulty, mends))))
    if next_id is not None:
        parts.append(_filled("continue.txt", next=str(next_id)))
    return [
        {"role": "assistant", "content": compact({"tasks": [_short(raw) for raw in written]})},
        {"role": "user", "content": "\n".join(parts)},
    ]


def _filled(name: str, **values: str) -> str:
    return Template(read_prompt(name)).substitute(values).strip()


def _faulty(mend: Mend) -> str:
    return f"- id {mend.id}: {mend.fault.reason}. It was: {compact(mend.fault.raw)}"


def _short(raw: RawTask) -> dict[str, Any]:
    args = raw.get("args")
    if not isinstance(args, Mapping):
        return dict(raw)
    return {**raw, "args": {name: _cut(value) for name, value in args.items()}}


def _cut(value: Any) -> Any:
    text = value if isinstance(value, str) else compact(value)
    return f"{text[:_LONGEST_VALUE]}…" if len(text) > _LONGEST_VALUE else value
