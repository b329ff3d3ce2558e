"""``plan``: plans without Ray, one or a file of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal, Self, TextIO

from rich.console import Console

from controller.cli.view import graph
from controller.endpoints import endpoint
from controller.errors import PlanError, RequestError, SettingsError
from controller.plan import Plan
from controller.planner import Offers, Planner, Reply
from controller.request import MAX_CHARACTERS, Message, Request
from controller.rules.planner import EmbeddedPlanner, guess, talk
from controller.settings import Settings
from controller.streams import closing
from deployments.llm.halves import joined
from model_catalog.errors import HuggingGPTError
from model_catalog.overlay import layered

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
    told = [*(f"left out {fault.task}: {fault.reason}" for fault in plan.faults), *plan.remarks]
    if as_json:
        sys.stdout.write(
            json.dumps({"message": reply} if reply is not None else plan.wire(), ensure_ascii=False) + "\n"
        )
        sys.stderr.writelines(f"{' '.join(line.split())}\n" for line in told)
        return
    if reply is not None:
        console.print(reply, markup=False, soft_wrap=True)
    else:
        console.print(graph(plan.wire()))
    for line in told:
        console.print(line, markup=False, soft_wrap=True)


async def _plan(request: str, brain: Brain, settings: Settings) -> tuple[Plan, str | None]:
    async with _planner(brain, settings) as planner:
        plan, reply = await _planned(planner, request, _offers(settings), settings.max_tasks)
    if reply is None and (reason := _broken(plan)) is not None:
        raise PlanError(reason)
    return plan, reply


def _broken(plan: Plan) -> str | None:
    """Why nothing of a plan can run; None where something can."""
    if plan.tasks or not plan.faults:
        return None
    return f"No task of the plan can run: {plan.faults[0].reason}."


def _request(text: str) -> Request:
    """The request of one line.

    Raises:
        RequestError: it is too long.

    """
    if len(text) > MAX_CHARACTERS:
        raise RequestError(f"The request has {len(text):,} characters; {MAX_CHARACTERS:,} are the most.")
    return Request(messages=(Message(role="user", content=text),))


async def _planned(planner: Planner, request: str, offers: Offers, max_tasks: int) -> tuple[Plan, str | None]:
    plan, replies = Plan(max_tasks), []
    asked = _request(request)
    async with closing(planner.plan(asked, offers, plan)) as steps:
        async for step in steps:
            if isinstance(step, Reply):
                replies.append(step.text)
            else:
                plan.add(step)
    return plan, "".join(replies) if replies else None


@asynccontextmanager
async def _planner(brain: Brain, settings: Settings) -> AsyncIterator[Planner]:
    """The brain that plans; no call is made before its first plan.

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


def _offers(settings: Settings) -> Offers:
    """The catalog's first model of each task: without a cluster none is known to run or not to."""
    known = layered(settings.data_dir, settings.catalog)
    return lambda task: known.top_k(task, 1)


def plan_lines(source: Path, target: Path, brain: Brain, settings: Settings) -> tuple[int, list[str]]:
    """Plan each line ``{"id", "user_request"}`` into a line ``{"id", "plan"}``.

    A line that cannot be planned has an empty plan and says why under ``error``. Where tasks were left out,
    or there is more to say, a line has ``left_out`` and ``remarks`` too. Lines are written as they are ready,
    in the order of the requests, so that a run that is interrupted leaves what it has planned.

    Returns:
        How many lines were planned, and the reasons why others were not.

    Raises:
        RequestError: a file cannot be read or written, or a line is not of that form.
        SettingsError: an LLM is asked for, and none is set.

    """
    rows = list(_rows(source))
    texts = [text for _, text in rows]
    reasons: list[str] = []

    def opened() -> _Lines:
        return _Lines(target, [key for key, _ in rows], reasons)

    if brain == "llm":
        asyncio.run(_asked(texts, settings, opened))
    else:
        with opened() as lines:
            for number, text in enumerate(texts):
                lines.put(number, _guessed(text, settings.max_tasks))
    return len(rows) - len(reasons), reasons


def _rows(source: Path) -> Iterator[tuple[Any, str]]:
    """The lines of a file: their ids and requests."""
    try:
        lines = source.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{source} cannot be read: {error}.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield row["id"], joined(str(row["user_request"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RequestError(
                f'{source}, line {number}: it must be {{"id": …, "user_request": "…"}}.'
            ) from None


class _Lines:
    """A file of plans, written line by line in the order of the requests, whichever is ready first."""

    def __init__(self, path: Path, ids: Sequence[Any], reasons: list[str]) -> None:
        """Open the file, which ends what was in it.

        Raises:
            RequestError: it cannot be written.

        """
        self._path = path
        self._ids = ids
        self._reasons = reasons
        self._ready: dict[int, Mapping[str, Any]] = {}
        self._next = 0
        with self._writing():
            self._file: TextIO = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what was ready behind a line that never was, and close the file."""
        with self._writing(), self._file:
            for number in sorted(self._ready):
                self._write(number)

    def put(self, number: int, line: Mapping[str, Any]) -> None:
        """Take the line of a request, and write every one whose turn has come.

        Raises:
            RequestError: the file cannot be written.

        """
        self._ready[number] = line
        with self._writing():
            while self._next in self._ready:
                self._write(self._next)
                self._next += 1
            self._file.flush()

    def _write(self, number: int) -> None:
        line = self._ready.pop(number)
        self._file.write(joined(json.dumps({"id": self._ids[number], **line}, ensure_ascii=False)) + "\n")
        if "error" in line:
            self._reasons.append(line["error"])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RequestError(f"{self._path} cannot be written: {error.strerror}.") from None


def _line(plan: Plan, reply: str | None = None, text: str = "") -> dict[str, Any]:
    """What a file says of a plan; of small talk, that it is a conversation."""
    broken = None if reply is not None else _broken(plan)
    faults = [{"id": fault.id, "task": fault.task, "reason": fault.reason} for fault in plan.faults]
    return {
        "plan": plan.wire() if reply is None else Plan.parse([talk(text)]).wire(),
        **({"error": broken} if broken else {}),
        **({"left_out": faults} if faults else {}),
        **({"remarks": plan.remarks} if plan.remarks else {}),
    }


def _unplanned(error: Exception) -> dict[str, Any]:
    """What a file says of a request that could not be planned."""
    told = (
        error.message
        if isinstance(error, HuggingGPTError)
        else f"An unexpected {type(error).__name__}: {error}"
    )
    return {"plan": [], "error": told}


def _guessed(text: str, max_tasks: int) -> dict[str, Any]:
    """The plan of one line by the embedded brain, which asks nothing back here."""
    try:
        return _line(Plan.parse(guess(_request(text).text), max_tasks))
    except Exception as error:  # of this line alone; the others go on
        return _unplanned(error)


async def _asked(texts: Sequence[str], settings: Settings, opened: Callable[[], _Lines]) -> None:
    """The plans of all lines by the LLM.

    As many lines are in work as the endpoint answers at once, no more: each call of a line, its second one
    too, then finds a place free.

    Raises:
        RequestError: the file cannot be written.
        SettingsError: there is no LLM.

    """
    offers, waiting = _offers(settings), iter(enumerate(texts))
    async with _planner("llm", settings) as planner:

        async def one(text: str) -> dict[str, Any]:
            try:
                return _line(*await _planned(planner, text, offers, settings.max_tasks), text)
            except Exception as error:  # of this line alone; what the others cost is not thrown away
                return _unplanned(error)

        async def work(lines: _Lines) -> None:
            for number, text in waiting:
                lines.put(number, await one(text))

        with opened() as lines:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(settings.llm_concurrency, len(texts))):
                        group.create_task(work(lines))
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
