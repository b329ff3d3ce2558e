"""Responders: the outcomes of a plan become an answer in plain words, written as it streams."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from controller import reference
from controller.outcome import Outcome, Status
from controller.plan import Plan, Task
from controller.request import Request
from controller.rules.language import language_of
from controller.rules.prose import Prose
from controller.rules.telling import Teller
from deployments.llm.client import Usage

_MOST_NOTES = 5
_LONGEST_NAME = 60
_LONGEST_REASON = 500
"""The most characters of a cause: it may quote what a request or a plan said."""


class Responder(Protocol):
    """Writes answers.

    Attributes:
        name: what writes.
        takes_s: how many seconds of a run are kept for its answer.

    """

    name: str
    takes_s: float

    def respond(
        self,
        request: Request,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        usage: Usage | None = None,
        run: str = "",
    ) -> AsyncIterator[str]:
        """Yield the answer piece by piece; the pieces joined are the whole.

        Args:
            request: the conversation.
            plan: what was planned.
            outcomes: what came of it.
            usage: takes what an LLM was asked.
            run: the run's id, for logs.

        """
        ...


class EmbeddedResponder:
    """Writes answers by rules: what was found and made, what failed and why, which models did it.

    They are in the language of the request, but for causes and remarks, which are told as they came.
    """

    name = "embedded brain"
    takes_s = 0.0

    async def respond(
        self,
        request: Request,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        usage: Usage | None = None,
        run: str = "",
    ) -> AsyncIterator[str]:
        """Yield the answer paragraph by paragraph."""
        prose = language_of(request.text, request.context).prose
        separator = ""
        for paragraph in _Answer(prose, plan, outcomes).paragraphs():
            yield f"{separator}{paragraph}"
            separator = "\n\n"


class _Answer:
    """One answer, paragraph by paragraph."""

    def __init__(self, prose: Prose, plan: Plan, outcomes: Sequence[Outcome]) -> None:
        self._prose = prose
        self._say = prose.say
        self._teller = Teller(prose)
        self._plan = plan
        self._outcomes = {outcome.id: outcome for outcome in outcomes}
        done = {outcome.id for outcome in outcomes if outcome.status is Status.DONE}
        self._done = [task for task in plan.tasks if task.id in done]
        self._failed = [task for task in plan.tasks if task.id not in done]

    def paragraphs(self) -> Iterator[str]:
        """Results first, then what failed, what was said of the plan, and the models."""
        told = list(self._results())
        if not told:
            yield self._say("sorry")
        yield from told
        yield from map(self._failure, self._failed)
        yield from self._plan_remarks()
        yield from (self._say("remark", text=remark) for remark in self._plan.remarks)
        links = list(dict.fromkeys(self._links()))
        if links:
            yield self._say("links", list=self._prose.listed(links))
        models = list(dict.fromkeys(self._models()))
        if models:
            yield self._say("models", list=self._prose.listed(models))

    def _results(self) -> Iterator[str]:
        """What each task found or made; of one that another has used, its words alone."""
        names = [task.task for task in self._plan.tasks]
        used = {
            upstream
            for task in self._done
            for value in task.args.values()
            for upstream in reference.find(value)
        }
        for task in self._done:
            text = self._teller.tell(task, self._outcomes[task.id], final=task.id not in used)
            if text:
                yield f"{self._teller.about(task)}{text}" if names.count(task.task) > 1 else text

    def _failure(self, task: Task) -> str:
        """What did not come about, with its cause."""
        outcome, name = self._outcomes.get(task.id), self._prose.task(task.task)
        if outcome is None or outcome.error is None:
            return self._say("not_run", task=name)
        told = {Status.SKIPPED: "skipped", Status.CANCELLED: "cancelled"}.get(outcome.status, "failed")
        return self._say(told, task=name, reason=_cut(outcome.error.message))

    def _plan_remarks(self) -> Iterator[str]:
        """What was left out of the plan, and what was mended in it."""
        for fault in self._plan.faults[:_MOST_NOTES]:
            name = self._prose.quote(self._prose.tasks.get(fault.task, fault.task), _LONGEST_NAME)
            yield self._say("left_out", task=name, reason=_cut(fault.reason))
        more = len(self._plan.faults) - _MOST_NOTES
        if more > 0:
            yield self._say("left_out_more", count=more)
        if self._plan.notes:
            notes = "; ".join(_cut(note) for note in self._plan.notes[:_MOST_NOTES])
            more = len(self._plan.notes) - _MOST_NOTES
            rest = self._say("mended_more", count=more) if more > 0 else ""
            yield self._say("mended", notes=notes, more=rest)

    def _links(self) -> Iterator[str]:
        """Which web links were read, as they were given."""
        for outcome in self._outcomes.values():
            for link in outcome.links:
                name = self._prose.quote(link.url, _LONGEST_REASON)
                yield self._say("beginning", link=name) if link.cut else name

    def _models(self) -> Iterator[str]:
        """Which model did what, and which ones failed at it before."""
        for task in self._done:
            outcome = self._outcomes[task.id]
            if outcome.choice is None:
                continue
            failed = list(dict.fromkeys(attempt.model for attempt in outcome.attempts if attempt.failure))
            after = self._say("after", models=self._prose.listed(failed)) if failed else ""
            name = self._prose.task(task.task)
            yield self._say("model", model=outcome.choice.model, task=name, after=after)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON].rstrip()}…"
