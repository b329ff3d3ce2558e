"""Asking: a conversation goes to the planner or to one expert, and its steps come back as events.

An error before anything is told becomes an HTTP status; so an answer is begun only once the plan is known,
or the first words, or after a while, when a client should hear that something goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from fastapi import Request

from controller.api.address import Address
from controller.api.body import backend
from controller.api.openai import direct, housekeeping, models
from controller.api.openai.conversation import Turn, conversation
from controller.api.openai.links import Links
from controller.api.openai.parts import words
from controller.events import AnswerDelta, Event, PlanDone, RunDone, RunFailed
from controller.request import Request as Conversation

OPENING_S = 5.0
"""How long a stream waits for what decides its status."""

BEAT_S = 15.0
"""How often a stream that has nothing to tell says that it is alive."""

_BEGUN = (PlanDone, AnswerDelta, RunDone, RunFailed)


@dataclass(slots=True)
class Whole:
    """A run that has ended: its answer with addresses for paths, its plan, and its last event."""

    text: str
    plan: PlanDone | None
    done: RunDone


async def begun(
    request: Request, model: str, turns: Sequence[Turn], knobs: Mapping[str, str], stop: Sequence[str] = ()
) -> tuple[Conversation, AsyncGenerator[Event]]:
    """A conversation as it is understood, and the steps of its answer: by the planner, or by one expert.

    Args:
        request: the HTTP request.
        model: what the client names.
        turns: its messages.
        knobs: how an expert should write, in the registry's words.
        stop: words at which an expert's answer ends.

    Raises:
        ModelNotFoundError: there is no such model, or it does not run here.
        RequestError: a message cannot be used, or the expert cannot answer it.

    """
    here = backend(request)
    card = models.expert(here, model)
    if (chore := chore_of(request, model, turns)) is not None:
        text = await housekeeping.done(here, chore)
        asked = Conversation.model_construct(messages=(), attachments=(), plan=())
        return asked, _told(direct.reply(text, f"run-{request.state.request_id}"))
    asked = await conversation(request, turns)
    if card is None:
        door = request.url.path.rpartition("/v1/")[2]
        return asked, here.recorder.run(here.controller, asked, request.headers.get("host", ""), door)
    direct.task_of(card, asked)  # what it cannot answer is said before anything is sent
    return asked, direct.events(request, card, asked, knobs, stop)


def chore_of(request: Request, model: str, turns: Sequence[Turn]) -> housekeeping.Chore | None:
    """The chore of a chat page that a conversation is; None where a person asks, or an expert is asked.

    Raises:
        ModelNotFoundError: there is no such model, or it does not run here.

    """
    if models.expert(backend(request), model) is not None:
        return None
    return housekeeping.recognised([(turn.role, words(turn.content)) for turn in turns])


async def _told(events: Sequence[Event]) -> AsyncGenerator[Event]:
    for event in events:
        yield event


async def whole(events: AsyncGenerator[Event], address: Address) -> Whole:
    """The end of a run; leaving it early gives the run up.

    Raises:
        HuggingGPTError: it could not be run.

    """
    told: dict[type[Event], Event] = {}
    links, pieces = Links(address), []
    async with aclosing(events):
        async for event in events:
            told[type(event)] = event
            if isinstance(event, AnswerDelta):
                pieces.append(links.feed(event.text))
    plan, done = told.get(PlanDone), told[RunDone]
    assert isinstance(done, RunDone)  # noqa: S101
    assert plan is None or isinstance(plan, PlanDone)  # noqa: S101
    return Whole("".join([*pieces, links.rest()]), plan, done)


@dataclass(slots=True)
class Stream:
    """The steps of a run whose beginning has been looked at; ``beaten`` gives them all."""

    events: AsyncGenerator[Event]
    seen: list[Event] = field(default_factory=list)
    coming: "asyncio.Future[Event | None] | None" = None

    async def open(self) -> None:
        """Wait until it is clear that the run goes on.

        Raises:
            HuggingGPTError: it could not be run.

        """
        try:
            async with asyncio.timeout(OPENING_S):
                while not self.seen or not isinstance(self.seen[-1], _BEGUN):
                    event = await asyncio.shield(self._next())
                    self.coming = None
                    if event is None:
                        break
                    self.seen.append(event)
        except TimeoutError:
            pass
        except BaseException:
            await self.close()
            raise
        if self.seen and isinstance(self.seen[-1], RunFailed):
            try:
                await self._next()  # what it failed with comes behind its last event
            finally:
                await self.close()

    def _next(self) -> "asyncio.Future[Event | None]":
        if self.coming is None:
            self.coming = asyncio.ensure_future(anext(self.events, None))
        return self.coming

    async def beaten(self) -> AsyncGenerator[Event | None]:
        """Every step; None where nothing was to tell for a while. Closing it gives the run up."""
        try:
            for event in self.seen:
                yield event
            while True:
                coming = self._next()
                await asyncio.wait({coming}, timeout=BEAT_S)
                if not coming.done():
                    yield None
                    continue
                self.coming = None
                step = coming.result()
                if step is None:
                    return
                yield step
        finally:
            await self.close()

    async def close(self) -> None:
        """Give the run up, where it has not ended."""
        if self.coming is not None:
            self.coming.cancel()
            await asyncio.gather(self.coming, return_exceptions=True)
        await self.events.aclose()
