"""The controller: joins the stages of a run and tells every step as an event."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Protocol

from controller import given
from controller.admission import Ticket
from controller.brain import Checked, task_time
from controller.dispatcher import Dispatcher
from controller.entrance import Entrance
from controller.errand import errand
from controller.errors import DeadlineError, OverloadedError, RequestError
from controller.events import AnswerDelta, Event, PlanTask, RunCreated, RunDone, RunFailed
from controller.failure import failure, root
from controller.files import located, with_files
from controller.handles import Cluster
from controller.llm.checking import Checker, checked
from controller.llm.mending import Files
from controller.outcome import Artifact, Outcome
from controller.plan import Plan, Task
from controller.planner import Planner, Reply
from controller.request import Request
from controller.responder import EmbeddedResponder, Responder
from controller.roster import Expert
from controller.running import Refused, Run, check, independent, limited, remarks, rounded, together
from controller.selector import Selector
from controller.settings import Settings
from controller.streams import closing, following
from controller.warming import Warmer
from deployments.standing import Standing
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


def fresh_id() -> str:
    """An id for a run, which nobody can guess."""
    return f"run-{secrets.token_hex(12)}"


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
        llm = planner.name if planner.streamed else ""
        self.entrance = Entrance(selector, llm, settings.llm_concurrency)

    @property
    def brain(self) -> str:
        """What plans and answers."""
        return self._planner.name

    async def refresh(self, cards: Sequence[ModelCard] = ()) -> None:
        """Look up anew which experts run; ``cards`` are those of experts that were just deployed."""
        self.selector.see(await self.cluster.refresh(cards))
        if self.selector.fleet.starting and (self._watch is None or self._watch.done()):
            self._watch = asyncio.create_task(self._await_starting())

    def told(self, changed: Sequence[Standing], gone: Sequence[str]) -> None:
        """Take in which experts of the fleet have woken, gone to sleep, come or left."""
        self.selector.see(self.cluster.told(changed, gone))

    async def add(self, model: str) -> Expert:
        """Take a model of the catalog into the fleet, asleep.

        Raises:
            UnknownModelError: the catalog does not have it.
            FleetError: this cluster can never run it, or has no fleet.

        """
        return await self.cluster.add(self.selector.catalog.get(model))

    async def located(self, value: str, host: str) -> Artifact:
        """The file that a request brings: see ``controller.files.located``."""
        return await located(self.cluster, value, host, self.settings.fetches)

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
            PlanError: none of its tasks is valid, or it is the client's own and cannot run as it is.
            DeadlineError: it takes longer than a whole run may.
            OverloadedError: the LLM that plans has too much to do.

        """
        if request.plan is not None:
            return given.read(request.plan, self.settings.max_tasks, self.selector)
        plan = Plan(self.settings.max_tasks)
        replies = []
        seconds = errand().within(self.settings.run_seconds)
        async with (
            self.entrance.planning_alone(fresh_id(), seconds),
            limited(seconds),
            closing(self._planner.plan(request, self.selector.offers, plan)) as steps,
        ):
            async for step in steps:
                if isinstance(step, Reply):
                    replies.append(step.text)
                else:
                    plan.add(step)
        if replies:
            return Reply("".join(replies))
        check(plan)
        return plan

    async def run(self, request: Request, host: str = "", name: str = "") -> AsyncGenerator[Event]:
        """Run a request and tell its steps; closing the iterator cancels everything, down to the models.

        Args:
            request: the conversation.
            host: the name the request was sent to, whose URLs name files of this server.
            name: the run's id; a fresh one where it is empty.

        Raises:
            HuggingGPTError: the request cannot be run at all; nothing of it goes on.

        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        run = Run(name or fresh_id(), request, events.put_nowait, Plan(self.settings.max_tasks))
        worker = asyncio.create_task(self._work(run, host))
        try:
            while (event := await events.get()) is not None:
                yield event
            await worker
        finally:
            worker.cancel()
            # Not awaited itself: who is cancelled again meanwhile would end its cleaning up.
            await asyncio.wait({worker})
            if not worker.cancelled():
                worker.exception()

    async def _work(self, run: Run, host: str) -> None:
        """Take a run through its stages; the last event is ``run.done`` or ``run.failed``, then None."""
        ended = "cancelled"
        run.seconds = errand().within(self.settings.run_seconds)
        limit = asyncio.timeout(run.seconds + _GRACE_S)
        try:
            run.emit(RunCreated(run=run.id, brain=given.BRAIN if run.given else self._planner.name))
            with self.entrance.run(run.id) as ticket:
                async with limit:
                    outcomes = await self._execute(run, ticket, host)
                    answer = await self._answer(run, outcomes)
            run.stages["total"] = time.perf_counter() - run.began
            run.emit(
                RunDone(
                    run=run.id,
                    answer=answer,
                    outcomes=outcomes,
                    seconds=rounded(run.stages),
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

    async def _execute(self, run: Run, ticket: Ticket, host: str) -> tuple[Outcome, ...]:
        """Plan and dispatch; every task starts as soon as it is planned."""
        answering = 0.0 if run.given else self._responder.takes_s
        run.until = time.time() + task_time(run.seconds, answering)

        def told(event: Event) -> None:
            ticket.heard(event)
            run.emit(event)

        dispatcher = Dispatcher(
            run.id,
            self.cluster,
            self.selector,
            told,
            deadline=run.until,
            task_seconds=self.settings.task_seconds,
        )
        try:
            await self._plan_and_dispatch(run, ticket, dispatcher, host)
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

    async def _plan_and_dispatch(self, run: Run, ticket: Ticket, dispatcher: Dispatcher, host: str) -> None:
        """Dispatch the tasks as they come; none of a batch starts before the files of all are found.

        Raises:
            RequestError: a file is not here, and so no task of the plan can run.
            OverloadedError: there is no room for them.

        """
        since = time.perf_counter()
        refused: dict[int, RequestError | OverloadedError] = {}
        async for tasks in self._planned(run, ticket):
            since = run.lap("plan", since)
            found = await together([self._with_files(run, task, host) for task in tasks])
            since = run.lap("files", since)
            for task in found:
                if isinstance(task, Task):
                    dispatcher.dispatch(task)
                else:
                    refused[task.task.id] = task.error
                    dispatcher.refuse(task.task, task.error)
            since = run.lap("dispatch", since)
        if refused and not independent(run.plan, set(refused)):
            raise next(iter(refused.values()))
        run.lap("plan", since)

    async def _with_files(self, run: Run, task: Task | Refused, host: str) -> Task | Refused:
        """The task with its files found; of a plan that runs while it is written, it is refused alone."""
        if isinstance(task, Refused):
            return task
        try:
            links = run.links if self.settings.fetches else None
            return await with_files(task, host, self.cluster, links)
        except RequestError as error:
            if run.given or not self._planner.streamed:
                raise
            return Refused(task, error)

    async def _planned(self, run: Run, ticket: Ticket) -> AsyncIterator[Sequence[Task | Refused]]:
        """The valid tasks: one by one as they are written, or all at once where planning takes no time."""
        if run.request.plan is not None:
            run.plan = given.read(run.request.plan, self.settings.max_tasks, self.selector)
            admitted = self.entrance.tasks(run, ticket, run.plan.tasks)
            self._tell(run, run.plan.tasks)
            run.plan_done()
            yield admitted
            return
        held: list[Task] = []
        self.entrance.planning(ticket, run.until)
        if self._planner.streamed:
            self._warmer.warm(run.request)
        planned = self._planner.plan(run.request, self.selector.offers, run.plan, run.usage, run.id)
        async with closing(planned) as steps:
            async for step in steps:
                if isinstance(step, Reply):
                    self._reply(run, step.text)
                    continue
                tasks = run.plan.add(step)
                self._tell(run, tasks)
                if self._planner.streamed and tasks:
                    yield self.entrance.tasks(run, ticket, tasks)
                else:
                    held += tasks
        self.entrance.planned(ticket)
        admitted = self.entrance.tasks(run, ticket, held)
        if run.reply is None:
            check(run.plan)
            run.plan_done()
        if admitted:
            yield admitted

    @staticmethod
    def _tell(run: Run, tasks: Sequence[Task]) -> None:
        for task in tasks:
            run.emit(PlanTask(run=run.id, task=task.wire(), want=task.want))

    def _reply(self, run: Run, text: str) -> None:
        """Tell a piece of the planner's direct answer; the plan is empty then."""
        if run.reply is None:
            run.plan_done()
        run.reply = (run.reply or "") + text
        if text:
            run.emit(AnswerDelta(run=run.id, text=text))

    async def _answer(self, run: Run, outcomes: tuple[Outcome, ...]) -> str:
        if run.given:
            return ""
        since = time.perf_counter()
        pieces = [run.reply or ""]
        async with aclosing(self._pieces(run, outcomes)) as told:
            async for text in told:
                pieces.append(text)
                run.emit(AnswerDelta(run=run.id, text=text))
        run.lap("respond", since)
        return "".join(pieces)

    async def _pieces(self, run: Run, outcomes: tuple[Outcome, ...]) -> AsyncGenerator[str]:
        """The answer, or what is left to say after the planner's own; by rules where the time is over."""
        if run.reply is not None:
            async for remark in checked(remarks(run.plan), Checker(Files.of(run.request))):
                yield remark
            return
        answer = self._responder.respond(run.request, run.plan, outcomes, usage=run.usage, run=run.id)
        end = run.began + run.seconds + _GRACE_S / 2
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
