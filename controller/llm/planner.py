"""The LLM planner: one call writes the whole plan, and each task goes on as soon as its brace closes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass

from controller.llm import repair
from controller.llm.history import fitted, size, tokens
from controller.llm.parsing import PlanReader
from controller.llm.prompting import MOST_CANDIDATE_TOKENS, menu, static_prompt
from controller.llm.queue import Queue
from controller.llm.schema import plan_form
from controller.plan import Plan
from controller.planner import Offers, RawTask, Reply
from controller.request import Request
from deployments.llm.client import Form, Llm, Usage
from deployments.llm.errors import LlmError, LlmTimeoutError
from model_catalog.tasks import TASKS

REPAIR_S = 30.0
"""How long the second call may take: the tasks that are planned wait for its end to be answered."""

_MOST_ANSWER = 4_096
_CANDIDATES = 4  # they have one of so many parts of the context
_OPTIONS = {"temperature": 0.0}

_NOTHING = "The LLM wrote neither a plan nor an answer; say the request in other words."
_CUT = "Its text ended in the middle."


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an LLM is asked for one request."""

    request: Request
    system: str
    form: Form
    budget: int  # tokens of the conversation
    usage: Usage | None
    run: str

    def messages(self, end: list[dict[str, str]] | None = None) -> list[dict[str, str]]:
        """The rules, the conversation as far as it fits, and the end of it."""
        end = end or []
        system = {"role": "system", "content": self.system}
        return [system, *fitted(self.request, self.budget - size(end)), *end]


class LlmPlanner:
    """Plans with an LLM.

    Where nothing is faulty, one call is made. Faulty tasks go back once, by themselves; so does a plan that
    broke off, for the tasks it lacks.
    """

    streamed = True

    def __init__(self, llm: Llm, cold: Callable[[], Collection[str]] = frozenset) -> None:
        """Prepare to plan.

        Args:
            llm: the endpoint.
            cold: asked for the ids of the candidates that are not loaded yet.

        """
        self.name = llm.endpoint.model
        self._llm = llm
        self._cold = cold

    async def plan(
        self, request: Request, offers: Offers, plan: Plan, usage: Usage | None = None, run: str = ""
    ) -> AsyncGenerator[RawTask | Reply]:
        """Yield the tasks as they are written, each behind those it refers to; or a reply in pieces.

        Raises:
            LlmError: the LLM gave nothing that can be run or said; the plan is then empty.
            TooManyTasksError: it wrote more tasks than a plan holds.

        """
        asked = self._asked(request, offers, plan.max_tasks, usage, run)
        queue, reader = Queue(plan), PlanReader()
        failed: LlmError | None = None
        replied = False
        try:
            async with aclosing(self._steps(asked, asked.messages(), reader, queue)) as steps:
                async for step in steps:
                    replied = replied or isinstance(step, Reply)
                    yield step
        except LlmError as error:
            failed = error
        broken = failed.message if failed else _CUT if reader.unfinished else None
        if replied:
            _remark(plan, "The answer broke off", broken)
            return
        if not plan.tasks:
            _check(plan, queue, failed)
        in_time = not isinstance(failed, LlmTimeoutError)  # asking again would take as long
        async with aclosing(self._end(asked, queue, plan, broken, in_time)) as tasks:
            async for task in tasks:
                yield task

    def _asked(
        self, request: Request, offers: Offers, max_tasks: int, usage: Usage | None, run: str
    ) -> _Asked:
        context = self._llm.endpoint.context_tokens
        rules = static_prompt()
        if tokens(rules) > context // 2:
            rules = static_prompt(examples=False)
        offered = {task: offers(task) for task in TASKS}
        budget = min(MOST_CANDIDATE_TOKENS, context // _CANDIDATES)
        now = menu(offered, self._cold(), max_tasks, budget)
        system = f"{rules}\n\n{now.text}"
        answer = min(_MOST_ANSWER, context // 4)
        room = context - tokens(system) - answer
        return _Asked(request, system, plan_form(now.models), room, usage, run)

    async def _steps(
        self,
        asked: _Asked,
        messages: list[dict[str, str]],
        reader: PlanReader,
        queue: Queue,
        until: float | None = None,
    ) -> AsyncGenerator[RawTask | Reply]:
        """One call; its tasks and words as they come.

        Raises:
            LlmError: the endpoint failed, or had not ended by ``until``.

        """
        answer = self._llm.stream(
            messages, form=asked.form, usage=asked.usage, run=asked.run, options=_OPTIONS
        )
        async with aclosing(answer) as deltas:
            while (delta := await _next(deltas, until)) is not None:
                for step in queue.take(reader.feed(delta)):
                    yield step
        for step in queue.take(reader.close()):
            yield step

    async def _end(
        self, asked: _Asked, queue: Queue, plan: Plan, broken: str | None, in_time: bool
    ) -> AsyncGenerator[RawTask]:
        """What is left when the first call has ended; with a second call where something is amiss.

        Args:
            asked: what was asked.
            queue: holds the tasks that wait for others.
            plan: the plan so far.
            broken: why the plan broke off, None where it did not.
            in_time: whether there is time for a second call.

        Raises:
            LlmError: the second call failed, and not one task is valid; the plan is then empty.

        """
        if not broken:
            for raw in queue.finish():
                yield raw
        failed = broken
        if in_time and (broken or plan.faults):
            reader = PlanReader()
            try:
                async with aclosing(self._again(asked, reader, queue, plan, bool(broken))) as steps:
                    async for step in steps:
                        if not isinstance(step, Reply):
                            yield step
                failed = _CUT if reader.unfinished else None
            except LlmError as error:
                _check(plan, queue, error)
                failed = broken or error.message
        for raw in queue.finish():
            yield raw
        for raw in queue.rest():
            yield raw
        what = "The plan broke off" if broken else "What is faulty in the plan could not be written anew"
        _remark(plan, what, failed)

    async def _again(
        self, asked: _Asked, reader: PlanReader, queue: Queue, plan: Plan, broken: bool
    ) -> AsyncGenerator[RawTask | Reply]:
        """The second call: what is faulty is written anew, and what is missing is added.

        Raises:
            LlmError: the endpoint failed, or took too long.

        """
        budget = self._llm.endpoint.context_tokens // 4
        sent = list(repair.affordable(queue.mend(plan.faults), budget))
        if not sent and not broken:
            return
        next_id = queue.next_id() if broken else None
        end = repair.messages([*queue.written, *queue.waiting], sent, next_id)
        until = asyncio.get_running_loop().time() + REPAIR_S
        asking = self._steps(asked, asked.messages(end), reader, queue, until)
        async with aclosing(asking) as steps:
            async for step in steps:
                yield step


def _check(plan: Plan, queue: Queue, failed: LlmError | None) -> None:
    """End here where nothing came of it; the plan is then empty, for another planner to write.

    Raises:
        LlmError: the call failed without one valid task, or wrote nothing.

    """
    if plan.tasks or (failed is None and (plan.faults or queue.waiting)):
        return
    plan.retry(plan.faults)
    raise failed or LlmError(_NOTHING)


def _remark(plan: Plan, what: str, why: str | None) -> None:
    """Sentences for the answer, where there is something to say."""
    if why is not None:
        plan.remarks.append(f"{what}. {why}")


async def _next(deltas: AsyncGenerator[str], until: float | None) -> str | None:
    """The next piece of an answer; None at its end.

    Raises:
        LlmTimeoutError: it did not come in time.

    """
    try:
        async with asyncio.timeout_at(until):
            return await anext(deltas, None)
    except TimeoutError:
        raise LlmTimeoutError(f"The LLM did not mend the plan within {REPAIR_S:g} s.") from None
