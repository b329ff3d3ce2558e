"""The LLM responder: writes an answer from quoted outcomes, checked while it streams."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from importlib.resources import files as package_files
from string import Template

from controller.llm.checking import Checker, checked
from controller.llm.history import FRAME, fitted, tokens
from controller.llm.mending import Files
from controller.llm.quoting import LONGEST_CAUSE, Quoted, quoted
from controller.outcome import Outcome
from controller.plan import Plan
from controller.request import Request
from controller.responder import EmbeddedResponder, Responder
from deployments.llm.client import Llm, Usage
from deployments.llm.errors import LlmError, LlmUnavailableError

TAKES_S = 30.0
"""How many seconds of a run are kept for its answer."""

_MOST_ANSWER = 2_048
_MOST_RESULTS = 8_000
_MOST_HISTORY = 12_000
_ROOM = 3  # the results have two of so many parts of what the system prompt and the answer leave
_MOST_FAULTS = 5


class LlmResponder:
    """Writes answers with an LLM; where it fails, another responder tells the same by rules."""

    def __init__(self, llm: Llm, fallback: Responder | None = None) -> None:
        """Prepare to answer.

        Args:
            llm: the endpoint.
            fallback: what answers where the LLM fails; the embedded responder by default.

        """
        self.name = llm.endpoint.model
        self.takes_s = TAKES_S
        self._llm = llm
        self._fallback = fallback or EmbeddedResponder()
        self._system = _prompt("responder.txt").template.strip()
        self._results = _prompt("results.txt")

    async def respond(
        self,
        request: Request,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        usage: Usage | None = None,
        run: str = "",
    ) -> AsyncGenerator[str]:
        """See ``Responder``. The LLM's words come first; what must be said besides is added by rules."""
        messages, told = self._messages(request, plan, outcomes)
        checker = Checker(Files.of(request, plan, outcomes))
        begun = False
        failed: LlmError | None = None
        async with aclosing(self._written(messages, usage, run)) as pieces:
            async for piece in pieces:
                if isinstance(piece, LlmError):
                    failed = piece
                elif text := checker.feed(piece):
                    yield text
                begun = begun or failed is None
        if text := checker.rest():
            yield text
        if failed is None:
            end = _besides(plan, told, checker.unnamed(), outcomes)
        else:
            end = self._instead(failed, begun, self._fallback.respond(request, plan, outcomes))
        async with aclosing(checked(end, checker)) as rest:
            async for text in rest:
                yield text

    async def _written(
        self, messages: list[dict[str, str]], usage: Usage | None, run: str
    ) -> AsyncGenerator[str | LlmError]:
        """What the LLM writes, from its first word on; then the error, where it fails."""
        begun = False
        try:
            async with aclosing(self._llm.stream(messages, usage=usage, run=run)) as deltas:
                async for delta in deltas:
                    begun = begun or bool(delta.strip())
                    if begun:
                        yield delta
        except LlmError as error:
            yield error
            return
        if not begun:
            yield LlmUnavailableError("It wrote nothing.")

    async def _instead(
        self, failed: LlmError, begun: bool, answer: AsyncIterator[str]
    ) -> AsyncGenerator[str]:
        """The answer by rules, and why it is one."""
        if begun:
            yield f"\n\n{self.name} broke off: {failed.message} What came of it, told by rules:\n\n"
        async for piece in answer:
            yield piece
        if not begun:
            who = f"The {self._fallback.name} wrote this"
            yield f"\n\n{who}, since {self.name} did not answer: {failed.message}"

    def _messages(
        self, request: Request, plan: Plan, outcomes: Sequence[Outcome]
    ) -> tuple[list[dict[str, str]], Quoted]:
        """The rules, the conversation, and the results as a part of its last message."""
        context = self._llm.endpoint.context_tokens
        room = context - min(_MOST_ANSWER, context // 4) - tokens(self._system) - FRAME
        number = secrets.token_hex(4)
        room -= tokens(self._results.substitute(number=number, results=""))
        told = quoted(plan, outcomes, min(_MOST_RESULTS, room * 2 // _ROOM))
        conversation = fitted(request, min(_MOST_HISTORY, room - tokens(told.text)))
        block = self._results.substitute(number=number, results=told.text)
        conversation[-1]["content"] += block
        return [{"role": "system", "content": self._system}, *conversation], told


async def _besides(
    plan: Plan, told: Quoted, files: Sequence[str], outcomes: Sequence[Outcome]
) -> AsyncGenerator[str]:
    """What was not left to the LLM: files it did not name, links that were read, untold faults, remarks."""
    if files:
        yield f"\n\nFiles: {', '.join(files)}"
    links = dict.fromkeys(link.url for outcome in outcomes for link in outcome.links)
    if links:
        yield f"\n\nRead from the web: {', '.join(links)}"
    unknown = plan.faults[told.faults :]
    for fault in unknown[:_MOST_FAULTS]:
        yield f"\n\nI left out the task “{fault.task[:60]}”: {fault.reason[:LONGEST_CAUSE]}."
    if len(unknown) > _MOST_FAULTS:
        yield f"\n\nI left out {len(unknown) - _MOST_FAULTS} more tasks for like reasons."
    for remark in plan.remarks:
        yield f"\n\n{remark}"


def _prompt(name: str) -> Template:
    path = package_files("controller.llm").joinpath("prompts", name)
    return Template(path.read_text(encoding="utf-8").rstrip("\n"))
