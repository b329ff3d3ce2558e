"""The entrance: where runs, their planning and their tasks are let in, by what experts have still to do."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace

from controller.admission import Admission, Capacity, Ticket, Wanted
from controller.errand import errand
from controller.errors import OverloadedError
from controller.identity import caller
from controller.plan import Task
from controller.running import Refused, Run
from controller.selector import Selector
from model_catalog.errors import HuggingGPTError

_PLANNING = "planning"


class Entrance:
    """Lets runs in over the books of one process."""

    def __init__(self, selector: Selector, llm: str, llm_places: int) -> None:
        """Keep the entrance.

        Args:
            selector: knows the candidates of tasks, and what runs.
            llm: the name of the LLM that plans; empty where none does.
            llm_places: how many plans it writes at once.

        """
        self._selector = selector
        self._llm = llm
        self._llm_places = llm_places
        self.admission = Admission(self._capacity)

    def run(self, run_id: str) -> AbstractContextManager[Ticket]:
        """A run of who asks here, for as long as it takes.

        Raises:
            OverloadedError: too many are under way.

        """
        return self.admission.run(caller().owner, errand().id or run_id)

    def planning(self, ticket: Ticket, until: float) -> None:
        """Let a run's planning begin.

        Args:
            ticket: the run's.
            until: when its tasks must have ended, seconds since the epoch.

        Raises:
            OverloadedError: the LLM has too much to plan.

        """
        if self._llm:
            ticket.admit([Wanted(_PLANNING, (self._llm,))], until - time.time())
            ticket.began(_PLANNING)

    def planned(self, ticket: Ticket) -> None:
        """Note that a run's planning is over."""
        ticket.done(_PLANNING)

    @asynccontextmanager
    async def planning_alone(self, run_id: str, seconds: float) -> AsyncIterator[None]:
        """The time of planning that nothing follows.

        Raises:
            OverloadedError: too many requests are under way, or the LLM has too much to plan.

        """
        with self.run(run_id) as ticket:
            self.planning(ticket, time.time() + seconds)
            yield
            self.planned(ticket)

    def tasks(self, run: Run, ticket: Ticket, tasks: Sequence[Task]) -> Sequence[Task | Refused]:
        """Let tasks of a plan in; one whose usual model has no room names the next that has.

        Where others of the plan run already, those that there is no room for are refused alone.

        Args:
            run: the run.
            ticket: the run's.
            tasks: tasks that were added to its plan last, each behind those it needs.

        Raises:
            OverloadedError: no model has room for one of them.

        """
        models = {task.id: self._models(task) for task in tasks}
        wanted = [Wanted(task.id, models[task.id], task.dep) for task in tasks]
        try:
            found = ticket.admit(wanted, run.until - time.time())
        except OverloadedError as error:
            if len(run.plan.tasks) <= len(tasks):
                raise
            return [Refused(task, error) for task in tasks]
        return [_given(task, models[task.id], str(found.get(task.id, ""))) for task in tasks]

    def _models(self, task: Task) -> tuple[str, ...]:
        """The candidates of a task; none where it cannot run, which its dispatch will tell."""
        try:
            return tuple(card.id for card in self._selector.select(task).candidates)
        except HuggingGPTError:
            return ()

    def _capacity(self, model: str) -> Capacity:
        """What an expert is able to do, as far as the fleet has told."""
        if model == self._llm:
            return Capacity(self._llm_places)
        fleet = self._selector.fleet
        replicas = max(1, fleet.replicas.get(model, 1))
        return Capacity(replicas * self._selector.catalog.get(model).batch_size, fleet.cold.get(model, 0.0))


def _given(task: Task, models: Sequence[str], model: str) -> Task:
    """The task, for a model that is not its first one where that has no room."""
    if not model or model == models[0]:
        return task
    return replace(task, model=model, reason=f"{models[0]} has too many calls waiting; this one has room")
