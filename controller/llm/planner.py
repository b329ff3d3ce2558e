"""The LLM planner: one call writes the whole plan, and each task goes on as soon as its brace closes."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass

from controller.llm import repair
from controller.llm.history import fitted, size, tokens
from controller.llm.pacing import Limit
from controller.llm.parsing import PlanReader
from controller.llm.prompting import MOST_CANDIDATE_TOKENS, menu, static_prompt
from controller.llm.queue import Queue
from controller.llm.schema import plan_form
from controller.plan import Plan
from controller.planner import Offers, RawTask, Reply
from controller.request import Request
from deployments.llm.client import Form, Llm, Usage
from deployments.llm.errors import LlmError, LlmRefusedError, LlmTimeoutError
from model_catalog.tasks import TASKS

SECONDS = 60.0
"""How long an LLM may write on a plan, where it is not said otherwise."""

REPAIR_S = 30.0
"""How long the second call may take: the tasks that are planned wait for its end to be answered."""

TAIL_S = 1.0
"""How long the end of a stream may take when the plan is whole: the count of tokens comes with it."""

_MOST_ANSWER = 4_096
_CANDIDATES = 4  # they have one of so many parts of the context
_OPTIONS = {"temperature": 0.0}

_NOTHING = "The LLM wrote neither a plan nor an answer; say the request in other words."
_CUT = "Its text ended in the middle."
_FULL = "The plan holds no more; ask for less at once."


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
    broke off, for the tasks it lacks, but not where it was refused or there is no time for that.
    """

    streamed = True

    def __init__(
        self,
        llm: Llm,
        cold: Callable[[], Mapping[str, float]] = dict,
        seconds: float = SECONDS,
        waits: float = math.inf,
    ) -> None:
        """Prepare to plan.

        Args:
            llm: the endpoint.
            cold: asked for the candidates that are not loaded, and the seconds that each takes.
            seconds: how long all calls for a plan may take.
            waits: how long they may wait besides for their places among the endpoint's calls at once.

        """
        self.name = llm.endpoint.model
        self._llm = llm
        self._cold = cold
        self._seconds = seconds
        self._waits = waits

    async def plan(
        self, request: Request, offers: Offers, plan: Plan, usage: Usage | None = None, run: str = ""
    ) -> AsyncGenerator[RawTask | Reply]:
        """Yield the tasks as they are written, each behind those it refers to; or a reply in pieces.

        Raises:
            LlmError: the LLM gave nothing that can be run or said; the plan is then empty.
            TooManyTasksError: it wrote more tasks than a plan holds.

        """
        asked = self._asked(request, offers, plan.max_tasks, usage, run)
        queue = Queue(plan)
        reader = PlanReader(queue.forget)
        limit = Limit("end the plan", self._seconds, self._waits)
        failed: LlmError | None = None
        replied = False
        try:
            async with aclosing(self._steps(asked, asked.messages(), reader, queue, limit)) as steps:
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
        final = isinstance(failed, LlmTimeoutError | LlmRefusedError)  # asking again is of no use
        async with aclosing(self._end(asked, queue, plan, broken, None if final else limit)) as tasks:
            async for task in tasks:
                yield task

    def _asked(
        self, request: Request, offers: Offers, max_tasks: int, usage: Usage | None, run: str
    ) -> _Asked:
        context = self._llm.endpoint.context_tokens
        rules = static_prompt()
        if tokens(rules) > context * 2 // 5:
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
        limit: Limit,
    ) -> AsyncGenerator[RawTask | Reply]:
        """One call; its tasks and words as they come, until the plan is whole.

        Raises:
            LlmError: the endpoint failed before that, or was over the limit.

        """
        answer = self._llm.stream(
            messages,
            form=asked.form,
            usage=asked.usage,
            run=asked.run,
            options=_OPTIONS,
            begun=limit.begin,
        )
        async with aclosing(answer) as deltas:
            while not (reader.whole or queue.full) and (delta := await limit.next(deltas)) is not None:
                for step in queue.take(reader.feed(delta)):
                    yield step
            if reader.whole:
                await _ended(deltas)
        for step in queue.take(reader.close()):
            yield step

    async def _end(
        self, asked: _Asked, queue: Queue, plan: Plan, broken: str | None, first: Limit | None
    ) -> AsyncGenerator[RawTask]:
        """What is left when the first call has ended; with a second call where something is amiss.

        Args:
            asked: what was asked.
            queue: holds the tasks that wait for others.
            plan: the plan so far.
            broken: why the plan broke off, None where it did not.
            first: the first call's limit, None where there is to be no second call.

        Raises:
            LlmError: the second call failed, and not one task is valid; the plan is then empty.

        """
        if not broken:
            for raw in queue.finish():
                yield raw
        failed = broken
        if first is not None and (broken or plan.faults):
            reader = PlanReader(queue.forget)
            try:
                async with aclosing(self._again(asked, reader, queue, plan, bool(broken), first)) as steps:
                    async for step in steps:
                        if not isinstance(step, Reply):
                            yield step
                failed = _CUT if reader.unfinished and not queue.full else None
            except LlmError as error:
                _check(plan, queue, error)
                told = error.message if isinstance(error, LlmRefusedError) or not broken else ""
                failed = f"{broken or ''} {told}".strip()
        for raw in queue.finish():
            yield raw
        for raw in queue.rest():
            yield raw
        what = "The plan broke off" if broken else "What is faulty in the plan could not be written anew"
        _remark(plan, what, failed)
        _remark(plan, "Tasks that the LLM added were left out", _FULL if queue.over else None)

    async def _again(
        self, asked: _Asked, reader: PlanReader, queue: Queue, plan: Plan, broken: bool, first: Limit
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
        seconds = min(REPAIR_S, max(0.0, self._seconds - first.took))
        limit = Limit("mend the plan", seconds, self._waits - first.waited)
        asking = self._steps(asked, asked.messages(end), reader, queue, limit)
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


async def _ended(deltas: AsyncGenerator[str]) -> None:
    """Let a stream end of whose text no more is wanted; how it ends is of no matter."""
    with suppress(TimeoutError, LlmError):
        async with asyncio.timeout(TAIL_S):
            async for _ in deltas:
                pass
