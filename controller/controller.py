"""The controller: joins the stages of a run and tells every step as an event."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Protocol

from controller.brain import Checked, task_time
from controller.dispatcher import Dispatcher
from controller.errors import DeadlineError, PlanError, RequestError
from controller.events import AnswerDelta, Event, LeftOut, PlanDone, PlanTask, RunCreated, RunDone, RunFailed
from controller.failure import failure, root
from controller.files import with_files
from controller.handles import Cluster
from controller.llm.checking import Checker, checked
from controller.llm.mending import Files
from controller.outcome import Outcome
from controller.plan import Plan, Task
from controller.planner import Planner, Reply
from controller.request import Request
from controller.responder import EmbeddedResponder, Responder
from controller.selector import Selector
from controller.settings import Settings
from controller.streams import closing, following
from controller.warming import Warmer
from deployments.llm.client import Usage
from model_catalog.card import ModelCard
from model_catalog.errors import HuggingGPTError

logger = logging.getLogger("ray.serve")

STARTING_S = 2.0
"""How often it is looked whether experts that were starting run."""

_GRACE_S = 5.0
"""What is left for the answer when every task has ended at the run's deadline."""


class Meter(Protocol):
    """Takes the figures of runs and tasks."""

    def run(self, outcome: str, seconds: dict[str, float]) -> None:
        """Count a run."""
        ...

    def task(self, outcome: Outcome) -> None:
        """Count a task."""
        ...


@dataclass(slots=True)
class _Run:
    """One request on its way."""

    id: str
    request: Request
    emit: Callable[[Event | None], None]
    plan: Plan
    stages: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    reply: str | None = None
    usage: Usage = field(default_factory=Usage)

    def lap(self, stage: str, since: float) -> float:
        """Note what a stage took; returns now."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - since
        return now


@dataclass(frozen=True, slots=True)
class _Refused:
    """A task whose file is not here."""

    task: Task
    error: RequestError


class Controller:
    """Plans, selects, dispatches and answers; the doors differ only in how they ask and tell."""

    def __init__(
        self,
        settings: Settings,
        planner: Planner,
        responder: Responder,
        selector: Selector,
        cluster: Cluster,
        meter: Meter,
    ) -> None:
        self.settings = settings
        self.selector = selector
        self.cluster = cluster
        self._planner = planner
        self._responder = responder
        self._meter = meter
        selector.look = self.refresh
        self._warmer = Warmer(selector, cluster, settings.warm_ahead)
        self._watch: asyncio.Task[None] | None = None

    @property
    def brain(self) -> str:
        """What plans and answers."""
        return self._planner.name

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> None:
        """Look up anew which experts run; ``cards`` are those of experts that were just deployed."""
        self.selector.see(await self.cluster.refresh(cards))
        if self.selector.fleet.starting and (self._watch is None or self._watch.done()):
            self._watch = asyncio.create_task(self._await_starting())

    async def _await_starting(self) -> None:
        """Look again now and then while experts start: Serve tells nobody when one is ready."""
        while self.selector.fleet.starting:
            await asyncio.sleep(STARTING_S)
            try:
                self.selector.see(await self.cluster.refresh())
            except Exception:
                logger.warning("what runs could not be asked", exc_info=True)

    def starting(self) -> list[str]:
        """The experts that were deployed with the controller and have neither come up nor failed yet."""
        fleet = self.selector.fleet
        return [model for model in self.settings.experts if model in fleet.starting]

    async def plan(self, request: Request) -> Plan | Reply:
        """Plan a request without running it; whether its files exist is not asked.

        Raises:
            TooManyTasksError: the plan is over its limit.
            PlanError: none of its tasks is valid.
            DeadlineError: it takes longer than a whole run may.

        """
        plan = Plan(self.settings.max_tasks)
        replies = []
        async with (
            _limited(self.settings.run_seconds),
            closing(self._planner.plan(request, self.selector.offers, plan)) as steps,
        ):
            async for step in steps:
                if isinstance(step, Reply):
                    replies.append(step.text)
                else:
                    plan.add(step)
        if replies:
            return Reply("".join(replies))
        _check(plan)
        return plan

    async def run(self, request: Request, host: str = "") -> AsyncGenerator[Event]:
        """Run a request and tell its steps; closing the iterator cancels everything, down to the models.

        Args:
            request: the conversation.
            host: the name the request was sent to, whose URLs name files of this server.

        Raises:
            HuggingGPTError: the request cannot be run at all; nothing of it goes on.

        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        run = _Run(f"run-{secrets.token_hex(8)}", request, events.put_nowait, Plan(self.settings.max_tasks))
        worker = asyncio.create_task(self._work(run, host))
        try:
            while (event := await events.get()) is not None:
                yield event
            await worker
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await worker

    async def _work(self, run: _Run, host: str) -> None:
        """Take a run through its stages; the last event is ``run.done`` or ``run.failed``, then None."""
        ended = "cancelled"
        limit = asyncio.timeout(self.settings.run_seconds + _GRACE_S)
        try:
            run.emit(RunCreated(run=run.id, brain=self._planner.name))
            async with limit:
                outcomes = await self._execute(run, host)
                answer = await self._answer(run, outcomes)
            run.stages["total"] = time.perf_counter() - run.began
            run.emit(
                RunDone(
                    run=run.id,
                    answer=answer,
                    outcomes=outcomes,
                    seconds=_rounded(run.stages),
                    usage=asdict(run.usage) if run.usage.calls else None,
                )
            )
            ended = "done"
        except Exception as error:
            late = DeadlineError("The run's time was over before it had an answer; ask for less at once.")
            cause = late if limit.expired() else root(error)
            ended = "refused" if isinstance(cause, HuggingGPTError) and cause.status < 500 else "failed"
            run.emit(RunFailed(run=run.id, error=failure(cause)))
            if not isinstance(cause, HuggingGPTError):
                logger.exception("run %s met an unexpected error", run.id)
            if cause is late:
                raise late from None
            raise
        finally:
            run.emit(None)
            self._meter.run(ended, run.stages)
            logger.info("run %s %s after %.3f s", run.id, ended, time.perf_counter() - run.began)

    async def _execute(self, run: _Run, host: str) -> tuple[Outcome, ...]:
        """Plan and dispatch; every task starts as soon as it is planned."""
        deadline = time.time() + task_time(self.settings.run_seconds, self._responder.takes_s)
        dispatcher = Dispatcher(
            run.id,
            self.cluster,
            self.selector,
            run.emit,
            deadline=deadline,
            task_seconds=self.settings.task_seconds,
        )
        try:
            await self._plan_and_dispatch(run, dispatcher, host)
            since = time.perf_counter()
            outcomes = await dispatcher.settle()
            run.lap("execute", since)
        except BaseException:
            await dispatcher.cancel()
            raise
        finally:
            for outcome in dispatcher.outcomes():
                self._meter.task(outcome)
        return outcomes

    async def _plan_and_dispatch(self, run: _Run, dispatcher: Dispatcher, host: str) -> None:
        """Dispatch the tasks as they come; none of a batch starts before the files of all are found.

        Raises:
            RequestError: a file is not here, and so no task of the plan can run.

        """
        since = time.perf_counter()
        refused: dict[int, RequestError] = {}
        async for tasks in self._planned(run):
            since = run.lap("plan", since)
            found = await asyncio.gather(*(self._with_files(task, host) for task in tasks))
            since = run.lap("files", since)
            for task in found:
                if isinstance(task, Task):
                    dispatcher.dispatch(task)
                else:
                    refused[task.task.id] = task.error
                    dispatcher.refuse(task.task, task.error)
            since = run.lap("dispatch", since)
        if refused and not _independent(run.plan, set(refused)):
            raise next(iter(refused.values()))
        run.lap("plan", since)

    async def _with_files(self, task: Task, host: str) -> "Task | _Refused":
        """The task with its files found; of a plan that runs while it is written, it is refused alone."""
        try:
            return await with_files(task, host, self.cluster.stat)
        except RequestError as error:
            if not self._planner.streamed:
                raise
            return _Refused(task, error)

    async def _planned(self, run: _Run) -> AsyncIterator[list[Task]]:
        """The valid tasks: one by one as they are written, or all at once where planning takes no time."""
        held: list[Task] = []
        if self._planner.streamed:
            self._warmer.warm(run.request)
        planned = self._planner.plan(run.request, self.selector.offers, run.plan, run.usage, run.id)
        async with closing(planned) as steps:
            async for step in steps:
                if isinstance(step, Reply):
                    self._reply(run, step.text)
                    continue
                tasks = run.plan.add(step)
                for task in tasks:
                    run.emit(PlanTask(run=run.id, task=task.wire(), want=task.want))
                if self._planner.streamed and tasks:
                    yield tasks
                else:
                    held += tasks
        if run.reply is None:
            _check(run.plan)
            self._plan_done(run)
        if held:
            yield held

    def _reply(self, run: _Run, text: str) -> None:
        """Tell a piece of the planner's direct answer; the plan is empty then."""
        if run.reply is None:
            self._plan_done(run)
        run.reply = (run.reply or "") + text
        if text:
            run.emit(AnswerDelta(run=run.id, text=text))

    @staticmethod
    def _plan_done(run: _Run) -> None:
        plan = run.plan
        left_out = tuple(LeftOut(id=fault.id, task=fault.task, reason=fault.reason) for fault in plan.faults)
        run.emit(
            PlanDone(
                run=run.id,
                plan=plan.wire(),
                notes=tuple(plan.notes),
                left_out=left_out,
                confidence=plan.confidence,
            )
        )

    async def _answer(self, run: _Run, outcomes: tuple[Outcome, ...]) -> str:
        since = time.perf_counter()
        pieces = [run.reply or ""]
        async with aclosing(self._pieces(run, outcomes)) as told:
            async for text in told:
                pieces.append(text)
                run.emit(AnswerDelta(run=run.id, text=text))
        run.lap("respond", since)
        return "".join(pieces)

    async def _pieces(self, run: _Run, outcomes: tuple[Outcome, ...]) -> AsyncGenerator[str]:
        """The answer, or what is left to say after the planner's own; by rules where the time is over."""
        if run.reply is not None:
            async for remark in checked(_remarks(run.plan), Checker(Files.of(run.request))):
                yield remark
            return
        answer = self._responder.respond(run.request, run.plan, outcomes, usage=run.usage, run=run.id)
        end = run.began + self.settings.run_seconds + _GRACE_S / 2
        begun = False
        try:
            async with closing(answer) as told:
                while (text := await following(told, end - time.perf_counter())) is not None:
                    yield text
                    begun = True
        except TimeoutError:
            run.plan.remarks.append(f"The run's time was over before {self._responder.name} had answered.")
            if begun:
                yield "\n\n"
            async for text in Checked(EmbeddedResponder()).respond(run.request, run.plan, outcomes):
                yield text


def _check(plan: Plan) -> None:
    """Refuse a plan of which nothing can run.

    Raises:
        PlanError: it has faults and no valid task.

    """
    if not plan.tasks and plan.faults:
        reasons = "; ".join(f"{fault.task}: {fault.reason}" for fault in plan.faults[:5])
        raise PlanError(f"No task of the plan can run ({reasons}). Say the request in other words.")


def _independent(plan: Plan, refused: set[int]) -> list[Task]:
    """The tasks that need none of the refused ones, directly or through others."""
    blocked = set(refused)
    free = []
    for task in plan.tasks:
        if task.id in blocked or blocked.intersection(task.dep):
            blocked.add(task.id)
        else:
            free.append(task)
    return free


async def _remarks(plan: Plan) -> AsyncIterator[str]:
    for remark in plan.remarks:
        yield f"\n\n{remark}"


@asynccontextmanager
async def _limited(seconds: float) -> AsyncIterator[None]:
    """A bound for planning alone.

    Raises:
        DeadlineError: it is passed.

    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineError("The plan was not ready in time; ask for less at once.") from None


def _rounded(stages: dict[str, float]) -> dict[str, float]:
    return {stage: round(seconds, 6) for stage, seconds in stages.items()}
