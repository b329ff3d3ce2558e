"""``plan``: plans without Ray, one or a file of them."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from controller.cli.view import graph
from controller.errors import PlanError, RequestError, TooManyTasksError
from controller.plan import Plan
from controller.planner import Reply
from controller.request import Message, Request
from controller.rules.planner import EmbeddedPlanner, guess


def plan_one(request: str, max_tasks: int, console: Console, as_json: bool) -> None:
    """Print the plan of one request: a graph, or its wire form.

    Raises:
        RequestError: the request is empty, or plans too much.

    """
    if not request.strip():
        raise RequestError("The request is empty; say what you want in plain words.")
    plan, reply = asyncio.run(_plan(request, max_tasks))
    if as_json:
        sys.stdout.write(
            json.dumps({"message": reply} if reply is not None else plan.wire(), ensure_ascii=False) + "\n"
        )
    elif reply is not None:
        console.print(reply, markup=False, soft_wrap=True)
    else:
        console.print(graph(plan.wire()))
        for fault in plan.faults:
            console.print(f"left out {fault.task}: {fault.reason}", markup=False, soft_wrap=True)


async def _plan(request: str, max_tasks: int) -> tuple[Plan, str | None]:
    plan = Plan(max_tasks)
    asked = Request(messages=(Message(role="user", content=request),))
    async for step in EmbeddedPlanner().plan(asked, lambda task: (), plan):
        if isinstance(step, Reply):
            return plan, step.text
        plan.add(step)
    if not plan.tasks and plan.faults:
        raise PlanError(f"No task of the plan can run: {plan.faults[0].reason}.")
    return plan, None


def _line(text: str, max_tasks: int) -> dict[str, Any]:
    """The plan of one line; a request over the limit has an empty one, and says so."""
    try:
        return {"plan": Plan.parse(guess(text), max_tasks).wire()}
    except TooManyTasksError as error:
        return {"plan": [], "error": error.message}


def plan_lines(source: Path, target: Path, max_tasks: int) -> int:
    """Plan each line ``{"id", "user_request"}`` into a line ``{"id", "plan"}``; returns how many.

    Raises:
        RequestError: a file cannot be read or written, or a line is not of that form.

    """
    planned = []
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{source} cannot be read: {error}.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key, text = row["id"], str(row["user_request"])
        except (ValueError, KeyError, TypeError):
            raise RequestError(
                f'{source}, line {number}: it must be {{"id": …, "user_request": "…"}}.'
            ) from None
        planned.append({"id": key, **_line(text, max_tasks)})
    try:
        target.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in planned), encoding="utf-8"
        )
    except OSError as error:
        raise RequestError(f"{target} cannot be written: {error.strerror}.") from None
    return len(planned)
