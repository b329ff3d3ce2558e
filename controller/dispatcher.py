"""The dispatcher: runs the tasks of one plan over experts.

Each task is one call on its expert's handle, made as soon as the task is planned: the responses of the tasks
it needs go along as top-level arguments, so that Ray moves their bytes from node to node and a task starts
the moment its inputs exist. The controller awaits small accounts only. When an attempt fails, the next
candidate takes over, and whatever was called with the lost response is called again with the new one.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from ray.serve.exceptions import RequestCancelledError

from controller import reference
from controller.errors import DeadlineError, NoExpertError
from controller.events import Event, TaskChosen, TaskStarted
from controller.failure import GONE, failure, gone, lost, root
from controller.handles import Experts, Response
from controller.leasing import Leases
from controller.node import Node, attempt, cause, choice, ended
from controller.outcome import Failure, Outcome, Status, Timings
from controller.plan import Task
from controller.selector import Selection, Selector
from deployments.account import Account
from deployments.errors import NotFoundError, StorageError
from deployments.result import Call
from model_catalog.card import ModelCard

Emit = Callable[[Event], None]

logger = logging.getLogger("ray.serve")

_TOO_LATE_S = 0.05
"""What is left of a run when nothing new is begun: timers may fire a little early."""


class _Stale(Exception):  # noqa: N818
    """The upstream response a call was made with has been replaced, or its task failed."""


class Dispatcher:
    """Runs tasks as they are planned; every task it is given has an outcome in the end."""

    def __init__(
        self,
        run: str,
        experts: Experts,
        selector: Selector,
        emit: Emit,
        *,
        deadline: float,
        task_seconds: float,
    ) -> None:
        """Prepare a run.

        Args:
            run: the run's id.
            experts: the way to the cluster.
            selector: gives each task its candidates.
            emit: takes the events of tasks.
            deadline: when the whole run ends, seconds since the epoch.
            task_seconds: how long one attempt of a task may take once its inputs are there.

        """
        self._run = run
        self._experts = experts
        self._selector = selector
        self._emit = emit
        self._deadline = deadline
        self._task_seconds = task_seconds
        self._leases = Leases(run, experts, selector, emit, deadline)
        self._nodes: dict[int, Node] = {}
        self._files: dict[str, Response] = {}
        self._remade: list[Response] = []
        self._looks: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Event()

    def dispatch(self, task: Task) -> None:
        """Start a task; those it depends on were dispatched before it."""
        node = Node(task)
        self._nodes[task.id] = node
        node.runner = asyncio.create_task(self._drive(node))

    def refuse(self, task: Task, error: Exception) -> None:
        """Give a task that cannot be called its outcome; those that need it are skipped."""
        self._nodes[task.id] = node = Node(task)
        self._end(node, Status.FAILED, error=failure(error))

    async def settle(self) -> tuple[Outcome, ...]:
        """Wait until every task has its outcome; in the order of dispatch."""
        await asyncio.gather(*(node.runner for node in self._nodes.values() if node.runner is not None))
        for response in self._remade:
            response.cancel()
        await self._leases.end()
        return self.outcomes()

    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes known so far, in the order of dispatch."""
        return tuple(node.outcome for node in self._nodes.values() if node.outcome is not None)

    async def cancel(self) -> None:
        """Give everything up, down to the models; tasks under way end as cancelled."""
        runners = [node.runner for node in self._nodes.values() if node.runner is not None]
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
        for node in self._nodes.values():
            self._cancelled(node)  # a runner that had not begun has told nothing
        for response in (*self._files.values(), *self._remade):  # no task of their own cancels these
            response.cancel()
        await self._leases.end()

    # One task ------------------------------------------------------------------------------------------

    async def _drive(self, node: Node) -> None:
        """See one task through to its outcome."""
        try:
            node.selection = await self._select(node.task)
            if node.task.dep:
                self._leases.expect(node.selection.candidates[0])
            await self._attempt_all(node, list(node.selection.candidates))
        except asyncio.CancelledError:
            self._cancelled(node)
            raise
        except Exception as error:
            self._end(node, Status.FAILED, error=failure(error))
        finally:
            if node.outcome is None or node.outcome.status is not Status.DONE:
                self._drop(node)

    async def _select(self, task: Task) -> Selection:
        try:
            return self._selector.select(task)
        except NoExpertError:
            await self._selector.look_again()  # one may have come back unnoticed
            return self._selector.select(task)

    async def _attempt_all(self, node: Node, candidates: list[ModelCard]) -> None:
        """Try the candidates in turn until one answers or none is left."""
        self._chosen(node, candidates[0])
        while candidates:
            why = await self._upstream(node)
            if why is not None:
                return self._end(node, Status.SKIPPED, error=why)
            card, node.began = candidates[0], time.time()
            try:
                account = await self._attempt(node, card, last=len(candidates) == 1)
            except _Stale:
                continue
            except Exception as error:
                node.attempts.append(attempt(card, time.time() - node.began, failure(error)))
                self._log(node, card, error)
                await self._recover(node, candidates, error)
            else:
                node.attempts.append(attempt(card, time.time() - node.began))
                return self._end(node, Status.DONE, account, card)
        return self._end(node, Status.FAILED, error=node.attempts[-1].failure)

    def _log(self, node: Node, card: ModelCard, error: Exception) -> None:
        """Log a failed attempt, and have a look at what still runs where the expert itself may be gone."""
        told = failure(error)
        unexpected = error if told.code == "internal" else None
        where = f"run {self._run} task {node.task.id} ({node.task.task})"
        logger.warning("%s failed on %s: %s", where, card.id, told.code, exc_info=unexpected)
        if told.code in GONE:
            look = asyncio.ensure_future(self._selector.look_again())
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    async def _recover(self, node: Node, candidates: list[ModelCard], error: Exception) -> None:
        """Leave in ``candidates`` what is worth a try after a failed attempt, the next one first."""
        if isinstance(root(error), NotFoundError | StorageError) or self._left() <= _TOO_LATE_S:
            return candidates.clear()
        if lost(error):
            self._files.clear()
            if gone(error) and await self._remake(node):
                return None  # not its model's fault: the same one again, with its inputs made anew
            if len(candidates) == 1 and not node.revived:
                node.revived = True  # nothing else can run it: once more, when its expert is back
                return None
        failed = candidates.pop(0)
        if candidates:
            self._chosen(
                node, candidates[0], f"{failed.id} failed ({failure(error).code}); the next took over"
            )
        return None

    async def _remake(self, node: Node) -> bool:
        """Call the tasks this one needs once more, as their results may have died; False where none was."""
        called = False
        for task_id in node.task.dep:
            upstream = self._nodes[task_id]
            if upstream.outcome is None or upstream.outcome.status is not Status.DONE or upstream.remade:
                continue
            upstream.remade = called = True
            await self._remake(upstream)
            card = self._selector.catalog.get(upstream.attempts[-1].model)
            self._remade.append(await self._leases.kept(card, partial(self._call, upstream, card)))
        return called

    def _chosen(self, node: Node, card: ModelCard, reason: str | None = None) -> None:
        if node.selection is not None:
            self._emit(TaskChosen(run=self._run, id=node.task.id, choice=node.selection.choice(card, reason)))

    async def _attempt(self, node: Node, card: ModelCard, *, last: bool) -> Account:
        """One call on one expert, from its dispatch to its account.

        Raises:
            _Stale: an input was replaced or failed; the call counts for nothing.
            DeadlineError: it took too long.
            BusyError: there is no room for it.
            Exception: whatever the expert raised.

        """
        if self._experts.sleeps(card):
            await self._ready(self._versions(node))
        async with self._leases.held(node.task.id, card, last):
            return await self._called(node, card)

    def _versions(self, node: Node) -> dict[int, int]:
        """Which calls of the tasks that one needs it would use now."""
        return {task_id: self._nodes[task_id].version for task_id in node.task.dep}

    async def _called(self, node: Node, card: ModelCard) -> Account:
        """See ``_attempt``."""
        used = self._versions(node)
        response = self._call(node, card)
        held = [response]
        waiter = asyncio.ensure_future(self._account(response, node.task.type.small, held))
        try:
            await self._ready(used)
            node.began = time.time()
            self._emit(TaskStarted(run=self._run, id=node.task.id, model=card.id))
            return await self._in_time(waiter, card)
        except _Stale:
            raise
        except Exception:
            await self._ready(used)  # an input that failed or was replaced explains any failure
            raise
        finally:
            if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
                for call in reversed(held):
                    call.cancel()
                waiter.cancel()
                await asyncio.gather(waiter, return_exceptions=True)

    async def _account(self, response: Response, small: bool, held: list[Response]) -> Account:
        """What a call gave: small results directly, media by way of the artifacts (calls go to ``held``)."""
        if small:
            return Account.of(await response)
        for again in (True, False):
            held.append(self._experts.store(response))
            try:
                account: Account = await held[-1]
            except Exception as error:
                if not (again and lost(error)):  # the store may have died, and the result be whole
                    raise
            else:
                return account
        raise AssertionError("unreachable")

    def _call(self, node: Node, card: ModelCard) -> Response:
        """Call an expert with the upstream responses themselves, and tell the dependents."""
        sources, upstream = self._sources(node.task)
        call = Call(self._run, node.task.task, node.task.id, dict(node.task.args), sources, self._deadline)
        node.response = self._experts.infer(card, call, upstream)
        node.version += 1
        node.dispatched = node.dispatched or time.time()
        self._tell()
        return node.response

    def _sources(self, task: Task) -> tuple[tuple[str, ...], list[Response]]:
        """What the call brings along: upstream responses and files, each under the name its arguments use."""
        sources: dict[str, Response] = {}
        for task_id in dict.fromkeys(n for value in task.args.values() for n in reference.find(value)):
            response = self._nodes[task_id].response
            assert response is not None  # noqa: S101
            sources[reference.tag(task_id)] = response
        for path, _ in task.files():
            if path not in self._files:
                self._files[path] = self._experts.fetch(path)
            sources[path] = self._files[path]
        return tuple(sources), list(sources.values())

    async def _in_time(self, waiter: "asyncio.Future[Account]", card: ModelCard) -> Account:
        left = self._left()
        done, _ = await asyncio.wait({waiter}, timeout=min(self._task_seconds, left))
        if waiter.cancelled():  # as Serve tells that an upstream call was given up before it had a replica
            raise RequestCancelledError
        if done:
            return waiter.result()
        if left < self._task_seconds:
            raise DeadlineError(f"The run's time was over before {card.id} was done; ask for less at once.")
        raise DeadlineError(f"{card.id} was not done within {self._task_seconds:g} s; try a smaller input.")

    def _left(self) -> float:
        """The seconds left of the run."""
        return max(0.0, self._deadline - time.time())

    # Upstream ------------------------------------------------------------------------------------------

    async def _upstream(self, node: Node) -> Failure | None:
        """Wait until every task this one needs has been called; returns why it cannot run, if one failed."""
        for task_id in node.task.dep:
            upstream = self._nodes[task_id]
            while upstream.response is None and upstream.outcome is None:
                await self._change()
        return next((why for task_id in node.task.dep if (why := cause(self._nodes[task_id]))), None)

    async def _ready(self, used: Mapping[int, int]) -> None:
        """Wait until every upstream task has ended well on the response that was used.

        Raises:
            _Stale: one was called again, or failed.

        """
        while True:
            upstream = [(self._nodes[task_id], version) for task_id, version in used.items()]
            if any(node.version != version or cause(node) for node, version in upstream):
                raise _Stale
            if all(node.outcome is not None for node, _ in upstream):
                return
            await self._change()

    def _tell(self) -> None:
        """Wake everyone who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        """Wait for the next change, at most until the run's deadline.

        Raises:
            DeadlineError: the run is over.

        """
        try:
            async with asyncio.timeout(self._left()):
                await self._changed.wait()
        except TimeoutError:
            raise DeadlineError("The run's time was over before this task's inputs were there.") from None

    # Ends ----------------------------------------------------------------------------------------------

    def _end(
        self,
        node: Node,
        status: Status,
        account: Account | None = None,
        card: ModelCard | None = None,
        error: Failure | None = None,
    ) -> None:
        """Give a task its outcome, once."""
        if node.outcome is not None:
            return
        account = account or Account()
        now = time.time()
        node.outcome = Outcome(
            id=node.task.id,
            task=node.task.task,
            args=dict(node.task.args),
            links=node.task.links,
            status=status,
            text=account.text,
            data=account.data,
            artifacts=account.artifacts,
            choice=choice(node, card),
            attempts=tuple(node.attempts),
            timings=Timings(
                dispatched=node.dispatched or now,
                started=account.started or None,
                finished=account.finished or None,
                settled=now,
            ),
            error=error,
        )
        self._emit(ended(self._run, node.outcome))
        self._tell()

    def _cancelled(self, node: Node) -> None:
        self._end(node, Status.CANCELLED, error=Failure(code="cancelled", message="The run was cancelled."))

    def _drop(self, node: Node) -> None:
        """Free what a task that did not end well still holds."""
        if node.response is not None:
            node.response.cancel()
