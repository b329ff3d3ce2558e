"""``/v1/chat/completions``: a conversation with the planner, or with one expert."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from starlette.responses import Response

from controller.api.address import address
from controller.api.media import attended
from controller.api.openai import speaking, sse
from controller.api.openai.asking import Stream, Whole, begun, chore_of, whole
from controller.api.openai.chat_schema import (
    ChatAnswer,
    ChatAudio,
    ChatBody,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
)
from controller.api.openai.conversation import Turn, spoken
from controller.api.openai.links import Links
from controller.api.openai.schema import Account, Usage, now
from controller.errors import RequestError
from controller.events import (
    AnswerDelta,
    Event,
    PlanDone,
    PlanTask,
    RunDone,
    TaskDone,
    TaskFailed,
    TaskStarted,
    TaskWaking,
)
from controller.request import Request as Conversation


async def create(request: Request, body: ChatBody) -> Response:
    """Answer a conversation, whole or in a stream of chunks."""
    asked, events = await _asked(request, body)
    stream = _Chunks(request, body, asked)
    if body.stream:
        opened = Stream(events)
        await attended(request, opened.open())
        return sse.response(stream.sent(opened))
    done = await attended(request, _whole(request, body, events))
    return Response(stream.completion(*done).model_dump_json(), media_type="application/json")


async def create_of(request: Request, owner: str, name: str, body: ChatBody) -> Response:
    """The same under an expert's own address, as Hugging Face's clients ask."""
    return await create(request, body.model_copy(update={"model": f"{owner}/{name}"}))


def check(body: ChatBody) -> None:
    """Refuse what no answer here can keep.

    Raises:
        RequestError: a field asks for it; the message says what to do.

    """
    if body.n not in (None, 1):
        raise RequestError("There is one answer to a request; leave n out, or ask again for another.", "n")
    if body.logprobs or body.top_logprobs:
        raise RequestError("Probabilities of tokens are not known here; leave logprobs out.", "logprobs")
    if body.response_format is not None and body.response_format.type != "text":
        raise RequestError(
            "Answers are plain text here; leave response_format out. The field hugginggpt of each answer "
            "holds its results as data.",
            "response_format",
        )
    demanded = body.tool_choice if body.tool_choice is not None else body.function_call
    if demanded not in (None, "auto", "none"):
        raise RequestError(
            "A client's own tools are never called here: the planner has the experts. Leave tool_choice out.",
            "tool_choice" if body.tool_choice is not None else "function_call",
        )


async def _asked(request: Request, body: ChatBody) -> tuple[Conversation, AsyncGenerator[Event]]:
    """The conversation as it is understood, and the steps of its answer."""
    turns = [
        Turn(message.role, message.content, f"messages.{number}.content")
        for number, message in enumerate(body.messages)
    ]
    if body.response_format is not None and chore_of(request, body.model, turns) is not None:
        # Pages may ask for the JSON that chores are answered in anyway.
        body = body.model_copy(update={"response_format": None})
    check(body)
    return await begun(request, body.model, turns, body.knobs, body.stops)


async def _whole(
    request: Request, body: ChatBody, events: AsyncGenerator[Event]
) -> tuple[Whole, ChatAudio | None]:
    told = await whole(events, address(request))
    return told, await _spoken(request, body, told.text, told.done)


async def _spoken(request: Request, body: ChatBody, text: str, done: RunDone) -> ChatAudio | None:
    """The answer as sound, where it is asked for: what the run made, else the words read aloud."""
    if body.audio is None and "audio" not in (body.modalities or ()):
        return None
    return await speaking.answer(request, body.audio, text, done)


class _Chunks:
    """One completion on its way: as a whole, or as chunks."""

    def __init__(self, request: Request, body: ChatBody, asked: Conversation) -> None:
        self._request, self._body, self._asked = request, body, asked
        self._id = f"chatcmpl-{request.state.request_id}"
        self._created = now()
        self._address = address(request)

    def completion(self, told: Whole, audio: ChatAudio | None) -> ChatCompletion:
        """The whole answer."""
        message = ChatAnswer(
            content=None if audio else told.text,
            audio=audio,
            hugginggpt=Account.of(told.done, told.plan, self._address),
        )
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._body.model,
            choices=[ChatChoice(message=message)],
            usage=Usage.of(spoken(self._asked), told.text, told.done),
        )

    async def sent(self, stream: Stream) -> AsyncIterator[bytes]:
        """The answer as server-sent events; closing it gives the run up."""
        try:
            async with aclosing(self._told(stream)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as error:
            yield sse.event(json.dumps({"error": sse.error(error)}, ensure_ascii=False))
        finally:
            await stream.close()

    async def _told(self, stream: Stream) -> AsyncGenerator[bytes]:
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        links, text, plan = Links(self._address), "", None
        async with aclosing(stream.beaten()) as events:
            async for event in events:
                if event is None:
                    yield sse.BEAT
                elif isinstance(event, AnswerDelta):
                    piece = links.feed(event.text)
                    text += piece
                    if piece:
                        yield self._chunk({"content": piece})
                elif isinstance(event, PlanDone):
                    plan = event
                elif isinstance(event, RunDone):
                    piece = links.rest()
                    if piece:
                        yield self._chunk({"content": piece})
                    async for chunk in self._end(event, plan, text + piece):
                        yield chunk
                elif step := _progress(event):
                    yield self._chunk({"reasoning_content": step})

    async def _end(self, done: RunDone, plan: PlanDone | None, text: str) -> AsyncIterator[bytes]:
        audio = await _spoken(self._request, self._body, text, done)
        if audio is not None:
            yield self._chunk({"audio": audio.model_dump()})
        # The end comes before the account: a client that cannot read this has its answer whole.
        yield self._chunk({}, "stop")
        yield self._chunk({"hugginggpt": Account.of(done, plan, self._address).streamed()})
        options = self._body.stream_options
        if options is not None and options.include_usage:
            yield self._line([], Usage.of(spoken(self._asked), text, done))
        yield sse.DONE

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._line([{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}])

    def _line(self, choices: list[dict[str, Any]], usage: Usage | None = None) -> bytes:
        chunk = ChatChunk(
            id=self._id, created=self._created, model=self._body.model, choices=choices, usage=usage
        )
        return sse.event(chunk.model_dump_json())


def _progress(event: Event) -> str:
    """A step in a line, for pages that show what a model thinks before it answers."""
    if isinstance(event, PlanTask):
        return f"{event.task['task']} (task {event.task['id']}) is planned.\n"
    if isinstance(event, TaskWaking):
        return f"{event.model} wakes up for task {event.id}, which takes about {event.seconds:.0f} s.\n"
    if isinstance(event, TaskStarted):
        return f"Task {event.id} is done by {event.model}.\n"
    if isinstance(event, TaskDone):
        return f"Task {event.outcome.id} has ended.\n"
    if isinstance(event, TaskFailed):
        reason = event.outcome.error.message if event.outcome.error else "It did not end well."
        return f"Task {event.outcome.id} failed: {reason}\n"
    return ""
