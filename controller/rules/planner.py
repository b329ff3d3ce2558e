"""The embedded planner: plans by rules and vocabularies, without an LLM."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from controller.plan import Plan
from controller.planner import Offers, RawTask, Reply
from controller.request import Attachment, Message, Request
from controller.rules.drafting import draft
from controller.rules.reading import Reading, read
from controller.rules.sources import Sources
from controller.rules.wiring import Draft
from deployments.llm.client import Usage
from model_catalog.tasks import TASKS, Argument

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
        """Yield the tasks of the request; or a reply where it is mere talk, or lacks what it speaks of."""
        if len(request.text) > _LONG:  # a second's work: others are served meanwhile
            reading, tasks = await asyncio.to_thread(_draft, request)
        else:
            reading, tasks = _draft(request)
        if not tasks:
            yield Reply(reading.vocabulary.reply)
        elif lacking := _lacking_everywhere(tasks):
            yield Reply(_ask_for(reading, lacking))
        else:
            for task in tasks:
                yield task


def _draft(request: Request) -> tuple[Reading, list[Draft]]:
    reading = read(request.text, context=request.context)
    return reading, draft(reading, Sources(reading, request.attachments, request.context))


def _lacking_everywhere(tasks: Sequence[Draft]) -> list[Argument]:
    """What the tasks lack, where not one of them has all it needs."""
    lacks = [
        [
            argument
            for argument in TASKS[task["task"]].arguments
            if argument.name not in task["args"] and (argument.required or not task["args"])
        ]
        for task in tasks
    ]
    return [argument for lack in lacks for argument in lack] if all(lacks) else []


def _ask_for(reading: Reading, lacking: Sequence[Argument]) -> str:
    vocabulary = reading.vocabulary
    modality = lacking[0].modality
    return vocabulary.missing.format(
        things=vocabulary.things.get(modality, str(modality)),
        examples=vocabulary.examples.get(modality, str(modality)),
    )
