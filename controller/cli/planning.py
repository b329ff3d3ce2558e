"""``plan``: plans without Ray, one or a file of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from controller.cli.view import graph
from controller.endpoints import endpoint
from controller.errors import PlanError, RequestError, SettingsError, TooManyTasksError
from controller.plan import Plan
from controller.planner import Offers, Planner, Reply
from controller.request import Message, Request
from controller.rules.planner import EmbeddedPlanner, guess, talk
from controller.settings import Settings
from controller.streams import closing
from model_catalog.catalog import Catalog
from model_catalog.errors import HuggingGPTError

Brain = Literal["embedded", "llm"]
"""Who plans."""


def plan_one(request: str, brain: Brain, settings: Settings, console: Console, as_json: bool) -> None:
    """Print the plan of one request: a graph, or its wire form.

    Raises:
        RequestError: the request is empty, or plans too much.
        HuggingGPTError: it cannot be planned.

    """
    if not request.strip():
        raise RequestError("The request is empty; say what you want in plain words.")
    plan, reply = asyncio.run(_plan(request, brain, settings))
    if as_json:
        sys.stdout.write(
            json.dumps({"message": reply} if reply is not None else plan.wire(), ensure_ascii=False) + "\n"
        )
        return
    if reply is not None:
        console.print(reply, markup=False, soft_wrap=True)
    else:
        console.print(graph(plan.wire()))
        for fault in plan.faults:
            console.print(f"left out {fault.task}: {fault.reason}", markup=False, soft_wrap=True)
    for remark in plan.remarks:
        console.print(remark, markup=False, soft_wrap=True)


async def _plan(request: str, brain: Brain, settings: Settings) -> tuple[Plan, str | None]:
    async with _planner(brain, settings) as planner:
        plan, reply = await _planned(planner, request, _offers(), settings.max_tasks)
    if not plan.tasks and plan.faults:
        raise PlanError(f"No task of the plan can run: {plan.faults[0].reason}.")
    return plan, reply


async def _planned(planner: Planner, request: str, offers: Offers, max_tasks: int) -> tuple[Plan, str | None]:
    plan, replies = Plan(max_tasks), []
    asked = Request(messages=(Message(role="user", content=request),))
    async with closing(planner.plan(asked, offers, plan)) as steps:
        async for step in steps:
            if isinstance(step, Reply):
                replies.append(step.text)
            else:
                plan.add(step)
    return plan, "".join(replies) if replies else None


@asynccontextmanager
async def _planner(brain: Brain, settings: Settings) -> AsyncIterator[Planner]:
    """The brain that plans.

    Raises:
        SettingsError: an LLM is asked for, and none is set.

    """
    if brain == "embedded":
        yield EmbeddedPlanner()
        return
    from controller.llm.planner import LlmPlanner
    from deployments.llm.client import Llm

    where = endpoint(settings.model_copy(update={"brain": "llm"}), "planner")
    if where is None:
        raise SettingsError("There is no LLM endpoint; set OPENAI_API_KEY, or OPENAI_BASE_URL and a model.")
    llm = Llm(where)
    try:
        yield LlmPlanner(llm)
    finally:
        await llm.close()


def _offers() -> Offers:
    """The catalog's first model of each task: without a cluster none is known to run or not to."""
    known = Catalog.shipped()
    return lambda task: known.top_k(task, 1)


def plan_lines(source: Path, target: Path, brain: Brain, settings: Settings) -> tuple[int, list[str]]:
    """Plan each line ``{"id", "user_request"}`` into a line ``{"id", "plan"}``.

    A line that cannot be planned has an empty plan and says why under ``error``.

    Returns:
        How many lines were planned, and the reasons why others were not.

    Raises:
        RequestError: a file cannot be read or written, or a line is not of that form.
        SettingsError: an LLM is asked for, and none is set.

    """
    rows = list(_rows(source))
    texts = [text for _, text in rows]
    found = (
        [_guessed(text, settings.max_tasks) for text in texts]
        if brain == "embedded"
        else asyncio.run(_asked(texts, settings))
    )
    planned = [{"id": key, **line} for (key, _), line in zip(rows, found, strict=True)]
    try:
        target.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in planned), encoding="utf-8"
        )
    except OSError as error:
        raise RequestError(f"{target} cannot be written: {error.strerror}.") from None
    reasons = [line["error"] for line in found if "error" in line]
    return len(found) - len(reasons), reasons


def _rows(source: Path) -> Iterator[tuple[Any, str]]:
    """The lines of a file: their ids and requests."""
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{source} cannot be read: {error}.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield row["id"], str(row["user_request"])
        except (ValueError, KeyError, TypeError):
            raise RequestError(
                f'{source}, line {number}: it must be {{"id": …, "user_request": "…"}}.'
            ) from None


def _guessed(text: str, max_tasks: int) -> dict[str, Any]:
    """The plan of one line by the embedded brain, which asks nothing back here."""
    try:
        return {"plan": Plan.parse(guess(text), max_tasks).wire()}
    except TooManyTasksError as error:
        return {"plan": [], "error": error.message}


async def _asked(texts: Sequence[str], settings: Settings) -> list[dict[str, Any]]:
    """The plans of all lines by the LLM, as many at once as its endpoint takes."""
    offers = _offers()
    async with _planner("llm", settings) as planner:

        async def one(text: str) -> dict[str, Any]:
            try:
                plan, reply = await _planned(planner, text, offers, settings.max_tasks)
            except HuggingGPTError as error:
                return {"plan": [], "error": error.message}
            return {"plan": Plan.parse([talk(text)]).wire() if reply is not None else plan.wire()}

        return await asyncio.gather(*map(one, texts))
