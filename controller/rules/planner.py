"""The embedded planner: plans by rules and vocabularies, without an LLM."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from controller.plan import Plan
from controller.planner import Offers, RawTask, Reply
from controller.request import Attachment, Message, Request
from controller.rules.clarifying import clarify, remark
from controller.rules.confidence import confidence
from controller.rules.drafting import draft
from controller.rules.reading import read
from controller.rules.sources import Sources
from controller.rules.wiring import Draft
from deployments.llm.client import Usage

_LONG = 10_000
"""From how many characters on a request is read in a thread of its own."""


def plan_text(
    text: str, attachments: Sequence[Attachment] = (), context: Sequence[Message] = ()
) -> list[Draft]:
    """The raw tasks of a request; none where it is mere talk."""
    reading = read(text, context=context)
    return draft(reading, Sources(reading, attachments, context))


def guess(text: str) -> list[Draft]:
    """The raw tasks of a request, mere talk being a conversation."""
    return plan_text(text) or [talk(text)]


def talk(text: str) -> Draft:
    """The raw task of mere talk."""
    return {"task": "conversational", "id": 0, "dep": [-1], "args": {"text": text}}


class EmbeddedPlanner:
    """Plans by rules."""

    name = "embedded brain"
    streamed = False

    async def plan(
        self, request: Request, offers: Offers, plan: Plan, usage: Usage | None = None, run: str = ""
    ) -> AsyncIterator[RawTask | Reply]:
        """Yield the tasks of the request; or a reply where it is mere talk, unclear, or lacks something."""
        if len(request.text) > _LONG:  # a second's work: others are served meanwhile
            tasks, reply, aside, sure = await asyncio.to_thread(_consider, request)
        else:
            tasks, reply, aside, sure = _consider(request)
        plan.confidence = round(sure, 2)
        if reply is not None:
            yield Reply(reply)
            return
        plan.remarks += [aside] if aside else []
        for task in tasks:
            yield task


def _consider(request: Request) -> tuple[list[Draft], str | None, str | None, float]:
    """The tasks of a request; what to say instead where they should not run, and what besides them."""
    reading = read(request.text, context=request.context)
    tasks = draft(reading, Sources(reading, request.attachments, request.context))
    sure = confidence(reading, tasks)
    reply = clarify(reading, tasks, sure, request.attachments)
    return tasks, reply, remark(reading, sure) if reply is None else None, sure.value
